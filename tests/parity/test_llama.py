"""The llama preset is Llama: logits and gradients equal those of `transformers`, keys and values shared or not."""

import pytest
import torch

from firsthand.model.presets.llama import LONG

from . import llama_weights

transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")

THEIRS = llama_weights.THEIRS | {"rms_norm_eps": 1e-5}  # as in all published sizes since Llama 2


@pytest.fixture(scope="module", params=[1, 2, 4])
def pair(request):
    torch.manual_seed(0)
    config = transformers.LlamaConfig(**THEIRS | {"num_key_value_heads": request.param})
    return llama_weights.pair(transformers.LlamaForCausalLM(config), "llama", n_kv_heads=request.param)


@pytest.mark.parametrize("time", [1, 2, 63, 130])
def test_logits_are_equal(pair, time):
    llama_weights.check_logits(*pair, time)


def test_cached_logits_are_equal(pair):
    llama_weights.check_decoding(*pair)


def test_gradients_are_equal(pair):
    llama_weights.check_gradients(*pair)


def test_the_stretched_rotation_of_llama_3_2_is_equal():
    """The rotation of size 1b, with a trained length that the test's text exceeds."""
    scaling = {"rope_type": "llama3", "factor": 4.0, "original_max_position_embeddings": 32}
    scaling |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "rope_theta": 5e5}
    theirs = transformers.LlamaForCausalLM(transformers.LlamaConfig(**THEIRS, rope_parameters=scaling))
    position = LONG | {"factor": 4.0, "trained_length": 32}
    ours, theirs = llama_weights.pair(theirs, "llama", position=position)
    llama_weights.check_logits(ours, theirs, 130)

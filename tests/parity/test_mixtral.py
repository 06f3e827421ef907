"""The mixtral preset is Mixtral: logits and gradients equal those of `transformers`."""

import pytest
import torch

from . import llama_weights

transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")

NAMES = {pattern: name for pattern, name in llama_weights.NAMES.items() if "ffn\\." not in pattern} | {
    r"blocks\.(\d+)\.ffn\.router\.weight": r"model.layers.\1.mlp.gate.weight",
    r"blocks\.(\d+)\.ffn\.(gate|up)\.weight": r"model.layers.\1.mlp.experts.gate_up_proj#\2",
    r"blocks\.(\d+)\.ffn\.down\.weight": r"model.layers.\1.mlp.experts.down_proj",
}


@pytest.fixture(scope="module")
def pair():
    torch.manual_seed(0)
    config = transformers.MixtralConfig(**llama_weights.THEIRS, num_local_experts=8, num_experts_per_tok=2)
    config._experts_implementation = "eager"
    assert config.rope_parameters["rope_theta"] == 1e6
    return llama_weights.pair(transformers.MixtralForCausalLM(config), "mixtral", NAMES)


@pytest.mark.parametrize("time", [1, 2, 63, 130])
def test_logits_are_equal(pair, time):
    llama_weights.check_logits(*pair, time)


def test_cached_logits_are_equal(pair):
    llama_weights.check_decoding(*pair)


def test_gradients_are_equal(pair):
    llama_weights.check_gradients(*pair, NAMES)

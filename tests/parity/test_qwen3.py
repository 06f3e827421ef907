"""The qwen3 preset is Qwen3: logits and gradients equal those of `transformers`, the gains of its heads included."""

import pytest
import torch

from . import llama_weights

transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")

NAMES = llama_weights.NAMES | {
    r"blocks\.(\d+)\.mixer\.query_norm\.gain": r"model.layers.\1.self_attn.q_norm.weight",
    r"blocks\.(\d+)\.mixer\.key_norm\.gain": r"model.layers.\1.self_attn.k_norm.weight",
}


@pytest.fixture(scope="module", params=[2, 4])
def pair(request):
    torch.manual_seed(0)
    rotation = {"rope_type": "default", "rope_theta": 1e6}
    config = transformers.Qwen3Config(
        **llama_weights.THEIRS | {"num_key_value_heads": request.param, "rope_parameters": rotation}
    )
    assert config.rms_norm_eps == 1e-6
    return llama_weights.pair(transformers.Qwen3ForCausalLM(config), "qwen3", NAMES, n_kv_heads=request.param)


@pytest.mark.parametrize("time", [1, 2, 63, 130])
def test_logits_are_equal(pair, time):
    llama_weights.check_logits(*pair, time)


def test_cached_logits_are_equal(pair):
    llama_weights.check_decoding(*pair)


def test_gradients_are_equal(pair):
    llama_weights.check_gradients(*pair, NAMES)


def test_the_gains_matter(pair):
    """Weights that are all one would hide a gain that is not used."""
    gains = [parameter for name, parameter in pair[0].named_parameters() if name.endswith("_norm.gain")]
    assert len(gains) == 3 * 4
    assert all(gain.std() > 0.1 for gain in gains)

"""Latent attention equals that of `transformers`' DeepSeek-V2 and DeepSeek-V3 with the same weights.

V2 turns neighbouring channels, and so do we; V3 first brings these neighbours to the two halves, in queries and keys
alike, which no score can tell.
"""

import pytest
import torch

from firsthand.model.mixers.latent_attention import LatentAttention
from firsthand.model.positions import Rope
from firsthand.types import Place

transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")

THETA = 500.0
SIZES = {
    "hidden_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "intermediate_size": 16,
    "kv_lora_rank": 10,
    "qk_nope_head_dim": 6,
    "qk_rope_head_dim": 4,
    "head_dim": 4,
    "v_head_dim": 5,
    "first_k_dense_replace": 1,
    "max_position_embeddings": 100,
    "rope_parameters": {"rope_type": "default", "rope_theta": THETA},
    "attn_implementation": "eager",
}
VERSIONS = ["V2", "V3"]


def random_ids(time):
    return torch.randint(50, (2, time), generator=torch.Generator().manual_seed(time))


def theirs_and_ours(version, d_query_latent, bias):
    torch.manual_seed(0)
    make = getattr(transformers, f"Deepseek{version}Config")
    config = make(**SIZES, q_lora_rank=d_query_latent, attention_bias=bias, vocab_size=50)
    theirs = getattr(transformers, f"Deepseek{version}Model")(config).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, mean=float(parameter.ndim == 1), std=0.3)
    widths = {"d_head": 4, "d_latent": 10, "d_query_latent": d_query_latent, "d_content": 6, "d_value": 5}
    ours = LatentAttention(24, 4, position=Rope(4, THETA, 100), bias=bias, **widths)
    if bias and d_query_latent is None:  # theirs has none there
        ours.query.bias = ours.turned_query.bias = None
    copy_weights(theirs.layers[0].self_attn, ours)
    return theirs, ours


@torch.no_grad()
def copy_weights(theirs, ours):
    """Theirs holds content and turned part of a head side by side, and so its key and value."""
    left = dict(theirs.named_parameters())

    def give(parts, name, heads=1):
        for kind in ("weight", "bias"):
            if (whole := left.pop(f"{name}.{kind}", None)) is not None:
                sizes = [len(part.weight) // heads for part in parts]
                for part, rows in zip(parts, whole.unflatten(0, (heads, -1)).split(sizes, 1), strict=True):
                    getattr(part, kind).copy_(rows.flatten(0, 1))

    give([ours.compress, ours.turned_key], "kv_a_proj_with_mqa")
    give([ours.key, ours.value], "kv_b_proj", heads=4)
    give([ours.out], "o_proj")
    ours.latent_norm.gain.copy_(left.pop("kv_a_layernorm.weight"))
    if "q_proj.weight" in left:
        give([ours.query, ours.turned_query], "q_proj", heads=4)
    else:
        give([ours.compress_query], "q_a_proj")
        give([ours.query, ours.turned_query], "q_b_proj", heads=4)
        ours.query_norm.gain.copy_(left.pop("q_a_layernorm.weight"))
    assert not left


def layer(theirs, **given):
    """What goes into their attention layer, and what comes out."""
    seen = []
    hook = theirs.layers[0].self_attn.register_forward_hook(
        lambda _, args, given, out: seen.append((given["hidden_states"], out[0])), with_kwargs=True
    )
    theirs(**given)
    hook.remove()
    return seen[0]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("d_query_latent", "bias"), [(None, False), (7, False), (7, True), (None, True)])
@pytest.mark.parametrize("time", [1, 2, 63])
def test_outputs_and_gradients(version, d_query_latent, bias, time):
    theirs, ours = theirs_and_ours(version, d_query_latent, bias)
    ids = random_ids(time)
    x, expected = layer(theirs, input_ids=ids)
    found, _ = ours(x, Place.of(ids))
    assert expected.abs().max() > 0.5
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)
    own = [x, ours.latent_norm.gain, ours.out.weight]
    attention = theirs.layers[0].self_attn
    other = [x, attention.kv_a_layernorm.weight, attention.o_proj.weight]
    gradients = [
        torch.autograd.grad(y.square().sum(), w, retain_graph=True) for y, w in ((found, own), (expected, other))
    ]
    for gradient, right in zip(*gradients, strict=True):
        torch.testing.assert_close(gradient, right, atol=1e-4 * float(right.abs().max()), rtol=1e-4)


@pytest.mark.parametrize("version", VERSIONS)
@torch.no_grad()
def test_decoding_step_by_step(version):
    """Their cache expands every token anew; ours is read in the absorbed form."""
    theirs, ours = theirs_and_ours(version, 7, False)
    ids, cache = random_ids(30), transformers.DynamicCache(config=theirs.config)
    state, start = ours.initial_state(2, 30), 0
    for time in [20] + [1] * 10:
        piece = ids[:, start : start + time]
        x, expected = layer(theirs, input_ids=piece, past_key_values=cache, use_cache=True)
        y, state = ours(x, Place.of(piece, start), state)
        torch.testing.assert_close(y, expected, atol=2e-5, rtol=1e-4)
        start += time
    assert state.keys[0].numel() == ours.state_size(30) == 30 * 14

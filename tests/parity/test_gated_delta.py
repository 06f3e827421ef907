"""Gated DeltaNet equals that of `transformers`' Qwen3-Next with the same weights; so do the functions below it."""

import pytest
import torch

from firsthand.model.mixers.gated_delta import GatedDeltaNet
from firsthand.ops.delta_rule import delta_rule
from firsthand.types import Place

transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")
SIZES = {"linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 6}


def random(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def place(time, start=0):
    return Place(torch.arange(start, start + time).unsqueeze(0))


def theirs_and_ours():
    from transformers.models.qwen3_next.modeling_qwen3_next import Qwen3NextGatedDeltaNet

    config = transformers.Qwen3NextConfig(hidden_size=24, num_hidden_layers=2, **SIZES)
    theirs = Qwen3NextGatedDeltaNet(config, 0).eval()
    ours = GatedDeltaNet(24, 4, n_key_heads=2, d_head=8, d_value=6).eval()
    torch.manual_seed(0)
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    copy_weights(theirs, ours)
    return theirs, ours


@torch.no_grad()
def copy_weights(theirs, ours):
    """Their rows stand by key head: its query, its key, then the values and gates of its group; likewise b and a."""
    n, size, group, d_value = theirs.num_k_heads, theirs.head_k_dim, 2, theirs.head_v_dim
    rows = theirs.in_proj_qkvz.weight.view(n, -1, 24).split([size, size, group * d_value, group * d_value], dim=1)
    for own, block in zip((ours.query, ours.key, ours.value, ours.gate), rows, strict=True):
        own.weight.copy_(block.reshape(-1, 24))
    beta, decay = theirs.in_proj_ba.weight.view(n, 2, group, 24).unbind(1)
    ours.beta.weight.copy_(beta.reshape(-1, 24))
    ours.decay.weight.copy_(decay.reshape(-1, 24))
    ours.log_decay.copy_(theirs.A_log)
    ours.time_bias.copy_(theirs.dt_bias)
    ours.memory.taps.copy_(theirs.conv1d.weight.squeeze(1))
    ours.memory.gain.copy_(theirs.norm.weight)
    ours.out.weight.copy_(theirs.out_proj.weight)


@pytest.mark.parametrize("time", [1, 5, 64, 150])
def test_outputs_and_gradients(time):
    theirs, ours = theirs_and_ours()
    x = random(2, time, 24, seed=1)
    found = []
    for call in (lambda x: ours(x, place(time))[0], theirs):
        leaf = x.clone().requires_grad_()
        y = call(leaf)
        y.square().sum().backward()
        found.append((y, leaf.grad))
    torch.testing.assert_close(*found, atol=1e-5, rtol=1e-4)
    pairs = [(ours.memory.taps, theirs.conv1d.weight.squeeze(1), theirs.conv1d.weight.grad.squeeze(1))]
    named = (("log_decay", "A_log"), ("time_bias", "dt_bias"))
    pairs += [(getattr(ours, own), getattr(theirs, other), getattr(theirs, other).grad) for own, other in named]
    for own, parameter, gradient in pairs:
        torch.testing.assert_close(own, parameter)
        torch.testing.assert_close(own.grad, gradient, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_decoding_step_by_step():
    """Their cache and our state, a prefill and then one token at a time."""
    theirs, ours = theirs_and_ours()
    config = transformers.Qwen3NextConfig(hidden_size=24, num_hidden_layers=2, **SIZES)
    cache, state = transformers.DynamicCache(config=config), ours.initial_state(2, 70)
    x, start = random(2, 70, 24, seed=2), 0
    for length in [66, 1, 1, 1, 1]:
        piece = x[:, start : start + length]
        y, state = ours(piece, place(length, start), state)
        torch.testing.assert_close(y, theirs(piece, cache_params=cache), atol=1e-5, rtol=1e-4)
        start += length
    torch.testing.assert_close(state.matrix, cache.layers[0].recurrent_states[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("function", ["torch_chunk_gated_delta_rule", "torch_recurrent_gated_delta_rule"])
@pytest.mark.parametrize("time", [1, 64, 130])
def test_the_functions_below(function, time):
    """Their layout is (batch, time, heads, channels), and they scale queries by 1 / √d_head."""
    from transformers.models.qwen3_next import modeling_qwen3_next

    query, value, before = random(2, 4, time, 8, seed=1), random(2, 4, time, 6, seed=3), random(2, 4, 8, 6, seed=6)
    key = torch.nn.functional.normalize(random(2, 4, time, 8, seed=2), dim=-1)
    beta, decay = random(2, 4, time, seed=4).sigmoid(), -random(2, 4, time, seed=5).square() / 3
    given = [x.requires_grad_() for x in (query, key, value, decay, beta, before)]
    turned = [x.transpose(1, 2) for x in given[:5]]
    call = getattr(modeling_qwen3_next, function)
    out, last = call(*turned, initial_state=before, output_final_state=True)
    own, own_last = delta_rule(query * 8**-0.5, key, value, beta, decay, before)
    found = [(own, own_last), (out.transpose(1, 2), last)]
    torch.testing.assert_close(*found, atol=1e-5, rtol=1e-4)
    gradients = [torch.autograd.grad(y.square().sum() + state.square().sum(), given) for y, state in found]
    torch.testing.assert_close(*gradients, atol=1e-4, rtol=1e-4)

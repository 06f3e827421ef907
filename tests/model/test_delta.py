"""What is special to DeltaNet and Gated DeltaNet."""

import pytest
import torch
from torch.nn import functional as F

from firsthand.errors import UserError
from firsthand.model.mixers.delta import DeltaNet
from firsthand.model.mixers.gated_delta import GatedDeltaNet
from firsthand.types import Place


def inputs(batch=2, time=9, d_model=12, seed=1):
    return torch.randn(batch, time, d_model, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def place(time, start=0):
    return Place(torch.arange(start, start + time).unsqueeze(0))


def make(kind, **arguments):
    torch.manual_seed(0)
    mixer = kind(12, 4, **arguments).double()
    with torch.no_grad():
        mixer.memory.gain.normal_()
    return mixer


def unit(x):
    return x / (x.square().sum(-1, keepdim=True) + 1e-6).sqrt()


def past(x, taps):
    """SiLU of each channel's last tokens, the last tap on the current one."""
    width = taps.shape[1]
    return F.silu(sum(F.pad(x, (0, 0, k, 0))[:, : x.shape[1]] * taps[:, width - 1 - k] for k in range(width)))


def by_hand(mixer, x, decay=None, gate=1.0):
    """Head by head and token by token."""
    memory, (n, size, d_value) = mixer.memory, (mixer.memory.n_heads, mixer.memory.d_head, mixer.memory.d_value)
    keys, group = memory.keys, n // memory.n_key_heads
    query = past(mixer.query(x), memory.taps[:keys])
    key = past(mixer.key(x), memory.taps[keys : 2 * keys])
    value = past(mixer.value(x), memory.taps[2 * keys :])
    beta = memory.most * torch.sigmoid(mixer.beta(x))
    rows = []
    for b in range(len(x)):
        heads = []
        for h in range(n):
            own, mine = slice(h // group * size, (h // group + 1) * size), slice(h * d_value, (h + 1) * d_value)
            state, outs = torch.zeros(d_value, size, dtype=x.dtype), []
            for t in range(x.shape[1]):
                q, k = (unit(z[b, t, own]) for z in (query, key))
                state = state if decay is None else decay[b, t, h] * state
                state = state + beta[b, t, h] * torch.outer(value[b, t, mine] - state @ k, k)
                o = state @ q / size**0.5
                outs.append(o / (o.square().mean() + 1e-6).sqrt() * memory.gain)
            heads.append(torch.stack(outs))
        rows.append(torch.cat(heads, dim=1))
    return mixer.out(torch.stack(rows) * gate)


@pytest.mark.parametrize("arguments", [{}, {"d_value": 5, "d_conv": 2}, {"negative_eigenvalues": True, "bias": True}])
def test_delta_by_hand(arguments):
    mixer, x = make(DeltaNet, **arguments), inputs(time=40)
    torch.testing.assert_close(mixer(x, place(40))[0], by_hand(mixer, x), atol=1e-10, rtol=0)


@pytest.mark.parametrize("arguments", [{}, {"n_key_heads": 2}, {"n_key_heads": 1, "d_head": 5, "d_value": 6}])
def test_gated_delta_by_hand(arguments):
    mixer, x = make(GatedDeltaNet, **arguments), inputs(time=40)
    decay = torch.exp(-mixer.log_decay.exp() * F.softplus(mixer.decay(x) + mixer.time_bias))
    expected = by_hand(mixer, x, decay, F.silu(mixer.gate(x)))
    torch.testing.assert_close(mixer(x, place(40))[0], expected, atol=1e-10, rtol=0)


def pairs(keys, values):
    """A delta memory that is shown these pairs: keys and queries are the first half of a token, values the second."""
    d = keys.shape[-1]
    mixer = DeltaNet(2 * d, 1, d_head=d, d_conv=1)
    with torch.no_grad():
        for to in (mixer.query, mixer.key, mixer.value, mixer.beta):
            to.weight.zero_()
        mixer.query.weight[:, :d] = mixer.key.weight[:, :d] = torch.eye(d)
        mixer.value.weight[:, d:] = torch.eye(d)
        mixer.memory.taps.fill_(1.0)
        state = mixer.initial_state(1, 0)
        _, state = mixer(torch.cat((keys, values), dim=-1).unsqueeze(0), place(len(keys)), state)
    return state.matrix[0, 0]


def test_a_new_value_replaces_the_old_one_under_its_key():
    """Beta is 1/2 here: each showing halves what is wrong, and keys at right angles are not touched."""
    keys, values = (
        torch.eye(3)[[0, 1, 0, 0, 0]] * 50,
        torch.tensor([[8.0] * 3, [4.0] * 3, [2.0] * 3, [2.0] * 3, [2.0] * 3]),
    )
    held = pairs(keys, values)
    shown = F.silu(values[[0, 1, 2]])[:, 0]
    first = shown[0] / 2
    for _ in range(3):
        first = first + (shown[2] - first) / 2
    expected = torch.stack((first, shown[1] / 2, torch.tensor(0.0))).unsqueeze(1).expand(3, 3)
    torch.testing.assert_close(held, expected, atol=1e-3, rtol=0)


def test_negative_eigenvalues_can_turn_a_memory_round():
    """beta near 2 with v = 0 mirrors what is held; a plain sigmoid can only erase it."""
    for negative, expected in ((True, -1.0), (False, 0.0)):
        mixer = make(DeltaNet, negative_eigenvalues=negative)
        with torch.no_grad():
            for to in (mixer.value, mixer.beta):
                to.weight.zero_()
            mixer.beta.weight.fill_(1e4)
        x = 3000 * inputs(1, 1).abs()
        state = mixer.initial_state(1, 1)
        with torch.no_grad():
            key = unit(F.silu(mixer.key(x) * mixer.memory.taps[12:24, -1]).view(4, 3))
            held = torch.randn(4, 3, dtype=torch.float64)
            state.matrix = (key.unsqueeze(2) * held.unsqueeze(1)).unsqueeze(0)
            before = state.matrix.clone()
            _, after = mixer(x, place(1), state)
        torch.testing.assert_close(after.matrix, expected * before, atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", [DeltaNet, GatedDeltaNet])
@torch.no_grad()
def test_the_state_is_in_fp32_and_its_window_as_the_inputs(kind):
    mixer, x = make(kind).bfloat16(), inputs(time=5).bfloat16()
    _, state = mixer(x, place(5), mixer.initial_state(2, 5))
    assert (state.matrix.dtype, state.window.dtype) == (torch.float32, torch.bfloat16)
    assert state.matrix.numel() + state.window.numel() == 2 * mixer.state_size(10**6)
    assert mixer.state_size(10**6) == 4 * 3 * 3 + 36 * 3


def test_decays_begin_within_the_published_range():
    """Rates of 1 to 16 times steps of 0.001 to 0.1: memories of half a token to a thousand tokens."""
    mixer = make(GatedDeltaNet)
    rates = -mixer.kept(torch.zeros(1, 1, 4, dtype=torch.float64))
    assert (rates >= 1e-3 - 1e-9).all()
    assert (rates <= 1.6 + 1e-9).all()


def test_what_mixing_costs():
    """With chunks of 32: 6 d_k d_v + 4 · 32 (d_k + d_v) + 32² / 3 a head, and two for each tap."""
    assert make(DeltaNet).mixing_flops(1024) == pytest.approx(4 * (6 * 9 + 4 * 32 * 6 + 1024 / 3) + 2 * 36 * 4)
    assert make(DeltaNet).mixing_flops(10**6) == make(DeltaNet).mixing_flops(1024)


def test_impossible_sizes():
    with pytest.raises(UserError, match="d_model = 10 cannot be shared by n_heads = 3"):
        DeltaNet(10, 3)
    with pytest.raises(UserError, match="n_heads = 4 is not a multiple of n_key_heads = 3"):
        GatedDeltaNet(12, 4, n_key_heads=3)

"""What is special to Mamba-2: published sizes, the start of its steps and rates, groups, a state of one size."""

import pytest
import torch

from firsthand.errors import UserError
from firsthand.model.mixers.mamba2 import Mamba2
from firsthand.types import Place


def place(time, start=0):
    return Place(torch.arange(start, start + time).unsqueeze(0))


@pytest.mark.parametrize(
    ("d_model", "n_layers", "published"),
    [(768, 24, 128_989_632), (1024, 48, 368_346_624), (1536, 48, 780_161_280), (2048, 48, 1_343_757_312)],
)
def test_published_sizes(d_model, n_layers, published):
    """Tied embedding of 50,288 tokens and an RMS norm before each layer and after the last."""
    with torch.device("meta"):
        mixer = Mamba2(d_model, d_head=64, d_state=128)
    layer = sum(p.numel() for p in mixer.parameters()) + d_model
    assert n_layers * layer + d_model + 50288 * d_model == published


def test_steps_and_rates_begin_where_the_paper_says():
    torch.manual_seed(0)
    mixer = Mamba2(512, d_head=8)
    step, rate = torch.nn.functional.softplus(mixer.time_bias), mixer.log_decay.exp()
    assert 0.001 <= step.min() < 0.002 < 0.05 < step.max() <= 0.1001
    assert 1 <= rate.min() < 2 < 15 < rate.max() <= 16


@torch.no_grad()
def test_heads_share_the_keys_of_their_group_only():
    """Silencing what group 0 writes silences its half of the heads, whose norm is apart from the other's."""
    torch.manual_seed(0)
    mixer = Mamba2(16, d_head=4, d_state=6, n_groups=2)
    mixer.out.weight.copy_(torch.eye(16, 32) + torch.eye(16, 32).roll(16, 1))
    mixer.skip.zero_()
    whole = mixer(torch.ones(1, 5, 16), place(5))[0]
    mixer.out.weight[:, 16:] = 0
    half = mixer(torch.ones(1, 5, 16), place(5))[0]
    mixer.enter.weight[32 + 6 : 32 + 12] = 0  # what group 1 writes
    torch.testing.assert_close(mixer(torch.ones(1, 5, 16), place(5))[0], half)
    assert (whole - half).abs().max() > 1e-3
    mixer.enter.weight[32 : 32 + 6] = 0
    mixer.taps_bias.zero_()
    assert mixer(torch.ones(1, 5, 16), place(5))[0].abs().max() == 0


@torch.no_grad()
def test_the_state_keeps_its_place_in_memory():
    """Decoding writes into the same memory, so it costs the same whatever came before."""
    mixer = Mamba2(16, d_head=4, d_state=6)
    _, state = mixer(torch.randn(1, 70, 16), place(70), mixer.initial_state(1, 100))
    before = state.memory.data_ptr()
    _, state = mixer(torch.randn(1, 1, 16), place(1, 70), state)
    assert state.memory.data_ptr() == before
    assert state.memory.numel() + state.window.numel() == mixer.state_size(71) == mixer.state_size(10**6)


@pytest.mark.parametrize("arguments", [{"d_head": 5}, {"d_head": 4, "n_groups": 3}], ids=str)
def test_what_cannot_be_is_said(arguments):
    with pytest.raises(UserError, match="mamba2"):
        Mamba2(16, **arguments)

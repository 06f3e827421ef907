"""What is special about Mamba; what every mixer promises stands in tests/contracts."""

import math

import pytest
import torch
from torch.nn import functional as F

from firsthand.model.make import build_model
from firsthand.model.mixers.mamba import LONGEST, SHORTEST, Mamba, time_bias
from firsthand.types import Place

# Table 10 of the paper names the sizes; the counts are those of the files on the hub (state-spaces/mamba-…)
PUBLISHED = {
    "130m": (24, 768, 129_135_360),
    "370m": (48, 1024, 371_516_416),
    "790m": (48, 1536, 793_204_224),
    "1.4b": (48, 2048, 1_372_178_432),
    "2.8b": (64, 2560, 2_768_345_600),
}


def place(time, start=0):
    return Place(torch.arange(start, start + time).unsqueeze(0))


@pytest.fixture
def mamba():
    torch.manual_seed(0)
    return Mamba(12, d_state=4).double()


def test_it_is_algorithm_2(mamba):
    """Written out, token by token, as in the paper."""
    x = torch.randn(1, 7, 12, dtype=torch.float64)
    y, _ = mamba(x, place(7))
    rates, h, seen = -mamba.log_decay.exp(), torch.zeros(24, 4, dtype=torch.float64), []
    window = torch.zeros(4, 24, dtype=torch.float64)
    for token in x[0]:
        window = torch.cat((window[1:], mamba.enter(token).unsqueeze(0)))
        u = F.silu((window * mamba.taps.t()).sum(0) + mamba.taps_bias)
        step = F.softplus(mamba.time_up(mamba.time_down(u)) + mamba.time_bias)
        h = torch.exp(step.unsqueeze(1) * rates) * h + torch.outer(step * u, mamba.write(u))
        seen.append(mamba.out((h @ mamba.read(u) + mamba.skip * u) * F.silu(mamba.gate(token))))
    torch.testing.assert_close(y[0], torch.stack(seen), atol=1e-12, rtol=0)


@pytest.mark.parametrize("size", PUBLISHED)
def test_the_published_sizes(size):
    """Embedding (tied to the head), layers of a norm and a mixer, last norm."""
    n_layers, d_model, published = PUBLISHED[size]
    with torch.device("meta"):
        mixer = Mamba(d_model)
    layer = d_model + sum(parameter.numel() for parameter in mixer.parameters())
    assert 50_280 * d_model + n_layers * layer + d_model == published


def test_the_first_steps_are_between_a_thousandth_and_a_tenth():
    torch.manual_seed(0)
    step = F.softplus(time_bias(10_000))
    assert step.min() > SHORTEST * 0.99
    assert step.max() < LONGEST * 1.01
    # log-uniform: half of them below the geometric mean
    assert (step < math.sqrt(SHORTEST * LONGEST)).float().mean().item() == pytest.approx(0.5, abs=0.02)


def test_the_first_rates_are_1_to_d_state(mamba):
    expected = torch.arange(1, 5, dtype=torch.float64).expand(24, -1)
    torch.testing.assert_close(mamba.log_decay.exp(), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("initialize", ["gpt2", "modern"])
def test_initialisers_leave_its_own_start_alone(initialize):
    torch.manual_seed(0)
    fields = {"n_layers": 1, "d_model": 32, "n_heads": 4, "context_length": 8, "mixer": "mamba"}
    mixer = build_model({"preset": "modern", **fields, "initialize": initialize}, 11).blocks[0].mixer
    step = F.softplus(mixer.time_bias)
    assert step.min() > SHORTEST * 0.99
    assert step.max() < LONGEST * 1.01
    assert (mixer.skip == 1).all()
    assert mixer.log_decay[0].exp().tolist() == pytest.approx(list(range(1, 17)), rel=1e-5)
    assert 0.2 < mixer.taps.std() < 0.4


def test_only_maps_between_features_are_called_weight(mamba):
    """Muon and weight decay go by the name."""
    others = {name for name, _ in mamba.named_parameters() if not name.endswith("weight")}
    assert others == {"taps", "taps_bias", "time_bias", "log_decay", "skip"}
    assert all(parameter.ndim == 2 for name, parameter in mamba.named_parameters() if name not in others)


def test_the_bottleneck_of_the_step_follows_the_width():
    assert Mamba(24).time_down.out_features == 2
    assert Mamba(32).time_down.out_features == 2
    assert Mamba(24, time_rank=5).time_down.out_features == 5


@torch.no_grad()
def test_the_state_does_not_grow(mamba):
    state = mamba.initial_state(3, 1000)
    sizes = set()
    for start in range(5):
        _, state = mamba(torch.randn(3, 1, 12, dtype=torch.float64), place(1, start), state)
        sizes.add(state.window.numel() + state.h.numel())
    assert sizes == {3 * mamba.state_size(1)} == {3 * mamba.state_size(10**6)} == {3 * 24 * (3 + 4)}


@torch.no_grad()
def test_the_memory_is_never_rounded_to_half_precision():
    """What fades by a thousandth a token would stand still in bf16."""
    mamba = Mamba(12).bfloat16()
    state = mamba.initial_state(1, 4)
    _, state = mamba(torch.randn(1, 4, 12).bfloat16(), place(4), state)
    assert state.h.dtype == torch.float32
    assert state.window.dtype == torch.bfloat16


def test_the_operations_of_mixing(mamba):
    # for each of 24 channels: 4 taps, and 4 numbers of memory
    assert mamba.mixing_flops(8) == mamba.mixing_flops(9) == 24 * (2 * 4 + 7 * 4)


def test_dropout_acts_on_the_output_in_training_only():
    torch.manual_seed(0)
    mamba, x = Mamba(12, dropout=0.5), torch.randn(1, 9, 12)
    assert (mamba(x, place(9))[0] == 0).float().mean().item() == pytest.approx(0.5, abs=0.2)
    mamba.eval()
    assert (mamba(x, place(9))[0] != 0).all()

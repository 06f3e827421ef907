"""What every layer promises, with every residual, with and without an FFN. New lines in BLOCKS and RESIDUALS are
tested here with no new code."""

import itertools

import pytest
import torch
from torch import nn

from firsthand.model.blocks import BLOCKS
from firsthand.model.make import build_model
from firsthand.model.residuals import RESIDUALS
from firsthand.types import Place

SIZES = {"n_layers": 2, "d_model": 24, "n_heads": 4, "n_kv_heads": 2, "context_length": 32}
ALL = list(itertools.product(BLOCKS, RESIDUALS, ["gated", "none"]))


@pytest.fixture(params=ALL, ids="-".join)
def model(request):
    return make(*request.param)


def make(block="pre", residual="plain", ffn="gated", **fields):
    """A small model whose weights are not zero anywhere, so that every part has a say."""
    torch.manual_seed(0)
    fields = {**SIZES, "block": block, "residual": residual, "ffn": ffn, **fields}
    model = build_model(fields, 50)
    for name, parameter in model.named_parameters():
        if parameter.ndim >= 2:
            nn.init.normal_(parameter, std=0.3)
        elif "residual" in name:
            nn.init.uniform_(parameter, 0.3, 0.9)
    return model.double().eval()


def stream(batch=2, time=9):
    return torch.randn(batch, time, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def place(time=9, start=0):
    ids = torch.randint(50, (2, 9), generator=torch.Generator().manual_seed(2))
    return Place(torch.arange(start, start + time).unsqueeze(0), None, ids[:, start : start + time])


def test_shape_state_and_a_scalar_beside(model):
    x, states, extra_loss = model.trunk(stream(), place())
    assert x.shape == stream().shape
    assert x.isfinite().all()
    assert states is None
    assert extra_loss.shape == ()


def test_the_future_does_not_change_the_past(model):
    other = stream()
    other[:, 5] += 1.0
    changed = (model.trunk(other, place())[0] - model.trunk(stream(), place())[0]).abs().amax((0, 2)) > 1e-9
    assert changed.tolist() == [False] * 5 + [True] * 4


@torch.no_grad()
def test_token_by_token_equals_all_at_once(model):
    whole, _, _ = model.trunk(stream(), place())
    states = model.initial_states(2, 9)
    for t in range(9):
        x, states, _ = model.trunk(stream()[:, t : t + 1], place(1, t), states)
        torch.testing.assert_close(x, whole[:, t : t + 1], atol=1e-10, rtol=0)


def test_every_parameter_gets_a_gradient(model):
    model.final(model.trunk(stream(), place())[0]).square().sin().sum().backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert set(silent) <= {"embedding.weight", "unembedding.weight"}, silent


def test_inputs_are_left_alone(model):
    x = stream()
    model.trunk(x, place())
    assert torch.equal(x, stream())


@pytest.mark.parametrize("block", BLOCKS)
def test_without_an_ffn_nothing_of_it_is_left(block):
    with_ffn, without = (dict(make(block, ffn=ffn).blocks[0].named_parameters()) for ffn in ("gated", "none"))
    assert without.keys() < with_ffn.keys()
    assert all(not name.startswith("ffn") for name in without)
    assert {name.split(".")[0] for name in without} >= {"mixer", "mixer_norm"}


class Twice(nn.Module):
    """Stands for an FFN that experts must be balanced in."""

    def forward(self, x):
        return 2 * x, x.new_tensor(0.25)


@pytest.mark.parametrize("block", BLOCKS)
def test_what_an_ffn_asks_for_is_handed_on(block):
    model = make(block)
    for layer in model.blocks:
        layer.ffn = Twice()
    assert model.trunk(stream(), place())[2] == 0.5


@pytest.mark.parametrize("residual", RESIDUALS)
def test_residuals_begin_as_the_plain_stream(residual):
    torch.manual_seed(0)
    model = build_model({**SIZES, "residual": residual, "initialize": "gpt2"}, 50)
    torch.manual_seed(0)
    plain = build_model({**SIZES, "initialize": "gpt2"}, 50)
    ids = torch.arange(12).view(2, 6)
    assert torch.equal(model(ids), plain(ids))


@pytest.mark.parametrize(("block", "residual"), list(itertools.product(BLOCKS, RESIDUALS)))
def test_what_is_learned_has_its_place_in_the_layer(block, residual):
    names = {name for name, _ in make(block, residual).named_parameters() if "residual" in name}
    assert all(name.startswith("blocks.") for name in names)
    assert bool(names) == (residual != "plain")

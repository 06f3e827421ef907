"""SparseGPT against its definition, in float64: one weight after another, each time with an inverse of its own."""

import pytest
import torch

from firsthand.compress.prune.choice import Choice
from firsthand.compress.prune.sparsegpt import SparseGPT, inverse_factor, sparsegpt
from firsthand.errors import UserError
from firsthand.types import Place

from .small import given_for, maps, subject_of


def made(d_out=12, d_in=24, rows=100, seed=0):
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(d_in, d_in, generator=generator, dtype=torch.float64)
    x = torch.randn(rows, d_in, generator=generator, dtype=torch.float64) @ mixing
    return torch.randn(d_out, d_in, generator=generator, dtype=torch.float64), x


def oracle(weight, gram, choice, block, damping):
    """Section 3: for column j, the inverse of H without the inputs before j; what goes is paid for by those after."""
    h = gram + damping * gram.diagonal().mean() * torch.eye(len(gram), dtype=torch.float64)
    w, stays = weight.clone(), torch.ones_like(weight, dtype=torch.bool)
    inverses = [torch.linalg.inv(h[j:, j:]) for j in range(len(h))]
    width = choice.group[1] if choice.group else block
    for j in range(w.shape[1]):
        if j % width == 0:
            some = range(j, min(j + width, w.shape[1]))
            score = torch.stack([w[:, c] ** 2 / inverses[c][0, 0] for c in some], 1)
            stays[:, some.start : some.stop] = choice.mask(score)
        for row in range(w.shape[0]):
            if not stays[row, j]:
                w[row, j:] -= w[row, j] / inverses[j][0, 0] * inverses[j][0]
    return w * stays, stays


@pytest.mark.parametrize("block", [8, 10, 24, 128])
@pytest.mark.parametrize("sparsity", [0.3, 0.5, 0.8])
def test_it_is_its_definition(block, sparsity):
    weight, x = made()
    gram, choice = x.T @ x, Choice(sparsity)
    found, stays = sparsegpt(weight, gram, choice, block)
    wanted, wanted_stays = oracle(weight, gram, choice, block, 0.01)
    assert torch.equal(stays, wanted_stays)
    assert (found - wanted).abs().max() < 1e-9
    assert (x @ found.T - x @ wanted.T).abs().max() < 1e-6


@pytest.mark.parametrize("pattern", ["2:4", "1:4", "4:8"])
def test_with_a_pattern_too(pattern):
    weight, x = made(seed=1)
    gram, choice = x.T @ x, Choice.of(None, None, pattern)
    found, stays = sparsegpt(weight, gram, choice, 16)
    wanted, wanted_stays = oracle(weight, gram, choice, 16, 0.01)
    assert torch.equal(stays, wanted_stays)
    assert (x @ found.T - x @ wanted.T).abs().max() < 1e-6


def test_blocks_do_not_change_what_is_made_up_for():
    """With a pattern all choices are the same, so only the order of sums differs."""
    weight, x = made(d_in=32, seed=2)
    choice = Choice.of(None, None, "2:4")
    one, _ = sparsegpt(weight, x.T @ x, choice, 4)
    other, _ = sparsegpt(weight, x.T @ x, choice, 32)
    assert torch.allclose(one, other, rtol=0, atol=1e-10)


def test_independent_inputs_leave_nothing_to_make_up_for():
    weight, _ = made()
    found, stays = sparsegpt(weight, torch.eye(24, dtype=torch.float64), Choice(0.5))
    assert torch.equal(found, weight * stays)
    assert torch.equal(stays, Choice(0.5).mask(weight.abs()))


def test_making_up_for_it_is_worth_it():
    weight, x = made(seed=3)
    found, stays = sparsegpt(weight, x.T @ x, Choice(0.5), damping=1e-6)
    error = ((found - weight) @ x.T).square().sum()
    assert error < 0.9 * ((weight * stays - weight) @ x.T).square().sum()


def test_an_input_that_is_always_zero_costs_nothing():
    weight, x = made()
    x[:, :12] = 0.0
    _, stays = sparsegpt(weight, x.T @ x, Choice(0.5), block=24)
    assert not stays[:, :12].any()


def test_a_text_that_says_nothing_is_no_trouble():
    weight, _ = made()
    found, _ = sparsegpt(weight, torch.zeros(24, 24, dtype=torch.float64), Choice(0.5))
    assert torch.isfinite(found).all()


def test_what_it_reads_must_be_finite():
    with pytest.raises(UserError, match="cannot be inverted"):
        inverse_factor(torch.full((3, 3), float("nan"), dtype=torch.float64), 0.01)


def test_the_method_gives_what_the_function_gives():
    subject = subject_of()
    given = given_for(subject)
    before = subject.model.blocks[0].mixer.query.weight.detach().clone()
    with torch.no_grad():
        x = subject.model.blocks[0].mixer_norm(subject.model.embed(given.windows, Place.of(given.windows)))
    SparseGPT(sparsity=0.5, block=16)(subject, given)
    rows = x.double().flatten(0, 1)
    wanted, _ = oracle(before.double(), rows.T @ rows, Choice(0.5), 16, 0.01)
    assert (maps(subject.model)["blocks.0.mixer.query"].weight - wanted).abs().max() < 1e-5


@pytest.mark.parametrize("settings", [{"block": 0}, {"damping": 0.0}, {"block": 10, "pattern": "2:4"}])
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(UserError, match="sparsegpt: block"):
        SparseGPT(**settings)

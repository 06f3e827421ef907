"""Which columns stay and what they become, against plain float64 least squares."""

import pytest
import torch

from firsthand.compress.structured.least_squares import Normal, check_score, check_share, leaving, obs, refitted, wanda
from firsthand.errors import UserError

ROWS, D_IN, D_OUT, DAMPING = 60, 12, 5, 0.01


def drawn(seed: int):
    """Inputs with correlated channels, an old weight, and what should be said."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(D_IN, D_IN, generator=generator, dtype=torch.float64)
    h = torch.randn(ROWS, D_IN, generator=generator, dtype=torch.float64) @ mixing
    weight = torch.randn(D_OUT, D_IN, generator=generator, dtype=torch.float64)
    said = h @ weight.T + 0.3 * torch.randn(ROWS, D_OUT, generator=generator, dtype=torch.float64)
    return h, weight, said, Normal(h.T @ h, said.T @ h)


@pytest.fixture
def case():
    return drawn(3)


def lstsq(h, weight, said, kept):
    """The same by a solver that never sees normal equations: rows of sqrt(λ) hold on to the old weight."""
    size = (DAMPING * (h.T @ h).diagonal().mean()).sqrt()
    rows = torch.cat((h[:, kept], size * torch.eye(D_IN, dtype=torch.float64)[kept][:, kept]))
    aims = torch.cat((said, size * weight.T[kept]))
    found = torch.linalg.lstsq(rows, aims).solution
    return found.T, float((rows @ found - aims).square().sum())


@pytest.mark.parametrize("kept", [list(range(D_IN)), [0, 3, 4, 9], [11]])
def test_the_refitted_weight_is_that_of_a_least_squares_solver(case, kept):
    h, weight, said, normal = case
    oracle, _ = lstsq(h, weight, said, kept)
    torch.testing.assert_close(refitted(weight, normal, torch.tensor(kept), DAMPING), oracle, rtol=1e-8, atol=1e-8)


def test_a_weight_that_says_all_stays_as_it_is(case):
    _, weight, _, normal = case
    normal = Normal(normal.gram, weight @ normal.gram)
    torch.testing.assert_close(refitted(weight, normal, torch.arange(D_IN), DAMPING), weight, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("width", [1, 3])
def test_the_first_to_leave_is_the_one_that_is_missed_least(case, width):
    h, weight, said, normal = case
    units = torch.arange(D_IN).view(-1, width)
    errors = []
    for gone in range(len(units)):
        kept = units[[unit for unit in range(len(units)) if unit != gone]].flatten().tolist()
        # what is held back of the column that is gone costs the same whichever it is counted for
        held = DAMPING * normal.gram.diagonal().mean() * weight[:, units[gone]].square().sum()
        errors.append(lstsq(h, weight, said, kept)[1] + float(held))
    kept = obs(weight, normal, len(units) - 1, width, 1, DAMPING)
    gone = (set(range(D_IN)) - set(kept.tolist())).pop() // width
    assert gone == min(range(len(errors)), key=errors.__getitem__)


def test_every_set_keeps_as_many(case):
    _, weight, _, normal = case
    for choose in (obs, wanda):
        kept = choose(weight, normal, 2, 1, 3, DAMPING)
        assert kept.tolist() == sorted(set(kept.tolist()))
        assert [sum(first <= column < first + 4 for column in kept.tolist()) for first in (0, 4, 8)] == [2, 2, 2]


def test_brain_surgeon_errs_less_than_wanda():
    errors = {obs: 0.0, wanda: 0.0}
    for seed in range(12):
        h, weight, said, normal = drawn(seed)
        for choose in errors:
            errors[choose] += lstsq(h, weight, said, choose(weight, normal, 6, 1, 1, DAMPING).tolist())[1]
    assert errors[obs] < 0.8 * errors[wanda]


def test_what_leaves_costs_what_the_least_error_grows(case):
    h, weight, said, normal = case
    kept = obs(weight, normal, 6, 1, 1, DAMPING).tolist()
    gone = [column for column in range(D_IN) if column not in kept]
    held = float(DAMPING * normal.gram.diagonal().mean() * weight[:, gone].square().sum())
    grown = lstsq(h, weight, said, kept)[1] + held - lstsq(h, weight, said, list(range(D_IN)))[1]
    costs = [cost for _, cost in leaving(weight, normal, 6, 1, 1, DAMPING)]
    assert sum(costs) == pytest.approx(grown, rel=1e-6)


def test_wanda_keeps_what_is_large_where_inputs_are_large():
    gram = torch.diag(torch.tensor([1.0, 100.0, 4.0, 1.0], dtype=torch.float64))
    weight = torch.tensor([[1.0, -0.5, 1.0, 2.5], [1.0, 0.0, 1.0, 0.0]], dtype=torch.float64)
    assert wanda(weight, Normal(gram, weight @ gram), 2, 1, 1, DAMPING).tolist() == [1, 2]


def test_a_channel_that_never_speaks_leaves_first():
    gram = torch.eye(6, dtype=torch.float64)
    gram[2] = gram[:, 2] = 0.0
    weight = torch.ones(2, 6, dtype=torch.float64)
    assert obs(weight, Normal(gram, weight @ gram), 5, 1, 1, DAMPING).tolist() == [0, 1, 3, 4, 5]


def test_settings_that_choose_nothing_are_refused():
    with pytest.raises(UserError, match="obs, wanda"):
        check_score("channels", "obst", 0.01)
    with pytest.raises(UserError, match="above 0"):
        check_score("channels", "obs", 0.0)
    for share in (-0.1, 1.0):
        with pytest.raises(UserError, match="below 1"):
            check_share("channels", share)

"""Intervals and p-values beside scipy's, and whether the intervals hold what they promise."""

import sys

import numpy as np
import pytest
from scipy import stats

from firsthand.errors import UserError
from firsthand.experiments.statistics import estimate, holm, need_scipy, paired

BITS = [2.31, 2.29, 2.335, 2.302, 2.318]


@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_interval_is_students(count: int) -> None:
    values = BITS[:count]
    found = estimate(values)
    low, high = stats.t.interval(0.95, count - 1, loc=np.mean(values), scale=stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)
    assert found.mean == pytest.approx(np.mean(values), abs=1e-15)


def test_an_interval_from_a_book() -> None:
    """t(0.975, 2) is 4.303 in every table: 1, 2, 3 have mean 2 and standard error 1/sqrt(3)."""
    assert estimate([1.0, 2.0, 3.0]).margin == pytest.approx(4.3027 / 3**0.5, rel=1e-4)


def test_one_value_has_no_interval() -> None:
    found = estimate([2.5])
    assert (found.mean, found.margin, found.low, found.high) == (2.5, None, None, None)
    assert paired([2.5], [2.0]).p is None


@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_paired_test_is_scipys(count: int) -> None:
    others = [2.4, 2.33, 2.41, 2.38, 2.37]
    found = paired(others[:count], BITS[:count])
    assert found.p == pytest.approx(stats.ttest_rel(others[:count], BITS[:count]).pvalue, rel=1e-9)
    assert found.estimate.mean > 0


def test_equal_runs_are_no_difference_and_exact_steps_are_one() -> None:
    assert paired(BITS, BITS).p == 1.0
    assert paired([3.0, 4.0], [1.0, 2.0]).p == 0.0


def test_holm_by_hand() -> None:
    """Sorted 0.01, 0.02, 0.04 times 3, 2, 1, none below the one before; None stays out of the count."""
    assert holm([0.04, None, 0.01, 0.02]) == pytest.approx([0.04, None, 0.03, 0.04], nan_ok=True)
    assert holm([0.6, 0.5]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize("count", [2, 3, 8])
def test_nineteen_intervals_in_twenty_hold_the_truth(count: int) -> None:
    draws = np.random.default_rng(0).normal(2.3, 0.02, (4000, count))
    found = [estimate(row.tolist()) for row in draws]
    held = np.mean([each.low <= 2.3 <= each.high for each in found])
    assert held == pytest.approx(0.95, abs=0.011)  # three standard errors of 4,000 draws


def test_where_nothing_differs_one_comparison_in_twenty_errs() -> None:
    """Seeds move both variants together, so unpaired figures spread ten times as far as their differences."""
    random = np.random.default_rng(1)
    seeds = random.normal(2.3, 0.1, (3000, 3))
    runs = seeds[:, None] + random.normal(0, 0.01, (3000, 5, 3))
    found = [[paired(other.tolist(), base.tolist()).p for other in others] for base, *others in runs]
    alone = np.mean([p[0] < 0.05 for p in found])
    any_raw = np.mean([min(p) < 0.05 for p in found])
    any_corrected = np.mean([min(p for p in holm(row) if p is not None) < 0.05 for row in found])
    assert alone == pytest.approx(0.05, abs=0.012)
    assert any_raw > 0.12  # four comparisons without correction find something too often
    assert any_corrected < 0.062


def test_pairing_finds_what_unpaired_figures_hide() -> None:
    seeds = np.array([2.2, 2.3, 2.4])
    better = seeds - 0.02 + np.array([0.001, -0.001, 0.0005])
    assert paired(better.tolist(), seeds.tolist()).p == pytest.approx(0.0008, abs=0.0006)
    assert stats.ttest_ind(better, seeds).pvalue > 0.5


def test_without_scipy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    with pytest.raises(UserError, match=r"firsthand\[lab\]"):
        need_scipy()

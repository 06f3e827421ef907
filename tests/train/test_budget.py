import pytest

from firsthand.errors import UserError
from firsthand.train.budget import Budget, Progress


def test_the_nearest_bound_decides():
    budget = Budget(steps=100, tokens=1e6, seconds=60.0)
    assert budget.fraction(Progress(50, 100_000, 6.0)) == 0.5
    assert budget.fraction(Progress(50, 900_000, 6.0)) == 0.9
    assert budget.fraction(Progress(50, 100_000, 600.0)) == 1.0


def test_flops_bound_a_run():
    assert Budget(flops=1e12).fraction(Progress(flops=2.5e11)) == 0.25


def test_a_run_without_an_end_is_refused():
    with pytest.raises(UserError, match=r"train\.steps"):
        Budget()

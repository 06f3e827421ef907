import itertools
import math

import pytest

from firsthand.errors import UserError
from firsthand.train.schedules import SCHEDULES, warmup_cosine, warmup_stable_decay


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_stays_in_range_and_starts_at_its_warm_up(name):
    schedule = SCHEDULES[name](warmup=0.1)
    values = [schedule(step / 1000) for step in range(1001)]
    assert values[0] == 0.0
    assert max(values) == pytest.approx(1.0)
    assert min(values[100:]) >= 0.0
    assert all(late <= early + 1e-12 for early, late in itertools.pairwise(values[100:]))


@pytest.mark.parametrize("name", SCHEDULES)
def test_without_warm_up_the_first_step_learns(name):
    assert SCHEDULES[name](warmup=0.0)(0.0) == pytest.approx(1.0)


def test_cosine_is_half_way_down_in_the_middle():
    assert warmup_cosine(warmup=0.0, final=0.0)(0.5) == pytest.approx(0.5)
    assert warmup_cosine(warmup=0.0, final=0.0)(0.25) == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))


def test_stable_then_decay():
    schedule = warmup_stable_decay(warmup=0.1, decay=0.4, final=0.2)
    assert schedule(0.05) == 0.5
    assert schedule(0.3) == schedule(0.6) == 1.0
    assert schedule(0.8) == pytest.approx(0.6)
    assert schedule(1.0) == pytest.approx(0.2)


def test_impossible_fractions_are_refused():
    with pytest.raises(UserError, match="warmup"):
        warmup_cosine(warmup=1.5)
    with pytest.raises(UserError, match="decay"):
        warmup_stable_decay(warmup=0.5, decay=0.6)

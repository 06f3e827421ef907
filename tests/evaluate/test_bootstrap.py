"""Intervals: where the truth is known, and against scipy's bootstrap."""

import math

import numpy as np
import pytest

from firsthand.evaluate.bootstrap import bootstrap


def test_the_mean_and_its_standard_error():
    values = [1.0, 0.0, 1.0, 1.0, 0.0]
    found = bootstrap(values)
    assert found.value == 0.6
    assert found.standard_error == pytest.approx(np.std(values, ddof=1) / math.sqrt(5))
    assert 0 <= found.low < 0.6 < found.high <= 1
    assert found == bootstrap(values)
    many = [0.1 * i for i in range(30)]
    assert bootstrap(many) != bootstrap(many, seed=1)


def test_equals_scipy():
    stats = pytest.importorskip("scipy.stats", reason="the extra lab is not installed")
    values = np.random.default_rng(1).exponential(size=200)
    found = bootstrap(values.tolist())
    theirs = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=5000, random_state=3)
    assert found.low == pytest.approx(theirs.confidence_interval.low, abs=0.02)
    assert found.high == pytest.approx(theirs.confidence_interval.high, abs=0.02)
    assert found.standard_error == pytest.approx(theirs.standard_error, rel=0.1)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    random = np.random.default_rng(2)
    found = [bootstrap((random.random(100) < 0.3).tolist(), seed=i) for i in range(200)]
    assert 0.9 <= np.mean([one.low <= 0.3 <= one.high for one in found]) <= 0.99


def test_a_ratio_of_sums():
    random = np.random.default_rng(3)
    tokens = random.integers(1, 50, 300)
    nats = tokens * random.normal(2.0, 0.5, 300)
    found = bootstrap(nats.tolist(), tokens.tolist())
    assert found.value == pytest.approx(nats.sum() / tokens.sum())
    drawn = [random.integers(300, size=300) for _ in range(2000)]
    spread = np.std([nats[i].sum() / tokens[i].sum() for i in drawn])
    assert found.standard_error == pytest.approx(spread, rel=0.1)
    assert found.high - found.low == pytest.approx(2 * 1.96 * spread, rel=0.15)


def test_too_little_for_an_interval():
    assert math.isnan(bootstrap([]).value)
    one = bootstrap([0.5])
    assert (one.value, one.standard_error, one.low, one.high, one.samples) == (0.5, None, None, None, 1)

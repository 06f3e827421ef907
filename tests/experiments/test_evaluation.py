"""What is made of the samples of an evaluation."""

import math

import pytest

from firsthand.evaluate.bootstrap import Figure
from firsthand.experiments import evaluation


def test_those_before_an_interruption_are_kept():
    def samples(ends_after):
        for number in range(5):
            if number == ends_after:
                raise KeyboardInterrupt
            yield number

    counted = []
    assert evaluation.until_interrupted(samples(3), counted.append) == [0, 1, 2]
    assert counted == [1, 1, 1]
    assert evaluation.until_interrupted(samples(9), counted.append) == [0, 1, 2, 3, 4]
    with pytest.raises(KeyboardInterrupt):
        evaluation.until_interrupted(samples(0), counted.append)


def test_perplexity_has_the_interval_of_nats():
    found = evaluation._exponential(Figure(2.0, 0.1, 1.8, 2.2, 9))
    assert (found.value, found.low, found.high) == (math.exp(2), math.exp(1.8), math.exp(2.2))
    assert found.standard_error == pytest.approx(0.1 * math.exp(2))
    assert evaluation._exponential(Figure(1e6, None, None, None, 1)).value == math.inf

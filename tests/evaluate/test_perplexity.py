"""From nats to perplexity and bits per byte."""

import math

import pytest

from firsthand.evaluate.perplexity import Score, bits_per_byte, perplexity


def test_knowing_nothing_of_bytes_costs_eight_bits_and_leaves_256_choices():
    score = Score(100 * math.log(256), 100)
    assert score.perplexity == pytest.approx(256)
    assert score.bits_per_byte(100) == bits_per_byte(score.nats, 100) == pytest.approx(8)


def test_nats_beyond_what_a_float_holds_are_an_infinite_perplexity():
    assert perplexity(699.0) < math.inf
    assert perplexity(1e6) == math.inf
    assert Score(1e9, 1).perplexity == math.inf

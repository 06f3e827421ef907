"""Filters against slow definitions, draws against their distribution, and numbers that depend on nothing else."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from firsthand.errors import UserError
from firsthand.generate.sampling import distribution, keyed_uniform, penalize, sample

FILTERS = [
    {},
    {"temperature": 0.5},
    {"temperature": 2.0},
    {"top_k": 5},
    {"top_p": 0.8},
    {"min_p": 0.1},
    {"temperature": 1.5, "top_k": 12, "top_p": 0.9, "min_p": 0.05},
]


def logits_of(seed: int, rows: int = 1, vocab_size: int = 30) -> torch.Tensor:
    return torch.randn(rows, vocab_size, generator=torch.Generator().manual_seed(seed)) * 2


def slow_distribution(logits, temperature=1.0, top_k=None, top_p=None, min_p=None):
    """One row, in plain Python, straight from the definitions."""
    weights = [np.exp(float(x) / temperature) for x in logits]
    order = sorted(range(len(weights)), key=lambda i: (-weights[i], i))
    kept = order[: top_k or len(order)]
    if top_p is not None:
        total, running, nucleus = sum(weights[i] for i in kept), 0.0, []
        for i in kept:
            nucleus.append(i)
            running += weights[i] / total
            if running >= top_p:
                break
        kept = nucleus
    if min_p is not None:
        kept = [i for i in kept if weights[i] >= min_p * weights[order[0]]]
    total = sum(weights[i] for i in kept)
    return [weights[i] / total if i in kept else 0.0 for i in range(len(weights))]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    temperature=st.floats(0.1, 4),
    top_k=st.none() | st.integers(1, 40),
    top_p=st.none() | st.floats(0.05, 0.999),
    min_p=st.none() | st.floats(0, 0.9),
)
def test_the_filters_are_their_definitions(seed, temperature, top_k, top_p, min_p):
    logits = logits_of(seed, rows=3)
    got = distribution(logits, temperature, top_k, top_p, min_p=min_p)
    for row, wanted in zip(got, logits, strict=True):
        assert row.tolist() == pytest.approx(slow_distribution(wanted, temperature, top_k, top_p, min_p), abs=1e-5)


@pytest.mark.parametrize("filters", FILTERS, ids=str)
def test_v11_draws_follow_the_distribution(filters):
    """20,000 draws against the softmax under each filter; chi-square, seed fixed, so it never flickers."""
    draws, logits = 20_000, logits_of(3)
    uniform = keyed_uniform(7, [0], [0], draws)[0]
    ids = sample(logits.expand(draws, -1), **filters, uniform=uniform)
    counts = torch.bincount(ids, minlength=30).double()
    expected = distribution(logits, **filters)[0].double() * draws
    assert counts[expected == 0].sum() == 0
    common = expected >= 5
    # the rare ones together, so that every cell is large enough for the approximation
    observed = torch.cat([counts[common], counts[~common].sum()[None]])
    wanted = torch.cat([expected[common], expected[~common].sum()[None]])
    observed, wanted = observed[wanted > 0], wanted[wanted > 0]
    statistic = ((observed - wanted) ** 2 / wanted).sum()
    freedom = torch.tensor(len(wanted) - 1.0, dtype=torch.float64)
    assert torch.special.gammaincc(freedom / 2, statistic / 2) > 0.01


def test_temperature_zero_takes_the_most_probable():
    logits = logits_of(0, rows=8)
    assert sample(logits, 0.0).tolist() == logits.argmax(-1).tolist()
    assert sample(logits, 1e-30).tolist() == logits.argmax(-1).tolist()
    assert sample(logits, top_k=1).tolist() == logits.argmax(-1).tolist()
    assert sample(logits, top_p=1e-9).tolist() == logits.argmax(-1).tolist()
    assert sample(logits, min_p=1.0).tolist() == logits.argmax(-1).tolist()


def test_equals_are_cut_at_exactly_k():
    assert distribution(torch.zeros(1, 6), top_k=2).tolist() == [[0.5, 0.5, 0, 0, 0, 0]]


def test_the_token_that_crosses_top_p_stays():
    probabilities = torch.tensor([[0.25, 0.5, 0.125, 0.125]])
    assert distribution(probabilities.log(), top_p=0.6)[0].count_nonzero() == 2
    assert distribution(probabilities.log(), top_p=0.5)[0].count_nonzero() == 1


def test_excluded_tokens_are_never_drawn_at_the_edges():
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf, 0.0, -torch.inf]])
    edge = torch.tensor([0.0, 0.5, 1 - 2.0**-53], dtype=torch.float64)
    assert sample(logits.expand(3, -1), uniform=edge).tolist() == [1, 3, 3]


def test_the_generator_decides_and_the_logits_stay():
    logits = logits_of(1, rows=64)
    before = logits.clone()
    draws = [sample(logits, 1.0, 20, 0.95, torch.Generator().manual_seed(seed)).tolist() for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    assert torch.equal(logits, before)
    torch.manual_seed(5)
    assert len(sample(logits)) == 64


def test_repetition_penalty():
    logits = torch.tensor([[2.0, -2.0, 1.0]])
    seen = torch.tensor([[True, True, False]])
    assert penalize(logits, seen, 2.0).tolist() == [[1.0, -4.0, 1.0]]
    assert sample(logits, 0.0, repetition_penalty=4.0, seen=seen).tolist() == [2]
    assert distribution(logits, seen=seen, repetition_penalty=2.0).allclose(
        distribution(torch.tensor([[1.0, -4.0, 1.0]]))
    )


@pytest.mark.parametrize(
    "setting",
    [
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"top_k": 0},
        {"top_p": 0.0},
        {"top_p": 1.5},
        {"min_p": -0.1},
        {"min_p": 2.0},
        {"repetition_penalty": 0.0},
    ],
    ids=str,
)
def test_settings_out_of_range_are_named(setting):
    with pytest.raises(UserError, match=next(iter(setting))):
        sample(logits_of(0), **setting)


def test_v11_numbers_depend_on_seed_sequence_and_position_alone():
    block = keyed_uniform(5, [0, 1, 9], [0, 3, 1000], 50)
    assert torch.equal(keyed_uniform(5, [9], [1010], 10)[0], block[2, 10:20])
    assert torch.equal(keyed_uniform(5, [9, 1], [1010, 3], 10), torch.stack([block[2, 10:20], block[1, :10]]))
    values = [keyed_uniform(*key, 1).item() for key in itertools.product((0, 1, 2), ([0], [1]), ([0], [1]))]
    assert len(set(values)) == len(values)
    assert torch.equal(keyed_uniform(-1, [0], [0], 3), keyed_uniform((1 << 64) - 1, [0], [0], 3))


@pytest.mark.parametrize("axis", ["seed", "sequence", "position"])
def test_numbers_are_uniform_and_independent_along_every_axis(axis):
    n = 1 << 12
    if axis == "position":
        numbers = keyed_uniform(1, [4], [0], n)[0]
    elif axis == "sequence":
        numbers = keyed_uniform(1, list(range(n)), [4] * n, 1)[:, 0]
    else:
        numbers = torch.cat([keyed_uniform(seed, [1], [4], 1)[0] for seed in range(n)])
    assert numbers.min() >= 0
    assert numbers.max() < 1
    pairs = torch.histogramdd(torch.stack([numbers[:-1], numbers[1:]], -1), bins=[8, 8], range=[0.0, 1, 0, 1]).hist
    statistic = ((pairs - (n - 1) / 64) ** 2 / ((n - 1) / 64)).sum()
    assert torch.special.gammaincc(torch.tensor(63 / 2.0, dtype=torch.float64), statistic / 2) > 0.01

"""A permutation is a bijection, differs by key, and looks shuffled."""

import itertools
from collections import Counter

import numpy as np
import pytest

from firsthand.data.permutation import ROUNDS, keys, permute


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 97, 100, 255, 256, 257, 1009, 4095, 7919, 65537, 10**6])
def test_is_a_bijection(n):
    out = permute(np.arange(n), n, keys("test", n))
    assert np.array_equal(np.sort(out), np.arange(n))


def test_is_a_bijection_for_all_small_sizes_and_several_keys():
    for n, seed in itertools.product(range(1, 130), range(5)):
        assert sorted(permute(np.arange(n), n, keys("small", seed)).tolist()) == list(range(n))


def test_any_block_of_it_is_what_the_whole_has_there():
    whole = permute(np.arange(10007), 10007, keys("block"))
    for first in (0, 1, 5000, 9990):
        assert np.array_equal(
            permute(np.arange(first, min(first + 64, 10007)), 10007, keys("block")), whole[first : first + 64]
        )


def test_far_beyond_what_could_be_stored():
    n = 10**17 + 3
    out = permute(np.arange(n - 1000, n), n, keys("huge"))
    assert len(set(out.tolist())) == 1000
    assert 0 <= out.min() <= out.max() < n
    assert out.min() < n // 100 < n - n // 100 < out.max()


def test_keys_are_what_they_were():
    # a change here would silently reorder the data of every stored run
    assert keys("order", 0, 0, count=2).tolist() == [13427845354823870165, 14156563508084865956]
    assert permute(np.arange(8), 1000, keys("order", 0, 0)).tolist() == [693, 990, 192, 494, 891, 554, 785, 558]


def test_small_permutations_are_all_equally_likely():
    draws = 24 * 200
    seen = Counter(tuple(permute(np.arange(4), 4, keys("chi", seed)).tolist()) for seed in range(draws))
    chi_square = sum((seen[order] - 200) ** 2 / 200 for order in itertools.permutations(range(4)))
    assert chi_square < 41.6  # 23 degrees of freedom, p = 0.01


def test_an_element_lands_anywhere_and_neighbours_part():
    n, draws = 1000, 4000
    out = np.stack([permute(np.arange(500, 502), n, keys("spread", seed)) for seed in range(draws)])
    counts = np.bincount(out[:, 0] // 50, minlength=20)
    assert ((counts - 200) ** 2 / 200).sum() < 36.2  # 19 degrees of freedom, p = 0.01
    distance = np.bincount((out[:, 1] - out[:, 0]) % n // 50, minlength=20)
    assert ((distance - 200) ** 2 / 200).sum() < 36.2


def test_fixed_points_and_order_are_as_rare_as_in_a_shuffle():
    out = permute(np.arange(100_000), 100_000, keys("whole"))
    assert (out == np.arange(100_000)).sum() < 10
    assert abs((np.diff(out) > 0).mean() - 0.5) < 0.01
    assert abs(np.corrcoef(out, np.arange(100_000))[0, 1]) < 0.01


def test_takes_one_key_a_round():
    with pytest.raises(AssertionError, match="one key a round"):
        permute(np.arange(3), 3, keys("short", count=ROUNDS - 1))

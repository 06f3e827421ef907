"""Processes of lesson 18: each knows its rank, and one that fails is told."""

import pytest

from firsthand.learn.ranks import run_ranks


def squared(number):
    return number * number


def told(number):
    import os

    return {"rank": int(os.environ["RANK"]), "world": int(os.environ["WORLD_SIZE"]), "square": squared(number)}


def failing():
    raise SystemExit(3)


def test_every_rank_says_what_it_found():
    expected = [{"rank": rank, "world": 2, "square": 49} for rank in range(2)]
    assert run_ranks((squared, told), 2, 7) == expected


def test_a_rank_that_fails_is_told():
    with pytest.raises(RuntimeError, match="a rank stopped"):
        run_ranks((failing,), 1)

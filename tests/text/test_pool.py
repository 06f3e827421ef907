"""The stream over all cores: in order, bounded, and the same when processes die."""

import functools
import importlib
import os
import sys
import time
from collections.abc import Iterator

import pytest

from firsthand.errors import UserError
from firsthand.text import pool
from firsthand.text.pool import ordered_map

WORK = """
import os, time

from firsthand.errors import UserError

def square(x):
    return x * x

def where(x):
    return os.getpid()

def refuse(x):
    if x == 3:
        raise UserError("three is not welcome")
    return x

def die_elsewhere(parent, x):
    if os.getpid() != parent and x == 4:
        os._exit(1)
    return x * x
"""


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch):
    """A module that other processes can import, as they cannot import a test."""
    (tmp_path / "pool_work.py").write_text(WORK)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("pool_work")
    del sys.modules["pool_work"]


@pytest.mark.parametrize("workers", [None, 1, 2])
def test_results_come_in_order(work, workers):
    assert list(ordered_map(work.square, range(40), workers)) == [x * x for x in range(40)]
    assert list(ordered_map(work.square, [], workers)) == []


def test_processes_are_used_when_asked_for(work):
    assert os.getpid() not in set(ordered_map(work.where, range(3), 2))
    assert set(ordered_map(work.where, range(3), 1)) == {os.getpid()}


def test_a_small_stream_starts_no_process(work, monkeypatch):
    monkeypatch.setattr(pool, "_cores", lambda: 4)
    assert set(ordered_map(work.where, range(3))) == {os.getpid()}


def test_a_long_one_goes_over_to_processes(work, monkeypatch):
    monkeypatch.setattr(pool, "_cores", lambda: 2)
    monkeypatch.setattr(pool, "PATIENCE", 0.0)
    first, *rest = ordered_map(work.where, range(4))
    assert first == os.getpid()
    assert os.getpid() not in rest


def test_only_a_few_items_are_taken_ahead(work):
    taken = []

    def items() -> Iterator[int]:
        for x in range(50):
            taken.append(x)
            yield x

    results = ordered_map(work.square, items(), 2)
    assert next(results) == 0
    assert len(taken) <= 2 * 2 + 1
    results.close()


def test_dead_processes_are_noted_and_lose_nothing(work):
    notes = []
    found = list(ordered_map(functools.partial(work.die_elsewhere, os.getpid()), range(12), 2, notes.append))
    assert found == [x * x for x in range(12)]
    assert len(notes) == 1
    assert "The worker processes died" in notes[0]


def test_an_error_in_a_process_is_the_callers_error(work):
    results = ordered_map(work.refuse, range(6), 2)
    with pytest.raises(UserError, match="three is not welcome"):
        list(results)


def test_stopping_early_stops_the_processes(work):
    started = time.monotonic()
    results = ordered_map(functools.partial(time.sleep), [0.01] * 1000, 2)
    next(results)
    results.close()
    assert time.monotonic() - started < 60

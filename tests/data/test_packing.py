"""Windows: targets are the inputs shifted by one, none is lost, none is invented."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from firsthand.data.packing import get_batch, split, windows
from firsthand.types import IGNORE


def test_a_small_text():
    x, y = windows(torch.arange(10, 17), 4)
    assert x.tolist() == [[10, 11, 12, 13], [14, 15, 0, 0]]
    assert y.tolist() == [[11, 12, 13, 14], [15, 16, IGNORE, IGNORE]]


def test_windows_that_overlap():
    x, y = windows(torch.arange(7), 4, stride=2)
    assert x.tolist() == [[0, 1, 2, 3], [2, 3, 4, 5]]
    assert y.tolist() == [[1, 2, 3, 4], [3, 4, 5, 6]]


def test_windows_with_gaps():
    x, y = windows(torch.arange(8), 2, stride=3)
    assert x.tolist() == [[0, 1], [3, 4], [6, 0]]
    assert y.tolist() == [[1, 2], [4, 5], [7, IGNORE]]


def test_a_text_shorter_than_a_window_is_one_window():
    x, y = windows(torch.tensor([7, 8]), 4)
    assert x.tolist() == [[7, 0, 0, 0]]
    assert y.tolist() == [[8, IGNORE, IGNORE, IGNORE]]


@pytest.mark.parametrize("length", [0, 1])
def test_without_a_target_there_is_no_window(length):
    with pytest.raises(ValueError, match="no target"):
        windows(torch.zeros(length, dtype=torch.int64), 4)


def test_targets_in_another_document_are_ignored():
    x, y = windows(torch.tensor([1, 2, 3, 4, 5]), 4, document=torch.tensor([0, 0, 1, 1, 2]))
    assert x.tolist() == [[1, 2, 3, 4]]
    assert y.tolist() == [[2, IGNORE, 4, IGNORE]]


def test_ids_of_any_integer_type_become_int64():
    x, y = windows(torch.arange(9, dtype=torch.int32), 4)
    assert (x.dtype, y.dtype) == (torch.int64, torch.int64)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(2, 60), st.integers(1, 12), st.integers(1, 12))
def test_every_target_that_a_window_can_hold_is_there(length, context_length, stride):
    ids = torch.arange(length)
    x, y = windows(ids, context_length, stride)
    seen = y != IGNORE
    assert torch.equal(y[seen], x[seen] + 1)
    assert (x[~seen] == 0).all()
    assert seen.any(1).all(), "no window is empty"
    assert x[:, 0].tolist() == [start * stride for start in range(len(x))]
    held = set(y[seen].tolist())
    possible = {t + 1 for start in range(0, length, stride) for t in range(start, start + context_length)}
    assert held == {t for t in possible if t < length}
    if stride == context_length:
        assert sorted(y[seen].tolist()) == list(range(1, length))
    if stride <= context_length:
        assert len(x) == 1 or (length - 1) > (len(x) - 2) * stride + context_length, "no window without a new target"


def test_the_end_is_held_out():
    train, validation = split(torch.arange(10), 0.3)
    assert train.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert validation.tolist() == [7, 8, 9]


@pytest.mark.parametrize(("length", "fraction"), [(0, 0.1), (3, 0.0), (3, 1.0), (1, 0.5)])
def test_a_side_without_a_token_is_an_error(length, fraction):
    with pytest.raises(ValueError, match="one side empty"):
        split(torch.arange(length), fraction)


def test_a_batch_comes_from_all_places_and_back_with_its_seed():
    x, y = get_batch(torch.arange(9), 200, 4, torch.Generator().manual_seed(0))
    assert x.shape == y.shape == (200, 4)
    assert set(x[:, 0].tolist()) == {0, 1, 2, 3, 4}
    assert torch.equal(x[:, 1:], y[:, :-1])
    assert torch.equal(y, x + 1)
    assert torch.equal(x, get_batch(torch.arange(9), 200, 4, torch.Generator().manual_seed(0))[0])


def test_a_text_too_short_for_a_batch():
    with pytest.raises(ValueError, match="needs 5 tokens, and there are 4"):
        get_batch(torch.arange(4), 2, 4, torch.Generator())

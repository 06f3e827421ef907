"""Batches of texts with classes: one target each, the right one, and the same batch whenever it is asked for."""

import pytest
import torch

from firsthand.data.labelled import ExampleLoader, Examples, in_order
from firsthand.errors import UserError
from firsthand.types import IGNORE

ROWS = [[token + 1] * (2 + (7 * token) % 13) for token in range(50)]
EXAMPLES = Examples.of(ROWS, [token % 3 for token in range(50)])


def test_the_only_target_is_the_class_at_the_last_real_token():
    batch = EXAMPLES.batch([3, 0, 9], at_most=6)
    assert batch.inputs.shape == (3, 6)
    for row, number in enumerate([3, 0, 9]):
        length = min(6, len(ROWS[number]))
        assert batch.inputs[row].tolist() == ROWS[number][:length] + [0] * (6 - length)
        expected = [IGNORE] * 6
        expected[length - 1] = number % 3
        assert batch.targets[row].tolist() == expected


def test_an_epoch_has_every_text_once_and_the_next_one_another_order():
    loader = ExampleLoader(EXAMPLES, 8, 40, seed=1)
    assert loader.steps_per_epoch == 10
    epochs = [[int(batch.inputs[r, 0]) for step in range(10 * e, 10 * e + 10) for batch in loader.batch(step)
               for r in range(5)] for e in range(2)]  # fmt: skip
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(1, 51))
    assert epochs[0] != epochs[1]


def test_a_batch_is_a_function_of_its_number_whatever_was_asked_before():
    one, other = (ExampleLoader(EXAMPLES, 8, 48, seed=1, microbatches=2) for _ in range(2))
    for step in (17, 3, 9):
        other.batch(step)
    for mine, its in zip(one.batch(5), other.batch(5), strict=True):
        assert torch.equal(mine.inputs, its.inputs)
        assert torch.equal(mine.targets, its.targets)


def test_ranks_share_a_step_among_them():
    whole = {int(i) for batch in ExampleLoader(EXAMPLES, 8, 64, microbatches=4).batch(3) for i in batch.inputs[:, 0]}
    ranks = [ExampleLoader(EXAMPLES, 8, 64, microbatches=4, rank=rank, world=2).batch(3) for rank in range(2)]
    parts = [{int(i) for batch in batches for i in batch.inputs[:, 0]} for batches in ranks]
    assert len(ranks[0]) == 2
    assert parts[0] | parts[1] == whole
    assert not parts[0] & parts[1]
    with pytest.raises(UserError, match="microbatches=3"):
        ExampleLoader(EXAMPLES, 8, 64, microbatches=3)


def test_rows_of_a_batch_are_of_like_length():
    loader = ExampleLoader(EXAMPLES, 20, 100)
    padded = sum(batch.inputs.numel() for step in range(10) for batch in loader.batch(step))
    assert padded < 1.15 * sum(map(len, ROWS))


def test_evaluation_has_every_text_once():
    seen = [row for rows, batch in in_order(EXAMPLES, 8, 7) for row in rows]
    assert sorted(seen) == list(range(50))

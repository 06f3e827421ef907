"""Made-up tasks: every answer can be found in the row, and nothing else is asked."""

import pytest
import torch

from firsthand.data.tasks import TASKS
from firsthand.data.tasks.copying import Copying
from firsthand.data.tasks.loader import TaskLoader, examination
from firsthand.data.tasks.recall import Recall
from firsthand.errors import UserError
from firsthand.types import IGNORE


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("size", [1, 5, 32])
def test_rows_have_the_promised_shape_and_known_ids(name, size):
    task = TASKS[name]()
    ids, targets = task.rows(7, size, generator())
    assert ids.shape == targets.shape == (7, task.length(size))
    assert ids.min() >= 0
    assert max(ids.max(), targets.max()) < task.vocab_size
    assert ((targets != IGNORE).sum(1) == size).all()
    known = targets[:, :-1] != IGNORE
    assert torch.equal(targets[:, :-1][known], ids[:, 1:][known])


def test_recall_asks_every_key_once_for_the_value_that_it_was_shown_with():
    ids, targets = Recall(16).rows(5, 6, generator())
    for row, answers in zip(ids.tolist(), targets.tolist(), strict=True):
        shown = dict(zip(row[0:12:2], row[1:12:2], strict=True))
        assert len(shown) == 6
        asked = {row[t]: answers[t] for t in range(len(row)) if answers[t] != IGNORE}
        assert asked == shown


def test_recall_asks_in_another_order():
    ids, _ = Recall(16).rows(50, 6, generator())
    assert (ids[:, 0:12:2] != ids[:, 12::2]).any(1).float().mean() > 0.9


def test_recall_has_only_so_many_keys():
    with pytest.raises(UserError, match="17 pairs need as many keys, and there are 1 to 16"):
        Recall(16).rows(1, 17, generator())


def test_copying_asks_for_the_string_after_the_mark():
    ids, targets = Copying(8).rows(4, 5, generator())
    assert (ids[:, 5] == 8).all()
    assert torch.equal(targets[:, 5:], ids[:, :5])
    assert (targets[:, :5] == IGNORE).all()


@pytest.mark.parametrize("name", TASKS)
def test_a_batch_is_a_function_of_seed_and_step(name):
    task = TASKS[name]()
    one, other = TaskLoader(task, [3, 9], 200, seed=1), TaskLoader(task, [3, 9], 200, seed=1)
    for step in (5, 0):
        [batch], [same] = one.batch(step), other.batch(step)
        assert torch.equal(batch.inputs, same.inputs)
        assert torch.equal(batch.targets, same.targets)
    lengths = {one.batch(step)[0].inputs.shape[1] for step in range(20)}
    assert lengths == {task.length(3), task.length(9)}
    assert not torch.equal(one.batch(0)[0].inputs, TaskLoader(task, [3, 9], 200, seed=2).batch(0)[0].inputs)
    assert all(100 < one.batch(step)[0].inputs.numel() <= 200 for step in range(5))


def test_the_examination_is_the_same_for_all_and_not_what_was_practised():
    task = Recall()
    assert torch.equal(examination(task, 4, 9).inputs, examination(task, 4, 9).inputs)
    practised = {tuple(row) for step in range(9) for row in TaskLoader(task, [4], 300).batch(step)[0].inputs.tolist()}
    assert not practised & {tuple(row) for row in examination(task, 4, 200).inputs.tolist()}

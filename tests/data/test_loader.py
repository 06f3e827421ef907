"""The order of the data is arithmetic: whole epochs, any number of ranks, any step at once (R11)."""

import numpy as np
import pytest
import torch

from firsthand.data import loader as loader_module
from firsthand.data.loader import Loader, evaluation
from firsthand.data.shards import Tokens
from firsthand.errors import UserError
from firsthand.types import IGNORE, Batch


def corpus(length: int, **more: object) -> Tokens:
    """Every token its own id, so that a target says which token it is."""
    return Tokens.of(np.arange(length, dtype=np.uint32), **more)  # type: ignore[arg-type]


def rows(batches: list[Batch]) -> torch.Tensor:
    return torch.cat([torch.stack([batch.inputs, batch.targets], 1) for batch in batches])


def epoch_targets(loader: Loader, epoch: int) -> torch.Tensor:
    """The targets of one epoch, of a loader whose steps divide the epoch."""
    steps = range(epoch * loader.steps_per_epoch, (epoch + 1) * loader.steps_per_epoch)
    assert loader.windows_per_epoch % loader.rows == 0
    kept = torch.cat([rows(loader.batch(step))[:, 1].flatten() for step in steps])
    return kept[kept != IGNORE]


@pytest.mark.parametrize(
    ("length", "context", "batch_rows"), [(65, 8, 4), (1001, 10, 5), (1000, 7, 11), (9, 8, 1), (241, 8, 6)]
)
def test_r11_every_token_but_the_first_is_a_target_exactly_once_an_epoch(length, context, batch_rows):
    loader = Loader(corpus(length), context, context * batch_rows, seed=3)
    for epoch in (0, 1, 7):
        assert epoch_targets(loader, epoch).sort().values.tolist() == list(range(1, length))


def test_a_target_is_the_token_after_its_input():
    loader = Loader(corpus(1000), 16, 64)
    for step in range(60):
        inputs, targets = rows(loader.batch(step)).unbind(1)
        seen = targets != IGNORE
        assert torch.equal(targets[seen], inputs[seen] + 1)


def test_r11_the_batch_is_the_same_for_any_number_of_ranks():
    for step in (0, 1, 17, 10**6):
        whole = rows(Loader(corpus(5000), 8, 512, microbatches=8).batch(step))
        for world in (1, 2, 4, 8):
            parts = [
                Loader(corpus(5000), 8, 512, microbatches=8, rank=rank, world=world).batch(step)
                for rank in range(world)
            ]
            assert [len(part) for part in parts] == [8 // world] * world
            assert torch.equal(torch.cat([rows(part) for part in parts]), whole)


def test_the_batch_is_the_same_however_it_is_cut_into_microbatches():
    cut = [rows(Loader(corpus(5000), 8, 512, microbatches=count).batch(5)) for count in (1, 2, 16, 64)]
    assert all(torch.equal(cut[0], other) for other in cut)


def test_r11_resuming_at_any_step_gives_the_batches_of_a_run_that_never_stopped():
    first = Loader(corpus(3000), 8, 256, seed=1)
    steps = 2 * first.steps_per_epoch + 1
    straight = [rows(first.batch(step)) for step in range(steps)]
    for step in range(0, steps, max(1, steps // 50)):
        assert torch.equal(rows(Loader(corpus(3000), 8, 256, seed=1).batch(step)), straight[step])


def test_r11_seeking_costs_the_same_at_any_step(monkeypatch):
    asked: list[int] = []
    permute = loader_module.permute
    monkeypatch.setattr(
        loader_module, "permute", lambda index, n, key: asked.append(len(index)) or permute(index, n, key)
    )
    loader = Loader(corpus(10**5), 8, 256)
    for step in (0, 10**3, 10**6, 10**9):
        asked.clear()
        loader.batch(step)
        assert sum(asked) == loader.rows
        assert len(asked) <= 2


def test_epochs_and_seeds_differ_and_one_seed_repeats():
    def order(seed: int, epoch: int) -> list[int]:
        return epoch_targets(Loader(corpus(641), 8, 80, seed=seed), epoch).tolist()

    orders = [order(seed, epoch) for seed in range(4) for epoch in range(4)]
    assert len({tuple(one) for one in orders}) == 16
    assert order(2, 3) == order(2, 3)


def test_the_shift_moves_the_window_borders_between_epochs():
    loader = Loader(corpus(641), 8, 640)
    starts = [set((loader.batch(epoch)[0].inputs[:, 0] % 8).tolist()) for epoch in range(20)]
    assert len(set(map(frozenset, starts))) > 4


def test_a_batch_may_hold_several_epochs_of_a_tiny_corpus():
    loader = Loader(corpus(17), 8, 8 * 6)
    targets = loader.batch(0)[0].targets
    assert sorted(targets.flatten().tolist()) == sorted(list(range(1, 17)) * 3)


@pytest.mark.parametrize(("context", "stride"), [(8, 4), (8, 2), (12, 3)])
def test_a_smaller_stride_makes_windows_overlap_and_every_token_a_target_equally_often(context, stride):
    tokens = corpus(12 * 20 + 1)
    loader = Loader(tokens, context, context * 4, stride=stride)
    assert loader.windows_per_epoch == 240 // stride
    counts = torch.bincount(epoch_targets(loader, 1), minlength=241)
    assert counts[0] == 0
    assert set(counts[1:].tolist()) == {context // stride}
    starts = torch.cat([batch.inputs[:, 0] for step in range(loader.steps_per_epoch) for batch in loader.batch(step)])
    assert set(starts.sort().values.diff().tolist()) == {stride}


def test_a_larger_stride_leaves_tokens_out_never_twice():
    loader = Loader(corpus(241), 8, 8 * 2, stride=12)
    targets = epoch_targets(loader, 0)
    assert len(targets) == len(set(targets.tolist())) == 20 * 8


def test_places_count_from_zero_and_know_their_tokens():
    batches = [batch for step in range(3) for batch in Loader(corpus(200), 8, 32, microbatches=2).batch(step)]
    assert batches[0].place.index.tolist() == [list(range(8))]
    loader = Loader(corpus(200), 8, 32)
    assert loader.batch(0)[0].place.index is loader.batch(9)[0].place.index
    assert all(batch.place.ids is batch.inputs for batch in batches)
    assert loader.batch(0)[0].place.document is None


def test_masked_documents_are_the_documents_of_the_tokens():
    starts = np.array([0, 50, 51, 130])
    loader = Loader(corpus(200, document_starts=starts), 8, 40, mask_documents=True)
    for step in range(loader.steps_per_epoch):
        batch = loader.batch(step)[0]
        document = batch.place.document
        assert document is not None
        expected = torch.from_numpy(np.searchsorted(starts, batch.inputs.numpy(), side="right") - 1)
        seen = batch.targets != IGNORE
        # behind the ring's end the same text counts as another one
        around = (batch.inputs < batch.inputs[:, :1]).long()
        assert torch.equal(document[seen], (expected + around * 5)[seen])
        assert set(document[~seen].tolist()) <= {-1}


def test_an_end_of_text_mark_opens_the_document_after_it():
    tokens = Tokens.of(np.array([1, 2, 0, 3, 4, 0, 5]), np.array([0, 3, 6]), end_of_text=0)
    batch = next(evaluation(tokens, 6, 1, mask_documents=True))
    assert batch.inputs.tolist() == [[1, 2, 0, 3, 4, 0]]
    assert batch.place.document is not None
    assert batch.place.document.tolist() == [[0, 0, 1, 1, 1, 2]]


@pytest.mark.parametrize("batch_rows", [1, 3, 4, 100])
@pytest.mark.parametrize("length", [2, 5, 9, 10, 33, 100])
def test_evaluation_has_every_target_once_in_order_and_one_shape(length, batch_rows):
    batches = list(evaluation(corpus(length), 8, batch_rows))
    targets = torch.cat([batch.targets.flatten() for batch in batches])
    assert targets[targets != IGNORE].tolist() == list(range(1, length))
    assert len({batch.inputs.shape for batch in batches}) == 1
    assert batches[0].inputs.shape[0] <= batch_rows
    seen = [batch.inputs[batch.targets != IGNORE] for batch in batches]
    assert torch.cat(seen).tolist() == list(range(length - 1))


def test_evaluation_documents_are_minus_one_on_padding():
    tokens = corpus(30, document_starts=np.array([0, 10]))
    for batch in evaluation(tokens, 8, 3, mask_documents=True):
        assert batch.place.document is not None
        assert torch.equal(batch.place.document == -1, batch.targets == IGNORE)


def test_evaluation_of_nothing_is_an_error_not_a_nan():
    for length in (0, 1):
        with pytest.raises(UserError, match=r"validation text is . token"):
            next(evaluation(corpus(length), 8, 2))


def test_a_corpus_too_short_says_by_how_much():
    with pytest.raises(UserError, match=r"100 tokens long, 29 too short .*context_length=128.* at most 99"):
        Loader(corpus(100), 128, 1280)
    assert Loader(corpus(129), 128, 1280).windows_per_epoch == 1


@pytest.mark.parametrize(
    ("batch_tokens", "microbatches", "world", "near"),
    [
        (1000, 4, 1, "768 or 1024"),
        (10, 1, 1, "64"),
        (1024, 3, 2, "2 or 4"),
        (1024, 1, 4, "4"),
        (1024, 5, 1, "960 or 1280"),
    ],
)
def test_sizes_that_do_not_divide_name_the_nearest_valid_ones(batch_tokens, microbatches, world, near):
    with pytest.raises(UserError, match=rf"Nearest valid: {near}\."):
        Loader(corpus(1000), 64, batch_tokens, microbatches=microbatches, world=world)

"""What the cache of attention keeps: without moving, in a ring, beside documents."""

import pytest
import torch

from firsthand.errors import UserError
from firsthand.model.mixers.attention import CausalSelfAttention
from firsthand.model.mixers.kv_cache import KVCache, slots
from firsthand.types import Place


def place(time, start=0):
    return Place(torch.arange(start, start + time).unsqueeze(0))


def cache(length=5, window=None, sink_tokens=0):
    return KVCache(2, 3, length, 4, 4, torch.zeros(()), window, sink_tokens)


def numbers(time, seed):
    return torch.randn(2, 3, time, 4, generator=torch.Generator().manual_seed(seed))


def test_the_cache_gives_back_all_so_far_without_moving():
    store = cache()
    memory = store.keys.data_ptr()
    reads = store.append(numbers(2, 1), numbers(2, 2), place(2))
    assert torch.equal(reads.keys, numbers(2, 1))
    for reads in (
        store.append(numbers(2, 3), numbers(2, 4), place(2, 2)),
        store.append(numbers(1, 5), numbers(1, 6), place(1, 4)),
    ):
        time = reads.keys.shape[2]
        assert torch.equal(reads.keys, torch.cat((numbers(2, 1), numbers(2, 3), numbers(1, 5)), dim=2)[:, :, :time])
        assert torch.equal(reads.values, torch.cat((numbers(2, 2), numbers(2, 4), numbers(1, 6)), dim=2)[:, :, :time])
        assert reads.index.tolist() == [[0, 1, 2, 3, 4][:time]] * 2
        assert reads.rules.get("visible") is None
    assert (store.length, store.keys.data_ptr()) == (5, memory)


def test_a_full_cache_refuses():
    store = cache()
    store.append(numbers(4, 1), numbers(4, 2), place(4))
    with pytest.raises(UserError, match="room for 5 tokens, and this would be token 6"):
        store.append(numbers(2, 1), numbers(2, 2), place(2, 4))
    assert store.length == 4


def test_a_window_is_a_ring_that_takes_any_number_of_tokens():
    """What is kept are the last tokens, each in the slot of one that nobody will read again, and the first ones."""
    store = cache(length=1000, window=3, sink_tokens=2)
    assert (store.keys.shape[2], slots(1000, 3, 2), slots(3, 3, 2), slots(2, 3, 2), slots(7)) == (5, 5, 3, 2, 7)
    memory = store.keys.data_ptr()
    start = 0
    for time in (1, 1, 2, 5, 1, 4, 1):
        store.append(numbers(time, start), numbers(time, start), place(time, start))
        start += time
    assert store.index.tolist() == [[0, 1, 12, 13, 14]] * 2
    store.append(numbers(1, start), numbers(1, start), place(1, start))
    assert store.index.tolist() == [[0, 1, 15, 13, 14]] * 2
    assert (store.alive.all(), store.keys.data_ptr()) == (True, memory)


def test_the_cache_has_the_size_it_says():
    store = cache()
    assert store.keys.nbytes + store.values.nbytes == 2 * 2 * 3 * 5 * 4 * 4
    assert CausalSelfAttention(12, 3, window=7, sink_tokens=2).state_size(10) == 2 * 12 * 9
    assert CausalSelfAttention(12, 3, window=7, sink_tokens=2).state_size(6) == 2 * 12 * 6


def test_documents_that_come_later_go_on_from_what_had_none():
    store = cache()
    store.append(numbers(1, 1), numbers(1, 2), place(1))
    reads = store.append(numbers(2, 1), numbers(2, 2), Place(torch.tensor([[1, 2]]), torch.tensor([[3, 4], [-1, 0]])))
    assert reads.rules["visible"][:, 0].tolist() == [
        [[True, True, False], [False, False, True]],
        [[True, True, False], [False, False, True]],
    ]
    reads = store.append(numbers(1, 1), numbers(1, 2), Place(torch.tensor([[3]]), torch.tensor([[4], [1]])))
    assert reads.rules["visible"][:, 0].tolist() == [[[False, False, True, True]], [[False, False, False, True]]]

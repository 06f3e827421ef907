"""A cache in few bits: what comes back, and that calls, windows and documents are as in the plain one."""

import pytest
import torch

from firsthand.errors import UserError
from firsthand.model.make import build_model
from firsthand.model.mixers.kv_cache import KVCache
from firsthand.model.mixers.quantized_cache import (
    QuantizedKVCache,
    as_remembered,
    cache_of,
    decode,
    encode,
    row_bytes,
)
from firsthand.types import Place

FIELDS = {"preset": "llama", "n_layers": 2, "d_model": 48, "n_heads": 4, "n_kv_heads": 2, "context_length": 32}
IDS = torch.randint(71, (3, 20), generator=torch.Generator().manual_seed(3))


def numbers(*shape, seed=0):
    return 5 * torch.randn(shape, generator=torch.Generator().manual_seed(seed)) + 1


def place(time, start=0):
    return Place(torch.arange(start, start + time).unsqueeze(0))


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("width", [1, 7, 64])
def test_each_number_is_half_a_step_off_at_most(bits, width):
    x = numbers(2, 3, 5, width)
    rows = encode(x, bits)
    assert rows.dtype == torch.uint8
    assert rows.shape[-1] == row_bytes(width, bits)
    step = (x.amax(-1, keepdim=True) - x.amin(-1, keepdim=True)) / (2**bits - 1)
    error = (decode(rows, bits, width) - x).abs()
    assert (error <= 0.5 * step + 2e-3 * x.abs().amax(-1, keepdim=True)).all()
    if width > 2:
        levels = decode(rows, bits, width)[0, 0, 0].unique()
        assert len(levels) <= 2**bits


@pytest.mark.parametrize("bits", [8, 4])
def test_constants_zeros_and_nothing_come_back(bits):
    for x in (torch.zeros(2, 3), torch.full((2, 3), 0.5), torch.full((2, 3), -2.0), torch.zeros(2, 0)):
        assert torch.equal(decode(encode(x, bits), bits, x.shape[-1]), x)
    torch.testing.assert_close(
        decode(encode(torch.tensor([[1e6, -1e6]]), bits), bits, 2),
        torch.tensor([[65504.0, -65504.0]]),
        rtol=2e-3,
        atol=0,
    )


def test_a_transposed_view_and_half_precision_are_encoded_too():
    x = numbers(2, 5, 3, 8).transpose(1, 2)
    torch.testing.assert_close(encode(x, 8), encode(x.contiguous(), 8))
    assert as_remembered(x.bfloat16(), 8).dtype == torch.bfloat16
    assert as_remembered(x, None) is x


def test_the_gradient_goes_straight_through():
    x = numbers(2, 4).requires_grad_()
    (as_remembered(x, 4) * torch.arange(4)).sum().backward()
    assert x.grad.tolist() == [[0, 1, 2, 3]] * 2


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("reach", [{}, {"window": 4}, {"window": 3, "sink_tokens": 2}], ids=str)
@pytest.mark.parametrize("documents", [False, True])
def test_it_is_the_plain_cache_of_rounded_keys_and_values(bits, reach, documents):
    sizes = (2, 3, 20, 8, 6)
    ours = cache_of(bits, *sizes, torch.zeros(()), **reach)
    plain = KVCache(*sizes, torch.zeros(()), **reach)
    start = 0
    for time in (3, 1, 1, 4, 1, 2, 1):
        key, value = numbers(2, 3, time, 8, seed=start), numbers(2, 3, time, 6, seed=50 + start)
        where = place(time, start)
        if documents:
            document = (torch.arange(start, start + time) // 5).expand(2, -1)
            where = Place(where.index, document)
        found = ours.append(key, value, where)
        expected = plain.append(as_remembered(key, bits), as_remembered(value, bits), where)
        torch.testing.assert_close(found.keys, expected.keys)
        torch.testing.assert_close(found.values, expected.values)
        assert torch.equal(found.index, expected.index)
        assert found.rules.keys() == expected.rules.keys()
        visible = expected.rules.get("visible")
        assert visible is None or torch.equal(found.rules["visible"], visible)
        start += time


def test_it_holds_so_many_bytes():
    cache = QuantizedKVCache(4, 2, 3, 10, 64, 64, torch.zeros(()))
    assert cache.keys.nbytes == cache.values.nbytes == 2 * 3 * 10 * (32 + 4)
    assert QuantizedKVCache(8, 2, 1, 10, 64, 0, torch.zeros(())).values.nbytes == 0


@pytest.mark.parametrize("mixer", ["attention", "latent_attention", {"part": "attention", "window": 6}])
@pytest.mark.parametrize("bits", [8, 4])
def test_a_model_scores_a_text_alike_in_one_call_and_in_many(mixer, bits):
    spec = {"part": mixer} if isinstance(mixer, str) else mixer
    torch.manual_seed(0)
    model = build_model({**FIELDS, "mixer": {**spec, "cache_bits": bits}}, 71).eval()
    with torch.no_grad():
        whole, states, found = model(IDS), model.initial_states(3, 20), []
        for columns in (slice(0, 7), slice(7, 8), slice(8, 15), *(slice(i, i + 1) for i in range(15, 20))):
            where = Place.of(IDS[:, columns], columns.start)
            x, states, _ = model.trunk(model.embed(IDS[:, columns], where), where, states)
            found.append(model.head(x))
    torch.testing.assert_close(torch.cat(found, 1), whole, rtol=1e-4, atol=1e-4)


def test_what_is_cut_off_or_grows_keeps_the_rest():
    cache = cache_of(8, 1, 1, 4, 8, 8, torch.zeros(()))
    key = numbers(1, 1, 4, 8)
    cache.append(key, key, place(4))
    assert cache.keep_first(2, 9)
    more = numbers(1, 1, 1, 8, seed=1)
    reads = cache.append(more, more, place(1, 2))
    expected = torch.cat((key[:, :, :2], more), 2)
    torch.testing.assert_close(reads.keys, as_remembered(expected, 8))


def test_other_precisions_are_refused():
    with pytest.raises(UserError, match="cache_bits = 5 is no precision of a cache: 4 or 8 bits"):
        build_model({**FIELDS, "mixer": {"part": "attention", "cache_bits": 5}}, 71)

"""Attention: the definition by hand, and every version against it, outputs and gradients."""

import itertools
import logging
import math

import pytest
import torch

from firsthand.errors import UserError
from firsthand.ops import choice
from firsthand.ops.attention import VERSIONS, attention, causal, causal_mask, choose
from firsthand.ops.attention.mask import segment_starts
from firsthand.ops.attention.reference import attention as definition

DENSE = [name for name in VERSIONS if name != "banded"]
FAST = [name for name in DENSE if name != "reference"]
# batch, heads, key/value heads, queries, keys, d_head, d_value
SHAPES = [
    (2, 4, 4, 5, 5, 8, 8),
    (2, 4, 2, 7, 7, 8, 8),
    (1, 4, 1, 1, 9, 8, 8),
    (3, 2, 2, 3, 6, 8, 6),
    (1, 1, 1, 1, 1, 2, 2),
    (2, 2, 1, 129, 129, 4, 4),
]


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_the_definition_by_loops():
    query, key, value = random(1, 3, 4), random(1, 5, 4, seed=1), random(1, 5, 2, seed=2)
    visible = causal_mask(3, 5, offset=2)
    for sinks in (None, torch.tensor([0.7], dtype=torch.float64)):
        expected = torch.zeros(1, 3, 2, dtype=torch.float64)
        for i in range(3):
            scores = [sum(query[0, i, c] * key[0, j, c] for c in range(4)) / 2 for j in range(5)]
            weights = [math.exp(scores[j]) if j <= i + 2 else 0 for j in range(5)]
            total = sum(weights) + (0 if sinks is None else math.exp(0.7))
            for j in range(5):
                expected[0, i] += weights[j] / total * value[0, j]
        torch.testing.assert_close(definition(query, key, value, visible, 0.5, sinks=sinks), expected)


def test_the_causal_mask_by_hand():
    assert causal_mask(2, 4, offset=1).tolist() == [[True, True, False, False], [True, True, True, False]]
    assert causal_mask(3, 3).tolist() == [[True, False, False], [True, True, False], [True, True, True]]
    assert causal_mask(1, 2, offset=-1).tolist() == [[False, False]]


@pytest.mark.parametrize("version", DENSE)
@pytest.mark.parametrize("mask", ["none", "rows", "shared"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("causal", [False, True])
def test_versions_equal_the_definition(version, shape, causal, mask):
    batch, heads, kv_heads, queries, keys, d_head, d_value = shape
    tensors = [random(batch, heads, queries, d_head), random(batch, kv_heads, keys, d_head, seed=1)]
    tensors.append(random(batch, kv_heads, keys, d_value, seed=2))
    generator = torch.Generator().manual_seed(3)
    visible, allowed = None, causal_mask(queries, keys, keys - queries if causal else keys)
    if mask != "none":
        size = (batch, 1, queries, keys) if mask == "rows" else (queries, keys)
        visible = torch.rand(size, generator=generator) > 0.4
        allowed = allowed & visible
    for bias_shape in (None, (1, heads, queries, keys), (queries, keys)):
        bias = None if bias_shape is None else random(*bias_shape, seed=4)
        given = [t.clone().requires_grad_() for t in tensors]
        shared = [given[0], *(t.repeat_interleave(heads // kv_heads, 1) for t in given[1:])]
        expected = definition(*shared, allowed, d_head**-0.5, bias)
        out = attention(*given, visible=visible, causal=causal, bias=bias, version=version)
        assert out.shape == (batch, heads, queries, d_value)
        torch.testing.assert_close(out, expected, atol=1e-12, rtol=0)
        incoming = random(*out.shape, seed=5)
        gradients, wanted = (torch.autograd.grad(y, given, incoming) for y in (out, expected))
        for gradient, right in zip(gradients, wanted, strict=True):
            torch.testing.assert_close(gradient, right, atol=1e-11, rtol=0)


@pytest.mark.parametrize("version", DENSE)
@pytest.mark.parametrize("causal", [False, True])
def test_a_query_that_may_read_nothing_gets_zeros(version, causal):
    tensors = [random(2, 2, 5, 4, seed=n).requires_grad_() for n in range(3)]
    visible = torch.ones(2, 1, 5, 5, dtype=torch.bool)
    visible[0, 0, 2] = False
    out = attention(*tensors, visible=visible, causal=causal, version=version)
    assert (out[0, :, 2] == 0).all()
    assert (out[1, :, 2] != 0).all()
    out.square().sum().backward()
    assert all(tensor.grad.isfinite().all() for tensor in tensors)


@pytest.mark.parametrize("version", DENSE)
def test_any_layout_in_memory(version):
    tensors = [random(2, 7, 3, 4, seed=n) for n in range(3)]
    strided = [t.transpose(1, 2) for t in tensors]
    plain = [t.contiguous() for t in strided]
    torch.testing.assert_close(
        attention(*strided, causal=True, version=version), attention(*plain, causal=True, version=version)
    )


@pytest.mark.parametrize("version", ["reference", "product"])
def test_softcap(version):
    query, key, value = (random(1, 2, 4, 4, seed=n) * 9 for n in range(3))
    scores = query @ key.mT / 2
    assert scores.abs().max() > 30
    weights = (5 * torch.tanh(scores / 5)).masked_fill(~causal_mask(4, 4), -torch.inf).softmax(-1)
    out = attention(query, key, value, causal=True, softcap=5.0, version=version)
    torch.testing.assert_close(out, weights @ value, atol=1e-12, rtol=0)


@pytest.mark.parametrize("version", FAST)
def test_dropout_drops_weights_and_keeps_the_mean(version):
    torch.manual_seed(0)
    query, key = (random(1, 1, 1, 4, seed=n).expand(-1, 500, -1, -1) for n in range(2))
    out = attention(query, key, torch.ones_like(query), dropout=0.25, version=version)
    assert {round(float(x), 6) for x in out.unique()} == {0.0, round(1 / 0.75, 6)}
    assert float(out.mean()) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(("version", "dtype"), list(itertools.product(FAST, [torch.bfloat16, torch.float32])))
@pytest.mark.parametrize("length", [1, 33, 150])
def test_lower_precision_stays_near(version, dtype, length):
    tensors = [random(2, 2, length, 16, seed=n) for n in range(3)]
    expected = attention(*tensors, causal=True, version="reference")
    out = attention(*(t.to(dtype) for t in tensors), causal=True, version=version)
    assert out.dtype == dtype
    assert (out.double() - expected).abs().max() < (0.05 if dtype == torch.bfloat16 else 1e-5)


@pytest.mark.parametrize("length", [causal.SHORTEST, causal.SHORTEST + 1, 300])
@pytest.mark.parametrize("kv_heads", [1, 4])
def test_long_rows_in_blocks_equal_the_definition(length, kv_heads, monkeypatch):
    calls = []
    monkeypatch.setattr(causal, "_blocks", lambda length, own=causal._blocks: calls.append(length) or own(length))
    tensors = [random(2, 4, length, 6), random(2, kv_heads, length, 6, seed=1), random(2, kv_heads, length, 3, seed=2)]
    found = []
    for version in ("product", "reference"):
        given = [tensor.clone().requires_grad_() for tensor in tensors]
        out = attention(*given, causal=True, scale=0.3, version=version)
        found.append((out, *torch.autograd.grad(out, given, random(*out.shape, seed=5))))
    torch.testing.assert_close(*found, atol=1e-11, rtol=0)
    assert calls == [length, length]


WINDOWS = [(1, 0), (3, 0), (32, 0), (63, 1), (100, 0), (100, 5), (200, 2)]


@pytest.mark.parametrize("version", [name for name in VERSIONS if name != "reference"])
@pytest.mark.parametrize("time", [1, 2, 31, 63, 64, 65, 200])
def test_windows_equal_the_definition(version, time):
    """Outputs and gradients, with and without segments, sink tokens, sinks and a softcap."""
    generator = torch.Generator().manual_seed(0)
    tensors = [random(2, 4, time, 6), random(2, 2, time, 6, seed=1), random(2, 2, time, 3, seed=2), random(4, seed=3)]
    segments = torch.randint(0, 4, (2, time), generator=generator).sort(1).values
    ways = [{}, {"scale": 0.3}] + [{"sinks": tensors[3]}, {"softcap": 0.5}] * (version != "sdpa")
    for (window, sink_tokens), segment, way in itertools.product(WINDOWS, (None, segments), ways):
        given = [t.clone().requires_grad_() for t in tensors]
        way = way | ({"sinks": given[3]} if "sinks" in way else {})
        asked = {"causal": True, "segment": segment, "window": window, "sink_tokens": sink_tokens, **way}
        wanted = given if "sinks" in way else given[:3]
        found = []
        for name in (version, "reference"):
            out = attention(*given[:3], **asked, version=name)
            found.append((out, *torch.autograd.grad(out, wanted, random(*out.shape, seed=5))))
        torch.testing.assert_close(*found, atol=1e-11, rtol=0)


def test_who_reads_whom_by_hand():
    """Window 2 and one sink token, in documents of 4 and 3 tokens: the value of token j is the j-th unit vector."""
    segment = torch.tensor([[0, 0, 0, 0, 1, 1, 1]])
    flat, units = torch.zeros(1, 1, 7, 2), torch.eye(7).view(1, 1, 7, 7)
    seen = attention(flat, flat, units, causal=True, segment=segment, window=2, sink_tokens=1, version="reference")
    assert [row.nonzero().flatten().tolist() for row in seen[0, 0]] == [
        [0],
        [0, 1],
        [0, 1, 2],
        [0, 2, 3],
        [4],
        [4, 5],
        [4, 5, 6],
    ]
    assert segment_starts(segment).tolist() == [[0, 0, 0, 0, 4, 4, 4]]


@pytest.mark.parametrize("version", DENSE)
def test_a_window_over_more_keys_than_queries(version):
    """The last query stands at the last key."""
    query, key = random(1, 1, 2, 4), random(1, 1, 9, 4, seed=1)
    units = torch.eye(9, dtype=torch.float64).view(1, 1, 9, 9)
    seen = attention(query, key, units, causal=True, window=3, sink_tokens=2, version=version)
    assert [row.nonzero().flatten().tolist() for row in seen[0, 0]] == [[0, 1, 5, 6, 7], [0, 1, 6, 7, 8]]


@pytest.mark.parametrize("version", [name for name in DENSE if name != "sdpa"])
def test_a_large_sink_takes_everything_and_a_small_one_nothing(version):
    tensors = [random(1, 2, 5, 4, seed=n) for n in range(3)]
    out = attention(*tensors, causal=True, sinks=torch.tensor([1e4, -1e4]).double(), version=version)
    assert (out[:, 0] == 0).all()
    torch.testing.assert_close(out[:, 1], attention(*tensors, causal=True, version="reference")[:, 1])


@pytest.mark.parametrize("segmented", [False, True])
def test_gradcheck_of_the_definition(segmented):
    tensors = [random(1, 2, 5, 3, seed=n).requires_grad_() for n in range(3)] + [random(2, seed=4).requires_grad_()]
    segment = torch.tensor([[0, 0, 1, 1, 1]]) if segmented else None

    def ask(query, key, value, sinks):
        rules = {"causal": True, "segment": segment, "window": 2, "sink_tokens": 1}
        return attention(query, key, value, **rules, sinks=sinks, softcap=2.0, version="reference")

    assert torch.autograd.gradcheck(ask, tensors)


def test_long_rows_with_a_window_need_no_square():
    """A square of 100,000 keys would take 40 GB in fp32."""
    heads = torch.ones(1, 1, 100_000, 2)
    assert float(attention(heads, heads, heads, causal=True, window=8, sink_tokens=1).mean()) == pytest.approx(1)


def test_a_version_that_cannot_is_refused():
    tensors = [random(1, 1, 2, 2, seed=n) for n in range(3)]
    with pytest.raises(UserError, match=r"no version of attention called 'flash'.*: banded, product, reference, sdpa"):
        attention(*tensors, version="flash")
    for setting in ({"softcap": 5.0}, {"sinks": torch.zeros(1).double()}):
        with pytest.raises(UserError, match="sdpa version of attention has no softcap and no sinks"):
            attention(*tensors, **setting, version="sdpa")
    with pytest.raises(UserError, match="reference of attention has no dropout"):
        attention(*tensors, dropout=0.5, version="reference")
    for setting in ({}, {"window": 2}, {"window": 2, "causal": True, "bias": torch.zeros(2, 2).double()}):
        with pytest.raises(UserError, match="banded version of attention needs a window, causal=True"):
            attention(*tensors, **setting, version="banded")


def test_the_choice():
    assert choose("cpu", torch.float32, 8) == "sdpa"
    assert choose("cpu", torch.float32, 2048, explicit=True) == "product"
    assert choose("cpu", torch.bfloat16, 1024, amx=False) == "product"
    assert choose("cpu", torch.bfloat16, 1025, amx=False) == "sdpa"
    assert choose("cpu", torch.bfloat16, 512, amx=True) == "product"
    assert choose("cpu", torch.bfloat16, 513, amx=True) == "sdpa"
    assert choose("cpu", torch.bfloat16, 64, training=False, amx=True) == "sdpa"
    assert choose("cpu", torch.bfloat16, 64, training=False, amx=False) == "product"
    assert choose("cpu", torch.float32, 256, uneven=True) == "product"
    assert choose("cpu", torch.float32, 257, uneven=True) == "sdpa"
    assert choose("cuda", torch.bfloat16, 8, uneven=True) == "sdpa"
    assert choose("cuda", torch.bfloat16, 4096, explicit=True) == "product"
    assert choose("cpu", torch.float32, 256, explicit=True, window=128) == "banded"
    assert choose("cpu", torch.float32, 256, window=129) == "sdpa"
    assert choose("cpu", torch.float32, 64, window=8) == "sdpa"


@pytest.mark.parametrize("version", ["auto", "reference", "sdpa", "product"])
@pytest.mark.parametrize("bias", [None, torch.linspace(-1, 1, 9).view(1, 1, 1, 9)])
def test_a_single_query_in_bf16_is_answered_in_fp32(version, bias):
    torch.manual_seed(0)
    given = [torch.randn(2, heads, time, 4).bfloat16() for heads, time in ((4, 1), (2, 9), (2, 9))]
    found = attention(*given, bias=bias, version=version)
    exact = attention(*(x.float() for x in given), bias=bias, version="reference")
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found, exact.bfloat16(), atol=1e-6, rtol=0.008)  # the last of its eight bits


def test_the_choice_is_logged_once(caplog):
    choice._log_once.cache_clear()
    heads = torch.ones(1, 1, 2, 2)
    with caplog.at_level(logging.INFO, logger="firsthand.ops"):
        for _ in range(3):
            attention(heads, heads, heads)
            attention(heads, heads, heads, softcap=1.0)
    assert [record.getMessage() for record in caplog.records] == [
        "attention on cpu in torch.float32: version sdpa",
        "attention on cpu in torch.float32: version product",
    ]


def test_masks_made_without_gradients_serve_training():
    """The causal mask is kept: one made in inference mode must not spoil a later backward pass."""
    with torch.inference_mode():
        attention(*(torch.randn(1, 1, 37, 4) for _ in range(3)), causal=True, version="product")
    tensors = [torch.randn(1, 1, 37, 4, requires_grad=True) for _ in range(3)]
    attention(*tensors, causal=True, version="product").sum().backward()
    assert all(tensor.grad.isfinite().all() for tensor in tensors)

"""Packed weights against F.linear, and what is left where they cannot be had."""

import pytest
import torch
from torch.nn import functional as F

from firsthand.ops import packed_linear as module
from firsthand.ops.packed_linear import packed, packed_linear

needs_onednn = pytest.mark.skipif(
    not packed(torch.zeros(2, 2)).is_mkldnn, reason="this build of torch has no packed products, so F.linear stays"
)


@pytest.fixture
def forget():
    """The choice is made once a process: a test that changes the ground asks anew, and leaves nothing behind."""
    module._can.cache_clear()
    yield
    module._can.cache_clear()


@needs_onednn
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(1, 7), (3, 1, 64), (2, 33, 130)], ids=str)
@pytest.mark.parametrize("with_bias", [False, True])
def test_it_is_the_linear_map(dtype, shape, with_bias):
    torch.manual_seed(0)
    layout = packed(weight := torch.randn(37, shape[-1]).to(dtype))
    if not layout.is_mkldnn:
        pytest.skip("this CPU has no products in bf16")
    x, bias = torch.randn(shape).to(dtype), torch.randn(37).to(dtype) if with_bias else None
    found = packed_linear(x, layout, bias)
    assert found.dtype == dtype
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    torch.testing.assert_close(found, F.linear(x, weight, bias), rtol=tolerance, atol=tolerance * shape[-1] ** 0.5)


@needs_onednn
def test_a_transposed_weight_is_packed_as_it_reads():
    weight, x = torch.randn(5, 9).t(), torch.randn(2, 5)
    torch.testing.assert_close(packed_linear(x, packed(weight)), F.linear(x, weight))


@pytest.mark.parametrize(("device", "dtype"), [("meta", torch.float32), ("cpu", torch.float64)])
def test_what_the_library_does_not_know_is_left_to_linear(device, dtype):
    weight, x = torch.ones(2, 3, device=device, dtype=dtype), torch.ones(1, 3, device=device, dtype=dtype)
    layout = packed(weight)
    assert layout is weight
    assert packed_linear(x, layout, weight[:, 0]).tolist() == [[4, 4]] if device == "cpu" else layout.is_meta


@pytest.mark.usefixtures("forget")
@pytest.mark.parametrize("error", [AttributeError, RuntimeError, TypeError])
def test_operators_that_are_missing_or_refuse_are_left_alone_and_that_is_said(monkeypatch, caplog, error):
    def refuse(*_):
        raise error("no such operator")

    monkeypatch.setattr(module, "packed_linear", refuse)
    with caplog.at_level("INFO", "firsthand.ops"):
        assert not packed(torch.zeros(2, 2)).is_mkldnn
        assert not packed(torch.zeros(2, 2)).is_mkldnn
    assert caplog.messages == ["linear in decoding on cpu in torch.float32: version F.linear"]


@pytest.mark.usefixtures("forget")
def test_wrong_products_are_not_used(monkeypatch):
    monkeypatch.setattr(module, "packed_linear", lambda x, layout, bias=None: x.new_zeros(len(x), 64))
    assert not packed(torch.zeros(2, 2)).is_mkldnn

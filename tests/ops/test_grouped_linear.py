"""The grouped linear map against its definition."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from firsthand.errors import UserError
from firsthand.ops.grouped_linear import VERSIONS, grouped_linear

COUNTS = [[3, 0, 5, 2], [0, 0, 0, 1], [200, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0], [63, 64, 65, 2]]


def inputs(counts, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(sum(counts), 6, dtype=dtype, generator=generator, requires_grad=True)
    weight = torch.randn(len(counts), 7, 6, dtype=dtype, generator=generator, requires_grad=True)
    return x, weight, torch.tensor(counts)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("counts", COUNTS, ids=str)
def test_each_version_is_the_definition_in_outputs_and_gradients(version, counts):
    found = []
    for name in ("reference", version):
        x, weight, groups = inputs(counts)
        y = grouped_linear(x, weight, groups, version=name)
        gradients = torch.autograd.grad(y.square().sum(), (x, weight))
        found.append((y, *gradients))
    for expected, actual in zip(*found, strict=True):
        torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("version", VERSIONS)
def test_gradients_are_right(version):
    x, weight, counts = inputs([2, 0, 1])
    assert torch.autograd.gradcheck(lambda x, w: grouped_linear(x, w, counts, version=version), (x, weight))


def test_autocast_is_obeyed():
    x, weight, counts = inputs([3, 0, 5, 2], torch.float32)
    exact = grouped_linear(x, weight, counts)
    with torch.autocast("cpu", torch.bfloat16):
        y = grouped_linear(x, weight, counts)
    assert y.dtype == torch.bfloat16
    assert (y.float() - exact).abs().amax() < 0.05 * exact.abs().amax()


def test_without_memory_it_has_a_shape():
    with FakeTensorMode():
        x, weight = torch.empty(10, 6, requires_grad=True), torch.empty(4, 7, 6, requires_grad=True)
        y = grouped_linear(x, weight, torch.empty(4, dtype=torch.long))
        y.sum().backward()
        assert y.shape == (10, 7)
        assert weight.grad.shape == (4, 7, 6)


def test_an_unknown_version():
    with pytest.raises(UserError, match=r"no version of grouped_linear called 'fast'.*sliced"):
        grouped_linear(*inputs([1]), version="fast")

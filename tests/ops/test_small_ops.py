"""The RMS norm, the rotation and squared ReLU: each fast version against its definition, outputs and gradients."""

import math

import pytest
import torch

from firsthand.ops.rms_norm import reference as rms_norm_reference
from firsthand.ops.rms_norm import rms_norm
from firsthand.ops.rotate import LAYOUTS, rotate, turns_of
from firsthand.ops.rotate import reference as rotate_reference
from firsthand.ops.squared_relu import reference as squared_relu_reference
from firsthand.ops.squared_relu import squared_relu

SHAPES = [(1, 1), (3, 5, 8), (2, 4, 7, 6), (1, 200)]


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def assert_same(fast, definition, *tensors):
    """Equal outputs and gradients, contiguous or not."""
    for turn in (False, True):
        given = [t.mT.contiguous().mT if turn and t.ndim > 2 else t.clone() for t in tensors]
        given = [t.requires_grad_() for t in given]
        out, expected = fast(*given), definition(*given)
        torch.testing.assert_close(out, expected, atol=1e-13, rtol=1e-12)
        incoming = random(*out.shape, seed=9)
        for gradient, right in zip(
            torch.autograd.grad(out, given, incoming), torch.autograd.grad(expected, given, incoming), strict=True
        ):
            torch.testing.assert_close(gradient, right, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("eps", [1e-5, 0.3])
def test_rms_norm(shape, eps):
    x, gain = random(*shape), random(shape[-1], seed=1)
    assert_same(lambda x, g: rms_norm(x, g, eps), lambda x, g: rms_norm_reference.rms_norm(x, g, eps), x, gain)
    assert_same(lambda x: rms_norm(x, None, eps), lambda x: rms_norm_reference.rms_norm(x, None, eps), x)


def test_rms_norm_by_hand():
    y = rms_norm(torch.tensor([3.0, 4.0]), torch.tensor([1.0, 2.0]), eps=0.0)
    torch.testing.assert_close(y, torch.tensor([3.0, 8.0]) / math.sqrt(12.5))


@pytest.mark.parametrize("with_gain", [True, False])
def test_rms_norm_gradcheck(with_gain):
    inputs = (random(2, 5).requires_grad_(), random(5, seed=1).requires_grad_())[: 1 + with_gain]
    assert torch.autograd.gradcheck(rms_norm, inputs)
    assert torch.autograd.gradcheck(rms_norm_reference.rms_norm, inputs)


@pytest.mark.parametrize("with_gain", [True, False])
def test_rms_norm_in_half_precision(with_gain):
    x, gain = random(4, 64), random(64, seed=1)
    given = [t.bfloat16().requires_grad_() for t in (x, gain)[: 1 + with_gain]]
    exact = [t.detach().double().requires_grad_() for t in given]
    out, expected = rms_norm(*given), rms_norm_reference.rms_norm(*exact)
    assert out.dtype == torch.bfloat16
    assert (out.double() - expected).abs().max() < 0.03
    for tensor, right in zip(
        torch.autograd.grad(out.sum(), given), torch.autograd.grad(expected.sum(), exact), strict=True
    ):
        assert tensor.dtype == torch.bfloat16
        assert (tensor.double() - right).abs().max() < 0.05 * right.abs().max()


def turns(*angles, layout="interleaved"):
    """A row for each position, from the angles of its pairs."""
    angles = torch.tensor(angles, dtype=torch.float64)
    return turns_of(angles.cos(), angles.sin(), layout)


def test_rotation_by_hand():
    heads = torch.tensor([[[[1.0, 2.0, 3.0, 4.0]]]], dtype=torch.float64)
    expected = {"interleaved": [-2.0, 1.0, 3.0, 4.0], "half": [-3.0, 2.0, 1.0, 4.0]}
    assert set(expected) == set(LAYOUTS)
    for layout, result in expected.items():
        for function in (rotate, rotate_reference.rotate):
            out = function(heads, turns([math.pi / 2, 0.0], layout=layout)[None, None], layout).flatten()
            torch.testing.assert_close(out, torch.tensor(result, dtype=torch.float64))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(1, 1, 1, 2), (2, 3, 7, 6), (2, 1, 200, 4)], ids=str)
@pytest.mark.parametrize("rows", ["one", "each"])
def test_rotation(shape, layout, rows):
    time, half = shape[2], shape[3] // 2
    angles = random(1 if rows == "one" else shape[0], 1, time, half, seed=1)
    table = turns_of(angles.cos(), angles.sin(), layout)
    assert_same(lambda x: rotate(x, table, layout), lambda x: rotate_reference.rotate(x, table, layout), random(*shape))
    out = rotate(random(*shape), table, layout)
    torch.testing.assert_close(out.norm(dim=-1), random(*shape).norm(dim=-1))


def test_layouts_are_one_rotation_of_reordered_channels():
    neighbours, halves = (turns([0.3, 1.1, 2.0], layout=layout)[None, None] for layout in LAYOUTS)
    heads = random(1, 1, 1, 6)
    order = [0, 2, 4, 1, 3, 5]
    torch.testing.assert_close(rotate(heads, neighbours)[..., order], rotate(heads[..., order], halves, "half"))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rotation_in_half_precision(layout):
    table = turns([0.3, 1.1], layout=layout)[None, None].float()
    heads = random(2, 3, 1, 4).bfloat16()
    out = rotate(heads, table, layout)
    assert out.dtype == torch.bfloat16
    assert (out.double() - rotate_reference.rotate(heads.double(), table.double(), layout)).abs().max() < 0.03


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_squared_relu(shape):
    assert_same(squared_relu, squared_relu_reference.squared_relu, random(*shape))


def test_squared_relu_by_hand():
    x = torch.tensor([-2.0, 0.0, 3.0], requires_grad=True)
    y = squared_relu(x)
    assert y.tolist() == [0, 0, 9]
    y.sum().backward()
    assert x.grad.tolist() == [0, 0, 6]
    assert squared_relu(x.bfloat16()).dtype == torch.bfloat16


def test_a_single_pair_that_begins_at_an_odd_place_is_rotated():
    """Torch calls such a slice contiguous, and copies nothing when asked to make it so."""
    heads, table = random(1, 1, 1, 5)[..., 1:], turns([0.3, 1.1])[None, None]
    torch.testing.assert_close(rotate(heads, table), rotate_reference.rotate(heads, table))


@torch.no_grad()
def test_rms_norm_of_half_precision_with_a_gain_in_full():
    """As under autocast while decoding; warnings are errors here."""
    x, gain = random(3, 8).bfloat16(), torch.full((8,), 2.0)
    y = rms_norm(x, gain)
    assert y.dtype == torch.bfloat16
    assert (y.float() - rms_norm(x.float(), gain)).abs().max() < 0.03


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(1, 1, 200), (3, 1, 200)], ids=str)
def test_rms_norm_without_gradients(shape, dtype):
    """A single row is normed by a plain number, several rows by torch."""
    x, gain = random(*shape), random(200, seed=1)
    found = rms_norm(x.to(dtype), gain.to(dtype))
    assert found.dtype == dtype
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 0.03}[dtype]
    torch.testing.assert_close(found.double(), rms_norm_reference.rms_norm(x, gain), atol=tolerance, rtol=tolerance)


@torch.no_grad()
@pytest.mark.parametrize("layout", LAYOUTS)
def test_rotation_without_gradients(layout):
    angles = random(2, 1, 7, 3, seed=1)
    table = turns_of(angles.cos(), angles.sin(), layout)
    with torch.enable_grad():
        expected = rotate(random(2, 3, 7, 6), table, layout)
    torch.testing.assert_close(rotate(random(2, 3, 7, 6), table, layout), expected, atol=1e-13, rtol=1e-12)

"""The causal convolution: every version against its definition, in outputs, windows and gradients."""

import pytest
import torch
from torch.nn import functional as F

from firsthand.errors import UserError
from firsthand.ops.causal_convolution import VERSIONS, causal_convolution, depthwise
from firsthand.ops.causal_convolution import reference as definition

LENGTHS = [1, 2, 63, 64, 65, 200]


def random(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def borders(batch, time, seed=5):
    """Segments of about eight tokens; the first row begins with a border."""
    found = torch.rand(batch, time, generator=torch.Generator().manual_seed(seed)) < 0.12
    found[0, 0] = True
    return found.cumsum(1)


@pytest.fixture(params=[False, True], ids=["whole", "segments"])
def segmented(request):
    return request.param


@pytest.fixture(params=[False, True], ids=["start", "window"])
def windowed(request):
    return request.param


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("time", LENGTHS)
@pytest.mark.parametrize("width", [1, 2, 4])
def test_versions_equal_the_definition(version, time, width, windowed, segmented, monkeypatch):
    monkeypatch.setattr(depthwise, "BLOCK_NUMBERS", 400)  # several blocks, the last one short
    given = [random(2, time, 5), random(5, width, seed=1), random(5, seed=2)]
    given += [random(2, width - 1, 5, seed=3)] if windowed else []
    given = [tensor.requires_grad_() for tensor in given]
    x, taps, bias, *window = given
    segment = borders(2, time) if segmented else None
    before = window[0] if window else torch.zeros(2, width - 1, 5, dtype=x.dtype)
    numbers = torch.zeros(2, time, dtype=torch.long) if segment is None else segment
    expected = definition.causal_convolution(x, taps, bias, before, numbers)
    found = causal_convolution(x, taps, bias, *(window or [None]), segment, version)
    incoming = [random(*tensor.shape, seed=7) for tensor in expected]
    for one, right in zip(found, expected, strict=True):
        torch.testing.assert_close(one, right, atol=1e-12, rtol=0)
    ours = torch.autograd.grad(found, given, incoming, allow_unused=width == 1)
    theirs = torch.autograd.grad(expected, given, incoming, allow_unused=width == 1)
    for gradient, right in zip(ours, theirs, strict=True):
        if right is not None:
            torch.testing.assert_close(gradient, right, atol=1e-11, rtol=0)


@pytest.mark.parametrize("version", VERSIONS)
def test_by_hand(version):
    x = torch.tensor([[[1.0], [2.0], [3.0]]])
    taps, window = torch.tensor([[100.0, 10.0, 1.0]]), torch.tensor([[[7.0], [8.0]]])
    y, after = causal_convolution(x, taps, None, window, version=version)
    assert y.flatten().tolist() == [781, 812, 123]
    assert after.flatten().tolist() == [2, 3]
    y, after = causal_convolution(x, taps, None, window, torch.tensor([[0, 1, 1]]), version)
    assert y.flatten().tolist() == [781, 2, 23]
    assert after.flatten().tolist() == [2, 3]
    _, after = causal_convolution(x[:, :1], taps, None, window, torch.tensor([[1]]), version)
    assert after.flatten().tolist() == [0, 1]


@pytest.mark.parametrize("version", VERSIONS)
def test_it_is_torchs_convolution_padded_on_the_left(version):
    x, taps, bias = random(2, 9, 6), random(6, 4, seed=1), random(6, seed=2)
    expected = F.conv1d(F.pad(x.mT, (3, 0)), taps.unsqueeze(1), bias, groups=6).mT
    torch.testing.assert_close(causal_convolution(x, taps, bias, version=version)[0], expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("version", VERSIONS)
def test_in_parts_it_is_the_same(version, segmented):
    x, taps = random(2, 20, 3), random(3, 4, seed=1)
    segment = borders(2, 20) if segmented else None
    whole, last = causal_convolution(x, taps, None, None, segment, version)
    parts, window, seen = [], None, 0
    for piece in x.split([1, 1, 7, 2, 9], dim=1):
        here = None
        if segment is not None:
            here = segment[:, seen : seen + piece.shape[1]] - (segment[:, seen - 1 : seen] if seen else 0)
        y, window = causal_convolution(piece, taps, None, window, here, version)
        parts.append(y)
        seen += piece.shape[1]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-12, rtol=0)
    assert torch.equal(window, last)


@pytest.mark.parametrize("version", VERSIONS)
def test_huge_padding_is_harmless(version):
    """Padding is a segment of its own: what stands in it, as long as it is finite, changes no other token."""
    x, taps = random(1, 8, 3), random(3, 4, seed=1)
    alone, _ = causal_convolution(x[:, 3:], taps, version=version)
    padded = torch.cat((torch.full_like(x[:, :3], 1e200), x[:, 3:]), dim=1)
    y, _ = causal_convolution(padded, taps, None, None, torch.tensor([[0] * 3 + [1] * 5]), version)
    torch.testing.assert_close(y[:, 3:], alone, atol=1e-12, rtol=0)


def test_gradcheck():
    given = [random(2, 5, 3), random(3, 4, seed=1), random(3, seed=2), random(2, 3, 3, seed=3)]
    given = [tensor.requires_grad_() for tensor in given]
    segment = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 2]])
    assert torch.autograd.gradcheck(lambda *g: definition.causal_convolution(*g, segment), given)
    for version in VERSIONS:
        assert torch.autograd.gradcheck(lambda *g, v=version: causal_convolution(*g, segment, v), given)


@pytest.mark.parametrize("version", VERSIONS)
def test_half_precision(version):
    given = [random(2, 70, 8), random(8, 4, seed=1), random(8, seed=2)]
    rounded = [tensor.bfloat16().requires_grad_() for tensor in given]
    exact = [tensor.detach().double().requires_grad_() for tensor in rounded]
    (y, window), (expected, _) = causal_convolution(*rounded, version=version), causal_convolution(*exact)
    assert y.dtype == window.dtype == torch.bfloat16
    assert (y.double() - expected).abs().max() < 0.02 * expected.abs().max()
    pairs = zip(torch.autograd.grad(y.sum(), rounded), torch.autograd.grad(expected.sum(), exact), strict=True)
    for gradient, right in pairs:
        assert gradient.dtype == torch.bfloat16
        assert (gradient.double() - right).abs().max() < 0.02 * right.abs().max()


def test_the_rule_and_an_unknown_version():
    x, taps = random(1, 4, 2, dtype=torch.float32), random(2, 3, seed=1, dtype=torch.float32)
    assert torch.equal(causal_convolution(x, taps)[0], causal_convolution(x, taps, version="depthwise")[0])
    step = causal_convolution(x[:, :1], taps)[0]
    assert torch.equal(step, causal_convolution(x[:, :1], taps, version="shifted")[0])
    with pytest.raises(UserError, match=r"no version of causal_convolution called 'dephtwise'.*'depthwise'"):
        causal_convolution(x, taps, version="dephtwise")

"""What every norm promises. A new line in NORMS is tested here with no new code."""

import copy

import pytest
import torch

from firsthand.model.norms import NORMS
from firsthand.parts import build


@pytest.fixture(params=NORMS)
def norm(request):
    return build("norm", NORMS, request.param, d_model=16, bias=True, n_layers=2).double()


def inputs():
    return torch.randn(2, 5, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 30


def test_it_begins_with_unit_scale(norm):
    y = norm(inputs())
    assert y.shape == (2, 5, 16)
    torch.testing.assert_close(y.square().mean(-1), torch.ones(2, 5, dtype=torch.float64), atol=0.1, rtol=0)


def test_the_scale_of_the_input_does_not_matter(norm):
    torch.testing.assert_close(norm(inputs() * 100), norm(inputs()), atol=1e-4, rtol=0)


def test_each_token_is_alone(norm):
    x = inputs()
    other = x.clone()
    other[1, 3] = -other[1, 3].flip(0)
    changed = (norm(other) - norm(x)).abs().amax(-1) > 1e-9
    assert changed.nonzero().tolist() == [[1, 3]]


def test_nothing_becomes_nothing(norm):
    assert norm(torch.zeros(1, 1, 16, dtype=torch.float64)).isfinite().all()


def test_squares_beyond_half_precision(norm):
    """1000² is more than fp16 can hold."""
    y = norm.half()(inputs().sign().half() * 1000)
    assert y.dtype == torch.float16
    assert y.isfinite().all()
    assert y.float().abs().amax() > 0.5


def test_gradients_are_right(norm):
    x = inputs().div(30).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, *_: norm(x), (x, *norm.parameters()))


def test_parameters(norm):
    names = dict(norm.named_parameters())
    assert torch.equal(names.pop("gain"), torch.ones(16, dtype=torch.float64))
    assert set(names) <= {"bias"}
    other = copy.deepcopy(norm)
    torch.nn.init.normal_(other.gain)
    assert not torch.equal(other(inputs()), norm(inputs()))
    other.load_state_dict(norm.state_dict())
    assert torch.equal(other(inputs()), norm(inputs()))

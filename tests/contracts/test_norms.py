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
    """To a tenth; what depends on the scale of its input is at least in hand."""
    y = norm(inputs())
    assert y.shape == (2, 5, 16)
    assert (y.square().mean(-1) - 1).abs().amax() < (0.1 if norm.scale_invariant else 0.5)


def test_the_scale_of_the_input_matters_as_far_as_the_part_says(norm):
    difference = (norm(inputs() * 100) - norm(inputs())).abs().amax()
    assert bool(difference < 1e-4) == norm.scale_invariant


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
    assert names.keys() <= {"bias", "alpha"}
    other = copy.deepcopy(norm)
    torch.nn.init.normal_(other.gain)
    assert not torch.equal(other(inputs()), norm(inputs()))
    other.load_state_dict(norm.state_dict())
    assert torch.equal(other(inputs()), norm(inputs()))

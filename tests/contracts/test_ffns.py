"""What every feed-forward part promises. A new line in FFNS is tested here with no new code."""

import copy

import pytest
import torch

from firsthand.model.ffns import FFNS
from firsthand.parts import build


@pytest.fixture(params=FFNS)
def ffn(request):
    return make(request.param)


def make(name, dtype=torch.float64, **arguments):
    torch.manual_seed(0)
    return build("ffn", FFNS, {"part": name, **arguments}, d_model=12, d_ff=40, n_layers=2, layer=0).to(dtype)


def inputs(batch=2, time=7, dtype=torch.float64):
    return torch.randn(batch, time, 12, dtype=dtype, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("time", [1, 2, 65])
def test_shape_dtype_and_a_scalar_beside(ffn, time):
    x = inputs(2, time)
    y, extra_loss = ffn(x)
    assert y.shape == x.shape
    assert y.dtype == x.dtype
    assert extra_loss.shape == ()
    assert extra_loss.isfinite()


def test_each_token_is_alone(ffn):
    x = inputs()
    before, _ = ffn(x)
    other = x.clone()
    other[1, 3] += 1.0
    after, _ = ffn(other)
    changed = (after - before).abs().amax(-1) > 1e-9
    expected = torch.zeros(2, 7, dtype=torch.bool)
    expected[1, 3] = True
    assert torch.equal(changed, expected)


def test_it_is_no_linear_map(ffn):
    x, z = inputs(), inputs().flip(0)
    assert (ffn(x + z)[0] - ffn(x)[0] - ffn(z)[0]).abs().amax() > 1e-3


def test_gradients_are_right(ffn):
    x = inputs(1, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, *_: ffn(x), (x, *ffn.parameters()), fast_mode=True)


def test_every_parameter_gets_a_gradient(ffn):
    y, extra_loss = ffn(inputs())
    (y.square().sum() + extra_loss).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in ffn.parameters())


def test_saved_weights_make_the_same_part(ffn):
    other = copy.deepcopy(ffn)
    for parameter in other.parameters():
        torch.nn.init.normal_(parameter)
    assert not torch.equal(other(inputs())[0], ffn(inputs())[0])
    other.load_state_dict({name: value.clone() for name, value in ffn.state_dict().items()})
    assert torch.equal(other(inputs())[0], ffn(inputs())[0])


def test_inputs_are_left_alone(ffn):
    x = inputs()
    ffn(x)
    assert torch.equal(x, inputs())


@pytest.mark.parametrize("name", FFNS)
def test_half_precision_stays_near(name):
    exact, x = make(name, torch.float32), inputs(dtype=torch.float32)
    expected, _ = exact(x)
    with torch.autocast("cpu", torch.bfloat16):
        under_autocast, _ = exact(x)
    cast, _ = make(name, torch.bfloat16)(x.bfloat16())
    for y in (under_autocast, cast):
        assert y.dtype == torch.bfloat16
        assert (y.float() - expected).abs().amax() < 0.05 * expected.abs().amax()


@pytest.mark.parametrize("name", FFNS)
def test_dropout_acts_in_training_only(name):
    ffn, x = make(name, dropout=0.5), inputs()
    assert (ffn(x)[0] == 0).any()
    ffn.eval()
    assert torch.equal(ffn(x)[0], ffn(x)[0])
    assert (ffn(x)[0] != 0).all()

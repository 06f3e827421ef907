"""Quantization-aware training: the gradient goes straight through, and rounding for good changes nothing more."""

import pytest
import torch
from torch.nn import functional as F

from firsthand.compress.quantize.aware import Aware, RoundedLinear, straight_through
from firsthand.compress.quantize.round_to_nearest import RoundToNearest
from firsthand.errors import UserError
from firsthand.model.quantized import quantized_parts
from firsthand.ops.quantized import Affine, Quantized

from .subjects import MIXERS, WINDOWS, given_for, scores, subject_of


def loss_of(model):
    logits = model(WINDOWS[:, :-1])
    return F.cross_entropy(logits.flatten(0, 1), WINDOWS[:, 1:].flatten())


def train(subject, settings):
    """A few steps, as the loop would make them."""
    model = subject.model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings["lr"])
    for _ in range(settings["steps"]):
        optimizer.zero_grad()
        loss_of(model).backward()
        optimizer.step()


@pytest.mark.parametrize("symmetric", [True, False])
def test_the_weight_is_rounded_and_its_gradient_is_not(symmetric):
    format = Affine(3, 8, symmetric)
    weight = torch.randn(4, 20, requires_grad=True)
    rounded = straight_through(weight, format)
    torch.testing.assert_close(rounded, Quantized.of(weight, format).full())
    (rounded * torch.arange(20.0)).sum().backward()
    assert torch.equal(weight.grad, torch.arange(20.0).expand(4, 20))


def test_a_part_trains_the_parameters_of_the_map_it_stands_for():
    linear = torch.nn.Linear(16, 4)
    part = RoundedLinear(linear, Affine(4, 8))
    assert dict(part.named_parameters()) == dict(linear.named_parameters())
    x = torch.randn(3, 16)
    expected = F.linear(x, Quantized.of(linear.weight, Affine(4, 8)).full(), linear.bias)
    torch.testing.assert_close(part(x), expected)


@pytest.mark.parametrize("mixer", MIXERS)
def test_trained_so_a_model_is_better_than_one_rounded_after_the_same_training(mixer):
    settings = {"steps": 25, "lr": 3e-3}
    aware, after = subject_of(mixer=mixer), subject_of(mixer=mixer)
    given = given_for(aware, train=train)
    last = []

    def watched(subject, settings):
        train(subject, settings)
        subject.model.eval()
        with torch.no_grad():
            last.append(float(loss_of(subject.model)))

    Aware(bits=2, group=32, train=settings)(aware, given_for(aware, train=watched))
    train(after, settings)
    RoundToNearest(bits=2, group=32)(after, given)
    with torch.no_grad():
        ours, theirs = float(loss_of(aware.model)), float(loss_of(after.model.eval()))
    assert ours == pytest.approx(last[0], rel=1e-4)
    assert ours < theirs
    assert not aware.model.training
    assert len(list(quantized_parts(aware.model))) == len(list(quantized_parts(after.model)))
    assert torch.isfinite(scores(aware.model)).all()


def test_without_a_way_to_train_it_is_refused():
    subject = subject_of()
    with pytest.raises(UserError, match="nothing here can train"):
        Aware()(subject, given_for(subject))

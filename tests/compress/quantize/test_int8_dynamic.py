"""Weights and activations in 8 bits: what is multiplied, and that it is saved as what it is."""

import pytest
import torch

from firsthand.compress.quantize.int8_dynamic import Int8Dynamic
from firsthand.compress.saved import apart, contents
from firsthand.model.quantized import Int8Linear, put, quantized_parts
from firsthand.ops.quantized import Int8Rows, Quantized

from .subjects import MIXERS, given_for, scores, subject_of


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(40,), (1, 40), (3, 5, 40)])
def test_it_multiplies_rounded_rows_with_rounded_rows(bias, shape):
    torch.manual_seed(0)
    linear = torch.nn.Linear(40, 24, bias=bias)
    part = Int8Linear(linear, Int8Rows("fp32"))
    x = torch.randn(shape) * 3
    step = x.double().abs().amax(-1, keepdim=True) / 127
    weight_step = linear.weight.detach().double().abs().amax(1, keepdim=True) / 127
    rounded, weight = (x / step).round() * step, (linear.weight / weight_step).round() * weight_step
    expected = rounded @ weight.T + (linear.bias if bias else 0)
    torch.testing.assert_close(part(x).double(), expected.detach(), rtol=1e-5, atol=1e-5)


def test_a_row_of_zeros_gives_the_bias():
    linear = torch.nn.Linear(8, 3)
    assert torch.equal(Int8Linear(linear, Int8Rows())(torch.zeros(2, 8)), linear.bias.detach().expand(2, 3))


@pytest.mark.parametrize("mixer", MIXERS)
def test_every_mixer_computes_so_and_is_opened_again_as_such(mixer):
    subject = subject_of(mixer=mixer)
    given = given_for(subject)
    before = scores(subject.model)
    Int8Dynamic()(subject, given)
    after = scores(subject.model)
    assert 0 < (after - before).norm() / before.norm() < 0.2
    weights, quantized = apart(*contents(subject.model), "here")
    again = subject_of(mixer=mixer).model
    for name, each in quantized.items():
        put(again, name, each)
    again.load_state_dict(weights, strict=False)
    assert all(type(part) is Int8Linear for _, part in quantized_parts(again))
    assert torch.equal(scores(again), after)


def test_the_format_is_that_of_rows_of_eight_bits():
    weight = torch.randn(5, 9)
    kept = Quantized.of(weight, Int8Rows("fp32"))
    assert kept.tensors["codes"].dtype == torch.int8
    assert kept.tensors["codes"].abs().amax(1).tolist() == [127] * 5
    assert (kept.full() - weight).abs().max() <= 0.5001 * kept.tensors["scales"].max()

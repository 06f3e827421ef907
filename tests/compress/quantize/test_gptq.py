"""GPTQ against the update it is derived from, in float64, and against rounding to the nearest."""

import pytest
import torch

from firsthand.compress.calibration import Gram, layer_by_layer
from firsthand.compress.quantize.gptq import GPTQ, gptq
from firsthand.compress.quantize.grids import best_grid
from firsthand.compress.quantize.round_to_nearest import RoundToNearest
from firsthand.compress.subject import linear_maps
from firsthand.model.quantized import quantized_parts
from firsthand.ops.quantized import Affine, Quantized

from .subjects import MIXERS, WINDOWS, given_for, scores, subject_of

FORMATS = [
    Affine(4, None, True, "fp32"),
    Affine(4, 8, True, "fp16"),
    Affine(4, 8, False, "fp16"),
    Affine(3, 16, False, "fp32"),
    Affine(4, 10, False, "fp32"),
]


def problem(d_out=7, d_in=36, rows=200):
    """A weight, and inputs whose channels depend on each other."""
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(rows, d_in, generator=generator) @ torch.randn(d_in, d_in, generator=generator)
    return torch.randn(d_out, d_in, generator=generator), x.double()


def oracle(weight, gram, format, damping, order=None):
    """Optimal Brain Quantization's update, one column after the other, with the inverse of what is left each time
    (arXiv 2210.17323, eq. 2 and 3): no Cholesky factor, no blocks."""
    w = weight.double().clone()
    h = gram + damping * gram.diagonal().mean() * torch.eye(len(gram), dtype=torch.float64)
    width = format.width(w.shape[1])
    columns = list(range(w.shape[1])) if order is None else order
    result = torch.empty_like(w)
    left, grids = list(columns), {}
    for column in columns:
        group = column // width
        if group not in grids:
            grids[group] = format.grid((weight.double() if order else w)[:, group * width : (group + 1) * width])
        rounded = format.values(format.nearest(w[:, [column]], *grids[group]), *grids[group])[:, 0].double()
        result[:, column] = rounded
        inverse = torch.linalg.inv(h[left][:, left])
        error = (w[:, column] - rounded) / inverse[0, 0]
        w[:, left] -= error[:, None] * inverse[0]
        left.remove(column)
    return result


@pytest.mark.parametrize("format", FORMATS, ids=str)
@pytest.mark.parametrize("block", [1, 5, 16, 128])
def test_it_is_the_exact_update_column_by_column(format, block):
    weight, x = problem()
    expected = oracle(weight, x.T @ x, format, 0.01)
    found = gptq(weight, x.T @ x, format, damping=0.01, block=block).full().double()
    assert (x @ (found - expected).T).norm() <= 1e-6 * (x @ expected.T).norm()


@pytest.mark.parametrize("format", FORMATS, ids=str)
def test_by_activation_it_is_the_same_update_in_another_order(format):
    weight, x = problem()
    gram = x.T @ x
    order = gram.diagonal().argsort(descending=True, stable=True).tolist()
    expected = oracle(weight, gram, format, 0.01, order)
    found = gptq(weight, gram, format, damping=0.01, block=8, order="activation").full().double()
    assert (x @ (found - expected).T).norm() <= 1e-6 * (x @ expected.T).norm()


@pytest.mark.parametrize("format", FORMATS, ids=str)
@pytest.mark.parametrize("order", [None, "activation"])
@pytest.mark.parametrize("gram", [torch.eye(36).double(), torch.zeros(36, 36).double()], ids=["alone", "unread"])
def test_where_no_channel_depends_on_another_it_rounds_to_the_nearest(format, order, gram):
    weight, _ = problem()
    found = gptq(weight, gram, format, order=order)
    assert torch.equal(found.full(), Quantized.of(weight, format).full())


@pytest.mark.parametrize("format", FORMATS, ids=str)
def test_outputs_are_nearer_than_after_rounding_to_the_nearest(format):
    weight, x = problem(rows=60)
    gram = x.T @ x

    def error(rounded):
        return float((x @ (rounded.full() - weight).double().T).square().sum())

    nearest = error(Quantized.of(weight, format))
    assert error(gptq(weight, gram, format)) < 0.7 * nearest
    assert error(gptq(weight, gram, format, order="activation", search=True)) < 0.7 * nearest


@pytest.mark.parametrize("format", FORMATS, ids=str)
def test_a_searched_grid_is_never_worse(format):
    weight, x = problem()
    importance = x.square().sum(0)

    def cost(scales, zeros):
        error = format.values(format.nearest(weight, scales, zeros), scales, zeros) - weight
        return float((error.square() * importance).sum())

    assert cost(*best_grid(format, weight, importance)) < cost(*format.grid(weight))


@pytest.mark.parametrize("mixer", MIXERS)
@pytest.mark.parametrize("sequential", [False, True])
def test_each_layers_error_on_real_inputs_is_below_that_of_rounding(mixer, sequential):
    """Σ over maps of the output error, each map with the inputs that it has in the rounded model."""
    ours, plain = subject_of(mixer=mixer), subject_of(mixer=mixer)
    given = given_for(ours)
    GPTQ(bits=3, group=32, sequential=sequential)(ours, given)
    RoundToNearest(bits=3, group=32, symmetric=False)(plain, given)
    assert {name for name, _ in quantized_parts(ours.model)} == set(linear_maps(given.original))
    grams = {}
    layer_by_layer(given.original, WINDOWS, Gram, lambda name, _, gram: grams.update({name: gram.total}))

    def error(subject, name):
        off = subject.model.get_submodule(name).weight.detach() - given.original.get_submodule(name).weight.detach()
        return float((off.double() @ grams[name] * off).sum())

    first = [name for name in grams if name.startswith("blocks.0.mixer.") and grams[name].any()]
    assert sum(error(ours, name) for name in first) < sum(error(plain, name) for name in first)
    before = scores(given.original)
    assert (scores(ours.model) - before).norm() < (scores(plain.model) - before).norm()


def test_what_is_never_read_is_rounded_and_that_is_said():
    subject = subject_of(ffn="experts")
    GPTQ(group=32)(subject, given_for(subject))
    assert any(note.startswith("2 maps read nothing") for note in subject.notes)
    assert torch.isfinite(scores(subject.model)).all()

"""AWQ and SmoothQuant: scales that change nothing before rounding, and much after it."""

import pytest
import torch

from firsthand.compress.calibration import Sizes, layers
from firsthand.compress.quantize.awq import AWQ, Inputs
from firsthand.compress.quantize.folding import scale_channels, source_of
from firsthand.compress.quantize.int8_dynamic import Int8Dynamic
from firsthand.compress.quantize.round_to_nearest import RoundToNearest
from firsthand.compress.quantize.smoothquant import SmoothQuant
from firsthand.model.quantized import Int8Linear, quantized_parts
from firsthand.ops.quantized import Affine, Quantized

from .subjects import MIXERS, WINDOWS, given_for, scores, subject_of


def sources(**fields):
    layer = next(layers(subject_of(**fields).model, WINDOWS))
    found = {names[0].removeprefix("blocks.0."): source_of(layer, names) for names in layer.readers()}
    return layer, found


def test_scales_go_into_norms_and_into_maps_that_lead_to_their_readers():
    _, found = sources(n_kv_heads=4)
    assert found == {
        "mixer.query": "mixer_norm",
        "mixer.out": "mixer.value",
        "ffn.gate": "ffn_norm",
        "ffn.down": "ffn.up",
    }
    assert sources(n_kv_heads=2)[1]["mixer.out"] is None
    assert sources(ffn={"part": "mlp", "activation": "gelu"})[1]["ffn.down"] is None
    assert sources(ffn={"part": "mlp", "activation": "relu"})[1]["ffn.down"] == "ffn.up"
    assert sources(mixer="mamba2")[1]["mixer.out"] == "mixer"
    assert sources(block="canon")[1]["ffn.gate"] == "ffn_norm"


@pytest.mark.parametrize("norm", ["layer_norm", "rms_norm", "dyt"])
@pytest.mark.parametrize("mixer", MIXERS)
def test_folded_scales_change_nothing(mixer, norm):
    subject = subject_of(mixer=mixer, norm=norm, bias=norm == "layer_norm")
    before, folded = scores(subject.model), 0
    for layer in layers(subject.model, WINDOWS):
        for names in layer.readers():
            source = source_of(layer, names)
            if source is not None:
                width = layer.maps[names[0]].in_features
                scale_channels(
                    layer, source, names, torch.rand(width, generator=torch.Generator().manual_seed(1)) + 0.5
                )
                folded += 1
    assert folded >= 4
    assert (scores(subject.model) - before).norm() <= 1e-4 * before.norm()


def test_a_trial_leaves_no_trace():
    subject = subject_of()
    before = {name: weight.clone() for name, weight in subject.model.named_parameters()}
    for layer in layers(subject.model, WINDOWS):
        for names in layer.readers():
            source_of(layer, names)
    assert all(torch.equal(weight, before[name]) for name, weight in subject.model.named_parameters())


def test_awqs_scales_are_the_best_of_its_grid():
    torch.manual_seed(0)
    x = torch.randn(300, 16) * torch.randn(16).exp()
    weights = [torch.randn(8, 16), 10 * torch.randn(4, 16)]
    inputs = Inputs(16)
    inputs.add(x)
    format = Affine(3, 8, False)

    def lost(s):
        errors = [(x @ (Quantized.of(w * s, format).full() / s - w).T).square().sum() for w in weights]
        return sum(float(e / (x @ w.T).square().sum()) for e, w in zip(errors, weights, strict=True))

    tried = []
    for number in range(11):
        s = x.abs().mean(0) ** (number / 10)
        tried.append(lost(s / (s.max() * s.min()).sqrt()))
    found = lost(AWQ(3, 8, steps=10).scales_of(weights, inputs))
    assert found == pytest.approx(min(tried), rel=1e-3)
    assert found < 0.9 * lost(torch.ones(16))


@pytest.mark.parametrize("mixer", MIXERS)
def test_awq_is_nearer_to_the_original_than_rounding(mixer):
    ours, plain = subject_of(mixer=mixer), subject_of(mixer=mixer)
    given = given_for(ours)
    before = scores(given.original)
    AWQ(bits=3, group=32)(ours, given)
    RoundToNearest(bits=3, group=32, symmetric=False)(plain, given)
    assert (scores(ours.model) - before).norm() < (scores(plain.model) - before).norm()


def test_maps_without_a_part_before_them_are_counted():
    subject = subject_of(n_kv_heads=2)
    AWQ(group=32)(subject, given_for(subject))
    assert any(note.startswith("awq: 2 of 8 groups of maps have no part before them") for note in subject.notes)


def test_smoothquants_scales_are_what_equation_4_says():
    torch.manual_seed(0)
    x, weights, sizes = torch.randn(50, 6), [torch.randn(3, 6), torch.randn(5, 6)], Sizes(6)
    sizes.add(x)
    for alpha in (0.0, 0.3, 1.0):
        expected = x.abs().amax(0) ** alpha / torch.cat(weights).abs().amax(0) ** (1 - alpha)
        torch.testing.assert_close(SmoothQuant(alpha).scales_of(weights, sizes), expected)


@pytest.mark.parametrize("mixer", MIXERS)
def test_smoothing_helps_where_some_channels_of_the_input_are_large(mixer):
    subjects = [subject_of(mixer=mixer) for _ in range(2)]
    for subject in subjects:
        for block in subject.model.blocks:
            for norm in (block.mixer_norm, block.ffn_norm):
                norm.gain.data[::16] *= 30
            for part in block.modules():
                if type(part) is torch.nn.Linear and part.in_features == 64:
                    part.weight.data[:, ::16] /= 30
    given = given_for(subjects[0])
    before = scores(given.original)
    SmoothQuant()(subjects[0], given)
    Int8Dynamic()(subjects[1], given)
    errors = [float((scores(subject.model) - before).norm() / before.norm()) for subject in subjects]
    assert errors[0] < errors[1]
    assert all(type(part) is Int8Linear for _, part in quantized_parts(subjects[0].model))

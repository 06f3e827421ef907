"""What maps read: found by letting the text through, whatever the mixer is."""

import pytest
import torch
from torch.nn import functional as F

from firsthand.compress.calibration import Gram, Sizes, layer_by_layer, layers, windows_of
from firsthand.errors import UserError

from .quantize.subjects import MIXERS, WINDOWS, subject_of


def inputs_of(model, name):
    """Everything that a map reads of the windows, found by a hook on the whole model."""
    read = []
    handle = model.get_submodule(name).register_forward_pre_hook(lambda _, x: read.append(x[0].flatten(0, -2)))
    with torch.no_grad():
        model(WINDOWS)
    handle.remove()
    return torch.cat(read)


@pytest.mark.parametrize("mixer", MIXERS)
def test_statistics_are_those_of_the_whole_models_inputs(mixer):
    model = subject_of(mixer=mixer).model
    grams, sizes = {}, {}
    layer_by_layer(model, WINDOWS, Gram, lambda name, _, found: grams.update({name: found}))
    layer_by_layer(model, WINDOWS, Sizes, lambda name, _, found: sizes.update({name: found}))
    assert len(grams) >= 2 * 6
    for name in grams:
        x = inputs_of(model, name)
        assert grams[name].rows == sizes[name].rows == len(x) == WINDOWS.numel()
        expected = x.double().T @ x.double()
        assert (grams[name].total - expected).norm() <= 1e-6 * expected.norm()
        torch.testing.assert_close(sizes[name].sum, x.double().abs().sum(0), rtol=1e-5, atol=1e-4)
        torch.testing.assert_close(sizes[name].squares, x.double().square().sum(0), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(sizes[name].largest, x.abs().amax(0))


@pytest.mark.parametrize("residual", ["plain", "shortcut"])
def test_later_layers_see_what_earlier_ones_became(residual):
    subject = subject_of(residual=residual)
    found = {}

    def change(name, part, gram):
        found[name] = gram
        part.weight.data.mul_(0.5)

    layer_by_layer(subject.model, WINDOWS, Gram, change)
    x = inputs_of(subject.model, "blocks.1.mixer.query").double()
    assert (found["blocks.1.mixer.query"].total - x.T @ x).norm() <= 1e-6 * (x.T @ x).norm()


def test_maps_that_read_the_same_stand_together_in_the_order_of_their_work():
    layer = next(layers(subject_of().model, WINDOWS))
    assert [[name.removeprefix("blocks.0.") for name in names] for names in layer.readers()] == [
        ["mixer.query", "mixer.key", "mixer.value"],
        ["mixer.out"],
        ["ffn.gate", "ffn.up"],
        ["ffn.down"],
    ]
    found = layer.gather(Gram)
    assert found["blocks.0.mixer.query"] is found["blocks.0.mixer.value"]
    assert found["blocks.0.mixer.query"] is not found["blocks.0.mixer.out"]


def test_a_map_that_is_never_called_has_read_nothing():
    layer = next(layers(subject_of(ffn="experts").model, WINDOWS))
    assert not any("blocks.0.ffn.router" in names for names in layer.readers())
    assert layer.gather(Gram)["blocks.0.ffn.router"].rows == 0


def test_progress_ends_at_all_layers():
    told = []
    list(layers(subject_of().model, WINDOWS, lambda share, what: told.append((share, what))))
    assert told == [(0.5, "layer 1 of 2"), (1.0, "layer 2 of 2")]


def test_the_windows_are_the_first_of_the_text():
    ids = torch.arange(20)
    assert windows_of(ids, 3, 4).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    with pytest.raises(UserError, match="has 20 tokens, but 3 windows of 7 need 21"):
        windows_of(ids, 3, 7)


def test_a_gram_is_what_outputs_are_measured_with():
    torch.manual_seed(0)
    x, error, gram = torch.randn(50, 6), torch.randn(3, 6), Gram(6)
    for part in x.split(20):
        gram.add(part)
    assert float((error.double() @ gram.total * error).sum()) == pytest.approx(float(F.linear(x, error).square().sum()))

"""Weights with many zeros in a file, and models of such weights saved and opened."""

import pytest
import torch

from firsthand.compress.prune.magnitude import Magnitude
from firsthand.compress.saved import apart, contents
from firsthand.compress.sparse import filled, thinned
from firsthand.compress.subject import Given, Subject
from firsthand.errors import DamagedError
from firsthand.model.make import build_model
from firsthand.model.quantized import put
from firsthand.ops.quantized import Quantized
from firsthand.ops.quantized.affine import Affine


def scattered(*shape, share=0.5, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randn(shape, generator=generator) * 20
    return (numbers * (torch.rand(shape, generator=generator) > share)).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.int8])
@pytest.mark.parametrize("shape", [(64, 64), (37, 43), (4, 17, 31)])
def test_any_tensor_comes_back_as_it_was(shape, dtype):
    tensor = scattered(*shape, dtype=dtype)
    kept, described = thinned({"w": tensor}, {})
    assert kept.keys() == {"w.mask", "w.values"}
    size = sum(part.numel() * part.element_size() for part in kept.values())
    nonzero = int((tensor != 0).sum())
    assert size == -(-tensor.numel() // 8) + nonzero * dtype.itemsize
    again = filled(kept, described, "here")["w"]
    assert again.dtype == dtype
    assert torch.equal(again, tensor)


@pytest.mark.parametrize("bits", [2, 3, 4])
@pytest.mark.parametrize("columns", [64, 51])
def test_codes_of_four_bits_come_back_too(bits, columns):
    format = Affine(bits=bits, group=32)
    codes = Quantized.of(scattered(40, columns), format).tensors["codes"]
    kept, described = thinned({"w.codes": codes}, {"w.codes": -format.codes[0]})
    assert sum(part.numel() for part in kept.values()) < 0.8 * codes.numel()
    assert torch.equal(filled(kept, described, "here")["w.codes"], codes)


@pytest.mark.parametrize(("share", "thin"), [(0.0, False), (0.02, False), (0.05, True), (1.0, True)])
def test_only_what_gets_smaller_is_thinned(share, thin):
    """A bit of 32 a number: from a 32nd of zeros on."""
    kept, described = thinned({"w": scattered(100, 100, share=share)}, {})
    assert ("w" in described) == thin == ("w" not in kept)


def test_small_tensors_stay():
    assert thinned({"w": torch.zeros(10, 10)}, {})[1] == {}


@pytest.mark.parametrize(
    "slip",
    [
        {"shape": [64, 63]},
        {"shape": [1 << 40, 1 << 40]},
        {"shape": [-64, -64]},
        {"shape": [64, 64], "centre": 3},
        {"shape": [32, 64], "centre": 8},
        {"shape": None},
        {},
    ],
)
def test_what_was_never_written_is_refused(slip):
    kept, _ = thinned({"w": scattered(64, 64)}, {})
    with pytest.raises(DamagedError):
        apart(kept, {"sparse": {"w": slip}}, "here")


def test_another_number_of_values_is_refused():
    kept, described = thinned({"w": scattered(64, 64)}, {})
    for values in (kept["w.values"][:-1], kept["w.values"].unsqueeze(1)):
        with pytest.raises(DamagedError, match="values"):
            apart(kept | {"w.values": values}, {"sparse": described}, "here")
    with pytest.raises(DamagedError):
        apart({"w.mask": kept["w.mask"]}, {"sparse": described}, "here")


def pruned(format=None):
    torch.manual_seed(0)
    fields = {"n_layers": 2, "d_model": 64, "n_heads": 2, "context_length": 16}
    subject = Subject.of(build_model(fields, 40), fields)
    Magnitude(scope="row")(subject, Given(torch.zeros(1, 4, dtype=torch.int64), subject.model))
    if format:
        for name, part in list(subject.model.named_modules()):
            if name.startswith("blocks.") and type(part) is torch.nn.Linear:
                put(subject.model, name, Quantized.of(part.weight, format))
    return subject.model


def size_of(tensors):
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def test_a_pruned_model_is_saved_without_its_zeros_and_opened_with_them():
    model = pruned()
    tensors, described = contents(model)
    assert described.keys() == {"sparse"}
    weights, quantized = apart(tensors, described, "here")
    assert quantized == {}
    for name, weight in model.named_parameters():
        assert torch.equal(weights[name], weight), name
    dense = {name: weight for name, weight in model.named_parameters() if name.startswith("blocks.")}
    thin = {name: tensor for name, tensor in tensors.items() if name.startswith("blocks.")}
    assert size_of(thin) < 0.55 * size_of(dense)


@pytest.mark.parametrize(
    ("format", "share"),
    [(Affine(bits=8), 0.68), (Affine(bits=4, group=32), 0.85), (Affine(4, 32, symmetric=False), 1.0)],
)
def test_zeros_of_rounded_weights_take_a_bit_too(format, share):
    """8 bits a number become 1 + 4, and 4 become 1 + 2; scales stay. Codes around a zero point are not thinned."""
    model = pruned(format)
    tensors, described = contents(model)
    _, quantized = apart(tensors, described, "here")
    for name, part in model.named_modules():
        if name in quantized:
            assert torch.equal(quantized[name].full(), part.weight)
            assert (part.weight == 0).float().mean() >= 0.5
    dense = {f"{name}.{key}": tensor for name, one in quantized.items() for key, tensor in one.tensors.items()}
    thin = {name: tensor for name, tensor in tensors.items() if name.startswith("blocks.") and "norm" not in name}
    assert size_of(thin) <= share * size_of(dense)


def test_a_model_with_nothing_to_tell_has_no_description():
    model = build_model({"n_layers": 1, "d_model": 32, "n_heads": 2, "context_length": 16}, 40)
    with torch.no_grad():
        for parameter in model.parameters():  # some maps begin with zeros
            parameter.add_(1.0)
    assert contents(model)[1] is None

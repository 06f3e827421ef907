"""Formats in few bits: what they keep, how far numbers move, and what is refused."""

import itertools

import pytest
import torch

from firsthand.errors import UserError
from firsthand.ops.quantized import FORMATS, NAMES, Affine, NF4Format, Quantized
from firsthand.ops.quantized.affine import packed, unpacked
from firsthand.ops.quantized.nf4 import BLOCK, LEVELS

AFFINE = [
    Affine(bits=bits, group=group, symmetric=symmetric, scales=scales)
    for bits, group, symmetric, scales in itertools.product(
        (2, 3, 4, 5, 8), (None, 32), (True, False), ("fp16", "fp32")
    )
]
ANY = [*AFFINE, NF4Format()]


def weight_of(d_out=7, d_in=70, seed=0):
    """With a row of zeros, a row of one sign and a large number, and of an odd number of rows."""
    weight = torch.randn(d_out, d_in, generator=torch.Generator().manual_seed(seed)) * 0.1
    weight[1] = 0.0
    weight[2] = weight[2].abs() + 1.0
    weight[3, 5] = 4.0
    return weight


def test_every_format_has_its_name():
    assert {name: FORMATS[name] for name in NAMES.values()} == FORMATS
    assert {cls: NAMES[cls] for cls in FORMATS.values()} == NAMES


@pytest.mark.parametrize("format", ANY, ids=str)
@pytest.mark.parametrize("shape", [(5, 64), (7, 70), (4, 1), (4, 31)], ids=str)
def test_what_is_kept_is_read_again_and_described(format, shape):
    """Numbers that stand in a format already are kept as they are."""
    weight = weight_of(7, 70)[: shape[0], : shape[1]]
    kept = Quantized.of(weight, format)
    full = kept.full()
    assert full.shape == weight.shape
    assert full.dtype == torch.float32
    again = Quantized.of_json(kept.to_json(), kept.tensors)
    assert again.format == format
    assert torch.equal(again.full(), full)
    assert torch.equal(full[1], torch.zeros_like(full[1]))
    if not isinstance(format, Affine) or format.symmetric:
        torch.testing.assert_close(Quantized.of(full, format).full(), full, rtol=2e-3, atol=1e-7)


@pytest.mark.parametrize("format", AFFINE, ids=str)
def test_no_number_moves_more_than_half_a_step(format):
    """By a plain loop in float64: the scale of each number's own group."""
    weight = weight_of()
    kept = Quantized.of(weight, format)
    scales, width = kept.tensors["scales"].double(), format.width(70)
    levels = 2**format.bits - 1
    for row, column in itertools.product(range(7), range(70)):
        group = weight[row, column // width * width : (column // width + 1) * width].double()
        scale = float(scales[row, column // width])
        size = (
            float(group.abs().max()) if format.symmetric else float(group.clamp(min=0).max() - group.clamp(max=0).min())
        )
        ideal = size / (levels // 2 if format.symmetric else levels)
        assert scale == pytest.approx(ideal or 1.0, rel=1e-3)
        off = abs(float(kept.full()[row, column]) - float(weight[row, column]))
        assert off <= scale * (0.5 if format.symmetric else 1.0) * 1.001  # a zero of its own is rounded too


def test_half_a_code_more_cuts_the_largest_number_off():
    weight = torch.tensor([[1.0, -1.0, 0.1, 0.0]])
    kept = Quantized.of(weight, Affine(8, scales="fp32", reach=127.5))
    assert kept.tensors["codes"].tolist() == [[127, -127, 13, 0]]
    assert float(kept.tensors["scales"]) == pytest.approx(1 / 127.5)
    assert float(kept.full()[0, 0]) == pytest.approx(127 / 127.5)


@pytest.mark.parametrize("scales", ["fp16", "bf16", "fp32"])
@pytest.mark.parametrize("size", [1e-3, 1e-5, 1e-6, 1e-8, 1e-12])
def test_small_weights_do_not_leave_the_range_of_scales(scales, size):
    """Scales below the smallest of their precision become that one, and those near it are never too short."""
    weight = weight_of() / 4 * size
    kept = Quantized.of(weight, Affine(8, 32, scales=scales))
    assert bool((kept.tensors["scales"] > 0).all())
    step = kept.tensors["scales"].float().repeat_interleave(32, 1)[:, :70]
    assert bool(((kept.full() - weight).abs() <= 0.501 * step).all())


def test_weights_too_large_for_fp16_scales_are_refused():
    weight = torch.full((1, 4), 1e8)
    with pytest.raises(UserError, match=r"beyond fp16\. Write scales: fp32"):
        Quantized.of(weight, Affine(8))
    assert float(Quantized.of(weight, Affine(8, scales="fp32")).full()[0, 0]) == pytest.approx(1e8)


@pytest.mark.parametrize("format", [Affine(), Affine(4, 32, False), NF4Format()], ids=str)
@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_refused(format, number):
    weight = weight_of()
    weight[4, 4] = number
    with pytest.raises(UserError, match="not finite"):
        Quantized.of(weight, format)


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("symmetric", [True, False])
def test_every_code_survives_packing(bits, symmetric):
    format = Affine(bits, symmetric=symmetric)
    first, last = format.codes
    codes = torch.arange(first, last + 1, dtype=torch.int16).repeat(2)[: 2 * (last - first) + 1].view(1, -1)
    assert torch.equal(unpacked(packed(codes, format), format, codes.shape[1]), codes)


def test_codes_of_four_bits_are_two_in_a_byte():
    format = Affine(4, 32, False)
    assert packed(torch.tensor([[1, 2, 15]], dtype=torch.int16), format).tolist() == [[0x21, 0x0F]]
    assert Quantized.of(torch.ones(3, 64), format).bytes == 3 * 32 + 3 * 2 * (2 + 1)


def test_nf4_takes_the_nearest_level_by_a_plain_search():
    weight = weight_of(5, 70)
    full = Quantized.of(weight, NF4Format()).full().flatten()
    levels, flat = torch.tensor(LEVELS, dtype=torch.float64), weight.double().flatten()
    for start in range(0, len(flat), BLOCK):
        block = flat[start : start + BLOCK]
        largest = block.abs().max()
        nearest = levels[(block[:, None] / largest.clamp_min(1e-30) - levels).abs().argmin(1)] * largest
        torch.testing.assert_close(full[start : start + BLOCK].double(), nearest, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    "arguments",
    [
        {"bits": 1},
        {"bits": 9},
        {"group": 1},
        {"group": 0},
        {"scales": "fp8"},
        {"reach": -1.0},
        {"reach": 0.0},
        {"reach": float("nan")},
    ],
)
def test_what_no_format_is_is_refused(arguments):
    with pytest.raises(UserError, match="No weights can stand in"):
        Affine(**arguments)


TORCHAO = {
    "int8, a row": (Affine(8, None, True, "fp32", 127.5), (1, 96), (-128, 127)),
    "int8, groups": (Affine(8, 32, True, "fp32", 127.5), (1, 32), (-128, 127)),
    "int4, groups": (Affine(4, 32, True, "fp32", 7.5), (1, 32), (-8, 7)),
    "int4, groups, a zero": (Affine(4, 32, False, "fp32"), (1, 32), (0, 15)),
    "int8, a row, a zero": (Affine(8, None, False, "fp32"), (1, 96), (0, 255)),
}


@pytest.mark.parametrize("name", TORCHAO)
def test_rounding_is_torchaos_bit_for_bit(name):
    ao = pytest.importorskip("torchao.quantization.quant_primitives", reason="torchao is not installed")
    format, block, (low, high) = TORCHAO[name]
    weight = weight_of(400, 96, seed=5)
    kind = ao.MappingType.SYMMETRIC if format.symmetric else ao.MappingType.ASYMMETRIC
    dtype = torch.int8 if format.symmetric else torch.uint8
    eps = torch.finfo(torch.float32).eps
    scale, zero = ao.choose_qparams_affine(weight, kind, block, dtype, low, high, eps=eps, scale_dtype=torch.float32)
    codes = ao.quantize_affine(weight, block, scale, zero, dtype, low, high)
    expected = ao.dequantize_affine(codes, block, scale, zero, dtype, low, high)
    kept = Quantized.of(weight, format)
    empty = weight.abs().amax(1) == 0  # a scale of 1 here, the smallest there
    assert torch.equal(
        kept.tensors["scales"].flatten()[~empty.repeat_interleave(kept.tensors["scales"].shape[1])],
        scale.flatten()[~empty.repeat_interleave(kept.tensors["scales"].shape[1])],
    )
    found = (
        unpacked(kept.tensors["codes"], format, 96) if format.symmetric or format.bits <= 4 else kept.tensors["codes"]
    )
    assert torch.equal(found[~empty].int(), codes[~empty].int())
    assert torch.equal(kept.full()[~empty], expected[~empty])


def altered(tensors, tree):
    """Descriptions and tensors that no format gives, by what is wrong with them."""
    codes, scales = tensors["codes"], tensors["scales"]
    huge = 10**18
    yield "shape", tensors, {**tree, "shape": [huge, huge]}
    yield "negative", tensors, {**tree, "shape": [-7, -70]}
    yield "one size", tensors, {**tree, "shape": [7]}
    yield "text", tensors, {**tree, "shape": "ab"}
    yield "no shape", tensors, {key: value for key, value in tree.items() if key != "shape"}
    yield "longer", tensors, {**tree, "shape": [7, 128]}
    yield "missing", {"codes": codes}, tree
    yield "more", {**tensors, "more": codes}, tree
    yield "shorter", {**tensors, "codes": codes[:-1]}, tree
    yield "dtype", {**tensors, "codes": codes.float()}, tree
    yield "scales", {**tensors, "scales": scales.double()}, tree
    yield "fewer scales", {**tensors, "scales": scales[..., :-1]}, tree
    yield "not a number", {**tensors, "scales": torch.full_like(scales, torch.nan)}, tree
    yield "part", tensors, {**tree, "part": "no such"}
    yield "file", tensors, {**tree, "part": "evil.py:Format"}
    yield "argument", tensors, {**tree, "more": 1}


@pytest.mark.parametrize("format", [Affine(8), Affine(4, 32), Affine(4, 32, False), NF4Format()], ids=str)
def test_what_no_format_gives_is_refused(format):
    kept = Quantized.of(weight_of(), format)
    for what, tensors, tree in altered(kept.tensors, kept.to_json()):
        try:
            Quantized.of_json(tree, tensors)
        except (TypeError, ValueError, KeyError):
            continue
        pytest.fail(what)

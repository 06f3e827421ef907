"""Weights in few bits leave as blocks of GGUF with the same numbers, or it is said that they are rounded anew."""

import dataclasses

import gguf
import numpy as np
import pytest
import torch

from firsthand.interop.channels import halves
from firsthand.interop.gguf import read, write
from firsthand.interop.gguf.blocks import blocks, kind_of
from firsthand.interop.gguf.header import read_header
from firsthand.ops.quantized import Affine, NF4Format, Quantized

from . import models

EXACT = {
    "int8 in blocks": (Affine(8, 32), "Q8_0"),
    "int8 a row": (Affine(8), "Q8_0"),
    "int8, cut off": (Affine(8, 32, reach=127.5), "Q8_0"),
    "int8 in longer groups": (Affine(8, 64), "Q8_0"),
    "int6": (Affine(6, 32), "Q8_0"),
    "int4": (Affine(4, 32), "Q4_0"),
    "int4 in longer groups": (Affine(4, 64), "Q4_0"),
    "int4 a row": (Affine(4), "Q4_0"),
    "int3": (Affine(3, 32), "Q4_0"),
}
OTHER = [Affine(4, 32, False), Affine(8, 32, scales="fp32"), Affine(8, 48), Affine(8, 16), NF4Format()]


@pytest.mark.parametrize("name", EXACT)
def test_blocks_hold_the_very_numbers(name):
    """Read by the library of llama.cpp's authors."""
    format, kind = EXACT[name]
    kept = Quantized.of(torch.randn(5, 96, generator=torch.Generator().manual_seed(0)), format)
    assert kind_of(kept) == kind
    found = gguf.quants.dequantize(blocks(kept).numpy(), gguf.GGMLQuantizationType[kind])
    np.testing.assert_array_equal(found, kept.full().numpy())


@pytest.mark.parametrize("format", OTHER, ids=str)
def test_what_gguf_cannot_say_exactly_is_known(format):
    assert kind_of(Quantized.of(torch.randn(4, 192), format)) is None


def few_bits(name, format, table=None):
    """A model of which every map of attention and FFN stands in few bits, as `open` finds it."""
    imported, _ = models.model_of(name)
    maps = {key for key, weight in imported.weights.items() if key.startswith("blocks.") and weight.ndim == 2}
    formats = dict.fromkeys((key for key in maps if not key.endswith("router.weight")), format)
    if table is not None:
        formats["embedding.weight"] = table
    kept = {key.removesuffix(".weight"): Quantized.of(imported.weights[key], each) for key, each in formats.items()}
    rest = {key: weight for key, weight in imported.weights.items() if key not in formats}
    return dataclasses.replace(imported, weights=rest, quantized=kept).whole()


def types_of(path):
    return {name: stored.type for name, stored in read_header(path.read_bytes()).tensors.items()}


@pytest.mark.parametrize("dtype", ["fp16", "q4_0", "fp32"])
@pytest.mark.parametrize("name", ["llama", "llama, neighbours", "llama, its own head", "qwen3", "gpt2"])
@pytest.mark.parametrize("format", ["int8 in blocks", "int8 a row", "int4"])
def test_a_model_in_few_bits_is_read_again_bit_for_bit(format, name, dtype, tmp_path, capsys):
    imported = few_bits(name, EXACT[format][0], Affine(8, 32))
    write(imported, tmp_path / "model.gguf", dtype)
    found = read(tmp_path / "model.gguf")
    for key in imported.quantized:
        expected = imported.weights[f"{key}.weight"]
        if name == "llama, neighbours" and key.endswith(("query", "key")):  # read in the order of our presets
            expected = halves(expected, len(expected) // 16)
        assert torch.equal(found.weights[f"{key}.weight"], expected), key
    kinds = types_of(tmp_path / "model.gguf")
    up = kinds["blk.0.ffn_up.weight"]
    assert up == ("F32" if dtype == "fp32" else EXACT[format][1])
    assert capsys.readouterr().err == ""
    keys = read_header((tmp_path / "model.gguf").read_bytes()).fields
    assert keys["general.file_type"] in ({0} if dtype == "fp32" else {2, 7})


@pytest.mark.parametrize(("dtype", "kind"), [("fp16", "F16"), ("q8_0", "Q8_0"), ("q4_0", "Q4_0")])
def test_other_formats_are_rounded_anew_and_that_is_said(dtype, kind, tmp_path, capsys):
    imported = few_bits("llama", Affine(4, 32, False))
    write(imported, tmp_path / "model.gguf", dtype)
    assert types_of(tmp_path / "model.gguf")["blk.1.attn_q.weight"] == kind
    assert f"rounded anew, to {kind}" in capsys.readouterr().err
    found = read(tmp_path / "model.gguf").weights["blocks.1.mixer.query.weight"]
    expected = imported.weights["blocks.1.mixer.query.weight"]
    assert 0 < float((found - expected).abs().max()) < 0.1 * float(expected.abs().max())


def test_four_bits_for_maps_and_eight_for_tables(tmp_path):
    imported, _ = models.model_of("llama, its own head")
    write(imported, tmp_path / "model.gguf", "q4_0")
    kinds = types_of(tmp_path / "model.gguf")
    assert kinds["token_embd.weight"] == kinds["output.weight"] == "Q8_0"
    assert kinds["blk.0.ffn_down.weight"] == kinds["blk.1.attn_k.weight"] == "Q4_0"
    assert kinds["blk.0.attn_norm.weight"] == "F32"
    fields = read_header((tmp_path / "model.gguf").read_bytes()).fields
    assert fields["general.file_type"] in (2, 7)
    assert fields["general.quantization_version"] == 2

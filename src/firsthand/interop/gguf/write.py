"""A model of ours as a GGUF file, for llama.cpp and all that is built on it."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from firsthand.errors import UserError
from firsthand.interop.channels import halves, neighbours
from firsthand.interop.gguf.express import layout_of, metadata, rope_of
from firsthand.interop.gguf.layout import ROPE_FACTORS, Layout, ours
from firsthand.interop.gguf.settings import same
from firsthand.interop.gguf.vocabulary import vocabulary_of
from firsthand.interop.imported import Imported
from firsthand.model.positions.rope import frequencies
from firsthand.model.positions.scaling import llama3
from firsthand.model.presets import resolve
from firsthand.parts import split

DTYPES = {"fp16": ("F16", 1), "bf16": ("BF16", 32), "q8_0": ("Q8_0", 7), "fp32": ("F32", 0)}
"""What weights may be stored in: the format's name for it, and for a file that is mostly so (general.file_type)."""


def write(model: Imported, out: Path, dtype: str) -> list[Path]:
    """Write the file `out`, whole or not at all. UserError names what llama.cpp cannot express."""
    layout = layout_of(model.fields, model.vocab_size, "unembedding.weight" not in model.weights)
    keys = {f"{layout.architecture}.{key}": value for key, value in metadata(model.fields, layout).items()}
    keys |= {"general.name": out.stem, "general.file_type": DTYPES[dtype][1]} | vocabulary_of(model)
    if dtype == "q8_0":
        keys["general.quantization_version"] = 2
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f"{out.name}.{os.getpid()}.part")
    try:
        _write(part, layout, keys, model, dtype)
        os.replace(part, out)
    finally:
        part.unlink(missing_ok=True)
    return [out]


def _write(path: Path, layout: Layout, keys: Mapping[str, Any], model: Imported, dtype: str) -> None:
    import gguf

    writer = gguf.GGUFWriter(path, layout.architecture)
    adders = {int: writer.add_uint32, float: writer.add_float32, str: writer.add_string, bool: writer.add_bool}
    for key, value in keys.items():
        adders.get(type(value), writer.add_array)(key, value)
    kinds = {name: _kind(name, shape, dtype) for name, shape in layout.shapes().items()}
    for name, shape in layout.shapes().items():
        kind = gguf.GGMLQuantizationType[kinds[name]]
        block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
        size = int(np.prod(shape)) // block * block_bytes
        writer.add_tensor_info(name, shape, np.dtype(np.float32), size, raw_dtype=kind)
    try:
        for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_ti_data_to_file):
            step()
        for name in kinds:
            writer.write_tensor_data(_packed(name, _tensor(name, layout, model), kinds[name]))
    finally:
        writer.close()


def _kind(name: str, shape: Iterable[int], dtype: str) -> str:
    """How a tensor is stored. Q8_0 needs rows of whole blocks of 32, as llama.cpp does: the others become F16."""
    if same(name):
        return "F32"
    kind = DTYPES[dtype][0]
    return "F16" if kind == "Q8_0" and list(shape)[-1] % 32 else kind


def _tensor(name: str, layout: Layout, model: Imported) -> Tensor:
    """The tensor of the file that is called `name`, in fp32."""
    if name == ROPE_FACTORS:
        return _rope_factors(model.fields, layout)
    found = torch.cat([model.weights[each].detach().float() for each in ours(name)])
    heads = layout.turned(name)
    if not heads or layout.neighbours == _interleaved(model.fields, layout):
        return found
    return (neighbours if layout.neighbours else halves)(found, heads)


def _interleaved(fields: dict[str, Any], layout: Layout) -> bool:
    return bool(rope_of(resolve(fields), layout.architecture).get("layout", "interleaved") == "interleaved")


def _rope_factors(fields: dict[str, Any], layout: Layout) -> Tensor:
    """What RoPE's frequencies are divided by."""
    rope = split(fields["position"])[1]
    turns = frequencies(layout.d_head, float(rope.get("theta", 10000.0)))
    length = rope.get("trained_length") or max(1, round(layout.context_length / rope["factor"]))
    return (turns / llama3(turns, float(rope.get("theta", 10000.0)), float(rope["factor"]), length)[0]).float()


def _packed(name: str, tensor: Tensor, kind: str) -> np.ndarray:
    """The bytes of a tensor."""
    from gguf.constants import GGMLQuantizationType
    from gguf.quants import quantize

    if kind == "F16" and tensor.abs().max() > torch.finfo(torch.float16).max:
        raise UserError(f"{'/'.join(ours(name))} has numbers that fp16 cannot hold. Export with --dtype bf16.")
    packed: np.ndarray = quantize(np.ascontiguousarray(tensor.numpy()), GGMLQuantizationType[kind])
    return packed

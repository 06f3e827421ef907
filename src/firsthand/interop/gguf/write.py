"""A model of ours as a GGUF file, for llama.cpp and all that is built on it."""

import math
import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from firsthand.errors import UserError
from firsthand.interop.channels import halves, neighbours
from firsthand.interop.gguf.blocks import BLOCK, blocks, kind_of
from firsthand.interop.gguf.express import layout_of, metadata, rope_of
from firsthand.interop.gguf.layout import ROPE_FACTORS, TOP, Layout, ours
from firsthand.interop.gguf.settings import same
from firsthand.interop.gguf.vocabulary import vocabulary_of
from firsthand.interop.imported import Imported
from firsthand.model.positions.rope import frequencies
from firsthand.model.positions.scaling import llama3
from firsthand.model.presets import resolve
from firsthand.ops.quantized import Quantized
from firsthand.parts import split

DTYPES = {"fp16": "F16", "bf16": "BF16", "q8_0": "Q8_0", "q4_0": "Q4_0", "fp32": "F32"}
"""What weights may be stored in, and the format's name for it."""
FILE_TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 7, "BF16": 32}
"""The number of a file most of whose weights are so (general.file_type)."""


def write(model: Imported, out: Path, dtype: str) -> list[Path]:
    """Write the file `out`, whole or not at all. UserError names what llama.cpp cannot express.

    Weights that stand in few bits leave with the same numbers where GGUF can say them (blocks.py), unless fp32 is asked
    for; where it cannot, a line says that they are rounded anew.
    """
    layout = layout_of(model.fields, model.vocab_size, "unembedding.weight" not in model.weights)
    keys = {f"{layout.architecture}.{key}": value for key, value in metadata(model.fields, layout).items()}
    kinds = {name: _kind(name, shape, dtype, model) for name, shape in layout.shapes().items()}
    keys |= {"general.name": out.stem, "general.file_type": FILE_TYPES[_most(layout, kinds)]} | vocabulary_of(model)
    if any(kind.startswith("Q") for kind in kinds.values()):
        keys["general.quantization_version"] = 2
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f"{out.name}.{os.getpid()}.part")
    try:
        _write(part, layout, keys, model, kinds)
        os.replace(part, out)
    finally:
        part.unlink(missing_ok=True)
    lost = [
        name for name, kind in kinds.items() if kind != "F32" and _few(name, model) and not _exact(name, model, kind)
    ]
    if lost:
        kind = kinds[lost[0]]
        sys.stderr.write(
            f"{len(lost)} weights in few bits, {lost[0]} first, stand in a way that GGUF has not: they are rounded "
            f"anew, to {kind}.\n"
        )
    return [out]


def _write(path: Path, layout: Layout, keys: Mapping[str, Any], model: Imported, kinds: Mapping[str, str]) -> None:
    import gguf

    writer = gguf.GGUFWriter(path, layout.architecture)
    adders = {int: writer.add_uint32, float: writer.add_float32, str: writer.add_string, bool: writer.add_bool}
    for key, value in keys.items():
        adders.get(type(value), writer.add_array)(key, value)
    for name, shape in layout.shapes().items():
        kind = gguf.GGMLQuantizationType[kinds[name]]
        block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
        size = int(np.prod(shape)) // block * block_bytes
        writer.add_tensor_info(name, shape, np.dtype(np.float32), size, raw_dtype=kind)
    try:
        for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_ti_data_to_file):
            step()
        for name in kinds:
            writer.write_tensor_data(_bytes(name, layout, model, kinds[name]))
    finally:
        writer.close()


def _kind(name: str, shape: Iterable[int], dtype: str, model: Imported) -> str:
    """How a tensor is stored: blocks need rows of whole 32s, as llama.cpp does, and tables have 8 bits at least."""
    if same(name):
        return "F32"
    few = _few(name, model)
    if few and dtype != "fp32" and (exact := {kind_of(part) for part in few}) <= {"Q4_0", "Q8_0"} and len(exact) == 1:
        return str(exact.pop())
    kind = DTYPES[dtype]
    if kind.startswith("Q") and list(shape)[-1] % BLOCK:
        return "F16"
    return "Q8_0" if kind == "Q4_0" and name in TOP else kind


def _few(name: str, model: Imported) -> list[Quantized]:
    """The weights in few bits that make up a tensor; none if one of them is in full."""
    parts = [model.quantized.get(each.removesuffix(".weight")) for each in ours(name)]
    return [part for part in parts if part] if all(parts) else []


def _exact(name: str, model: Imported, kind: str) -> bool:
    """Whether the tensor's weights in few bits leave as they are."""
    few = _few(name, model)
    return bool(few) and all(kind_of(part) == kind for part in few)


def _most(layout: Layout, kinds: Mapping[str, str]) -> str:
    """The kind of most of the numbers that are not norms and the like."""
    counts: Counter[str] = Counter()
    for name, shape in layout.shapes().items():
        counts[kinds[name]] += 0 if same(name) else math.prod(shape)
    return counts.most_common(1)[0][0]


def _bytes(name: str, layout: Layout, model: Imported, kind: str) -> np.ndarray:
    """What the file has of the tensor called `name`."""
    if name == ROPE_FACTORS:
        return _packed(name, _rope_factors(model.fields, layout), kind)
    if kind != "F32" and _exact(name, model, kind):
        few = torch.cat([blocks(part) for part in _few(name, model)])
        return np.ascontiguousarray(_turned(few, name, layout, model).numpy())
    full = torch.cat([model.weights[each].detach().float() for each in ours(name)])
    return _packed(name, _turned(full, name, layout, model), kind)


def _turned(rows: Tensor, name: str, layout: Layout, model: Imported) -> Tensor:
    """The rows of a tensor in the file's order of channels."""
    heads = layout.turned(name)
    if not heads or layout.neighbours == _interleaved(model.fields, layout):
        return rows
    return (neighbours if layout.neighbours else halves)(rows, heads)


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

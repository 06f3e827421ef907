"""Tensors in a file, in the safetensors layout: 8 bytes that say how long the header is, a JSON header with dtype,
shape and place of each tensor, then their bytes, row after row, little-endian. Nothing in it can run.
(https://github.com/huggingface/safetensors, section "Format")
"""

import json
import math
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from firsthand.checkpoint import files
from firsthand.errors import DamagedError, UserError

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
CODES = {dtype: code for code, dtype in DTYPES.items()}
HEADER_LIMIT = 100_000_000
"""Bytes; the limit of the format's own library."""

assert sys.byteorder == "little", "safetensors files are little-endian, and so must be this machine"


def write_safetensors(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Write the tensors to a new file, one at a time. Returns {"bytes", "sha256"}."""
    return files.write(path, _parts(tensors))


def read_safetensors(path: Path, sha256: str | None = None) -> dict[str, Tensor]:
    """The tensors of a file, on the CPU. Nothing is returned unless all of it is well formed and, where `sha256` is
    given, unaltered; otherwise DamagedError. Every length is checked against the file before memory is taken.
    """
    with files.Reader(path) as reader:
        try:
            tensors = _unpack(reader)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise DamagedError(f"{path} is damaged: {error}. Use another copy or an older checkpoint.") from None
        if sha256 is not None and reader.sha256() != sha256:
            raise DamagedError(f"{path} was altered: its SHA-256 is not the one in the manifest.")
        return tensors


def read_header(path: Path) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
    """The dtype and shape of each tensor in a file, of which no tensor is read. DamagedError as `read_safetensors`."""
    with files.Reader(path) as reader:
        try:
            return {name: (dtype, tuple(shape)) for _, _, name, dtype, shape in _entries(reader)[1]}
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise DamagedError(f"{path} is damaged: {error}. Use another copy.") from None


def _parts(tensors: Mapping[str, Tensor]) -> Iterator[bytes | memoryview]:
    # wide elements first keeps each tensor aligned to its element size
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name in names:
        tensor = tensors[name]
        if tensor.dtype not in CODES or name == "__metadata__":
            raise UserError(f"The tensor {name!r} of {tensor.dtype} cannot be saved: safetensors has no place for it.")
        begin, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": CODES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for name in names:
        yield _bytes_of(tensors[name].detach().cpu().contiguous())


def _bytes_of(tensor: Tensor) -> memoryview:
    return tensor.reshape(-1).view(torch.uint8).numpy().data


def _unpack(reader: files.Reader) -> dict[str, Tensor]:
    names, entries = _entries(reader)
    tensors = {}
    for _, _, name, dtype, shape in entries:
        tensors[name] = torch.empty(shape, dtype=dtype)
        reader.fill(_bytes_of(tensors[name]))
    return {name: tensors[name] for name in names}


def _entries(reader: files.Reader) -> tuple[list[str], list[tuple[int, int, str, torch.dtype, list[int]]]]:
    """The tensors' names as they are listed, and where each lies and what it is, from front to back without a hole."""
    if reader.size < 8:
        raise ValueError("it is shorter than the 8 bytes it must begin with")
    length = int.from_bytes(reader.take(8), "little")
    if not 2 <= length <= min(reader.size - 8, HEADER_LIMIT):
        raise ValueError(f"its header of {length:,} bytes does not fit into the file")
    header = json.loads(reader.take(length), object_pairs_hook=_no_repeats)
    if not isinstance(header, dict):
        raise ValueError("its header is not a table of tensors")
    header.pop("__metadata__", None)
    entries = sorted((_entry(name, fields) for name, fields in header.items()), key=lambda entry: entry[:2])
    here = 0
    for begin, end, name, _, _ in entries:
        if begin != here:
            raise ValueError(f"the tensor {name!r} overlaps another one or leaves a hole")
        here = end
    if here != reader.size - 8 - length:
        raise ValueError(f"its tensors take {here:,} bytes where {reader.size - 8 - length:,} are")
    return list(header), entries


def _entry(name: str, fields: Any) -> tuple[int, int, str, torch.dtype, list[int]]:
    """Where one tensor lies and what it is, in agreement with itself."""
    dtype, shape, (begin, end) = DTYPES[fields["dtype"]], fields["shape"], fields["data_offsets"]
    if not isinstance(shape, list) or not all(type(number) is int and number >= 0 for number in [*shape, begin, end]):
        raise ValueError(f"the tensor {name!r} has no valid shape and place")
    if end - begin != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"the tensor {name!r} of shape {shape} does not take {end - begin:,} bytes")
    return begin, end, name, dtype, shape


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a name stands twice in its header")
    return table

"""NumPy's arrays. bfloat16, which NumPy does not know, is the upper half of a float32."""

import json
from pathlib import Path
from struct import unpack

import numpy as np
import torch
from torch import Tensor

KINDS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1"}
KINDS |= {"U8": "u1", "BOOL": "?"}


def _tensor(kind: str, shape: list[int], raw: bytes) -> Tensor:
    array = np.frombuffer(raw, KINDS[kind]).reshape(shape)
    if kind == "BF16":
        return torch.from_numpy((array.astype(np.uint32) << 16).view(np.float32)).to(torch.bfloat16)
    return torch.tensor(array)


def read_safetensors(path: Path) -> dict[str, Tensor]:
    with open(path, "rb") as file:
        first = file.read(8)
        if len(first) != 8:
            raise ValueError("too short")
        size = Path(path).stat().st_size
        (length,) = unpack("<Q", first)
        if length > size - 8:
            raise ValueError("the header does not fit")
        header = json.loads(file.read(length))
        body = file.read()
    entries = {name: one for name, one in header.items() if name != "__metadata__"}
    owners = np.zeros(len(body), int)
    found = {}
    for name, one in entries.items():
        begin, end = one["data_offsets"]
        if one["dtype"] not in KINDS:
            raise ValueError(f"unknown dtype {one['dtype']}")
        if end > len(body) or begin > end:
            raise ValueError("outside the file")
        owners[begin:end] += 1
        found[name] = _tensor(one["dtype"], one["shape"], body[begin:end])  # reshape refuses a wrong size
    if (owners != 1).any():
        raise ValueError("a byte belongs to no tensor, or to two")
    return found

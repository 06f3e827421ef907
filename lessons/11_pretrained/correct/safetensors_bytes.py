"""The whole file in memory, and views of its bytes."""

import json
import math
from pathlib import Path

import torch
from torch import Tensor

from firsthand.errors import UserError

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def read_safetensors(path: Path) -> dict[str, Tensor]:
    data = bytearray(Path(path).read_bytes())
    if len(data) < 8:
        raise UserError("The file is shorter than 8 bytes.")
    start = 8 + int.from_bytes(data[:8], "little")
    if start > len(data):
        raise UserError("The header is longer than the file.")
    header = json.loads(data[8:start].decode("utf-8"))
    header.pop("__metadata__", None)
    here, tensors = 0, {}
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, end = entry["data_offsets"]
        if entry["dtype"] not in DTYPES:
            raise UserError(f"The dtype {entry['dtype']} is not known.")
        dtype, shape = DTYPES[entry["dtype"]], entry["shape"]
        count = math.prod(shape)
        if end - begin != count * dtype.itemsize:
            raise UserError(f"{name} of shape {shape} does not take {end - begin} bytes.")
        if begin != here:
            raise UserError(f"{name} overlaps another tensor, or leaves a hole.")
        here = end
        if start + end > len(data):
            raise UserError(f"{name} ends behind the end of the file.")
        tensors[name] = torch.zeros(shape, dtype=dtype)
        if count:
            tensors[name] = torch.frombuffer(data, dtype=dtype, count=count, offset=start + begin).reshape(shape)
    if start + here != len(data):
        raise UserError("There are bytes behind the last tensor.")
    return {name: one.clone() for name, one in tensors.items()}

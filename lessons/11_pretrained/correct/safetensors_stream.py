"""From front to back, each tensor filled where it lies."""

import json
from pathlib import Path

import torch
from torch import Tensor

from firsthand.errors import DamagedError

NAMES = {"F": "float", "BF": "bfloat", "I": "int", "U": "uint"}


def dtype_of(code: str) -> torch.dtype:
    if code == "BOOL":
        return torch.bool
    found = getattr(torch, NAMES.get(code.rstrip("0123456789"), "?") + code.lstrip("BFIU"), None)
    if not isinstance(found, torch.dtype):
        raise DamagedError(f"unknown dtype {code}")
    return found


def read_safetensors(path: Path) -> dict[str, Tensor]:
    with Path(path).open("rb") as file:
        length = file.read(8)
        if len(length) < 8:
            raise DamagedError("no length")
        rest = Path(path).stat().st_size - 8
        if not 0 < int.from_bytes(length, "little") <= rest:
            raise DamagedError("no header")
        header = json.loads(file.read(int.from_bytes(length, "little")))
        header.pop("__metadata__", None)
        found = {}
        place = 0
        for name in sorted(header, key=lambda one: tuple(header[one]["data_offsets"])):
            entry = header[name]
            begin, end = entry["data_offsets"]
            tensor = torch.zeros(entry["shape"], dtype=dtype_of(entry["dtype"]))
            room = memoryview(tensor.reshape(-1).view(torch.uint8).numpy())
            if begin != place or end - begin != len(room):
                raise DamagedError(f"{name} does not fit")
            got = file.readinto(room) if len(room) else 0
            if got != len(room):
                raise DamagedError("the file ends too early")
            place = end
            found[name] = tensor
        if file.read(1):
            raise DamagedError("something is left over")
    return found

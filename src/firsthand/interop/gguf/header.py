"""The header of a GGUF file, read as if hostile: every count is checked against the file before memory is taken.

The format is that of ggml's docs/gguf.md, version 3 (2 differs in nothing that is read here), little-endian.
"""

import math
import mmap
import struct
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

import numpy as np

from firsthand.errors import DamagedError, UserError

Bytes: TypeAlias = bytes | memoryview | mmap.mmap
Value: TypeAlias = bool | int | float | str | list[str] | np.ndarray

MAGIC = b"GGUF"
VERSIONS = (2, 3)
ALIGNMENT = 32
KEYS, TENSORS, STRINGS = 1 << 13, 1 << 15, 700_000
"""More than any published model has. Reading so many takes less than a second."""
LONGEST_NAME = 1 << 16
MOST_DIMENSIONS = 4
ROOM = 48 << 20
"""What the strings may take in memory, in bytes, beside as much as the file is large."""

STRING, ARRAY, BOOL = 8, 9, 7
SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
"""By the number of the type: how `struct` and NumPy call it."""

TYPES: dict[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    20: ("IQ4_NL", 32, 18),
    30: ("BF16", 1, 2),
}
"""By the number of a tensor's type: its name, the numbers in a block, and the bytes of a block."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor in the file: rows come first in `shape`, as in NumPy; its bytes are those from `begin` to `end`."""

    type: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class Header:
    """What a file says of itself, and where its tensors lie."""

    fields: dict[str, Value]
    tensors: dict[str, Stored]


class _Cursor:
    """Reads on through `data`, and never past its end."""

    def __init__(self, data: Bytes) -> None:
        self.data = memoryview(data).cast("B")
        self.size, self.at = len(self.data), 0
        self.room = self.size + ROOM

    def take(self, count: int, what: str) -> memoryview:
        """The next `count` bytes, uncopied."""
        if count > self.size - self.at:
            damaged(f"{what} would take {count:,} bytes where {self.size - self.at:,} are left")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, format: str, what: str) -> Any:
        return struct.unpack(format, self.take(struct.calcsize(format), what))[0]

    def string(self, what: str, longest: int = 1 << 62) -> str:
        return self.texts(1, what, longest)[0]

    def texts(self, count: int, what: str, longest: int = 1 << 62) -> list[str]:
        """The next `count` strings, each preceded by its length. There may be hundreds of thousands."""
        found: list[str] = []
        data, size, at, room, unpack = self.data, self.size, self.at, self.room, struct.Struct("<Q").unpack_from
        for _ in range(count):
            if at + 8 > size:
                damaged(f"{what} lies past its end")
            length = unpack(data, at)[0]
            end = at + 8 + length
            room -= 88 + 4 * length  # what Python takes at most: for each string, and for each byte of it
            if end > size or length > longest or room < 0:
                reason = (
                    "than the file" if end > size else "than it may" if length > longest else "than there is room for"
                )
                damaged(f"{what} of {length:,} bytes goes further {reason}")
            try:
                found.append(str(data[at + 8 : end], "utf-8"))
            except UnicodeDecodeError:
                damaged(f"{what} is not UTF-8")
            at = end
        self.at, self.room = at, room
        return found


def damaged(what: str) -> NoReturn:
    raise DamagedError(f"This is no whole GGUF file: {what}. Fetch it again.")


def read_header(data: Bytes) -> Header:
    """The header of the file whose bytes `data` is (a memory map will do: they are not copied).

    DamagedError for what no GGUF file can be, UserError for what is not known here. Takes no more memory than the file
    and 64 MB, and less than a second.
    """
    cursor = _Cursor(data)
    if cursor.size < 24 or cursor.take(4, "the magic") != MAGIC:
        damaged("it does not begin with GGUF")
    version = cursor.number("<I", "the version")
    if version not in VERSIONS:
        kind = "a big-endian file" if version & 0xFFFF == 0 else f"version {version}"
        raise UserError(f"This GGUF file is {kind}; known are the versions {VERSIONS}, little-endian. Convert it anew.")
    tensors, keys = cursor.number("<Q", "the count of tensors"), cursor.number("<Q", "the count of keys")
    _check_count("tensors", tensors, min(TENSORS, cursor.size // 33))
    _check_count("keys", keys, min(KEYS, cursor.size // 14))
    fields: dict[str, Value] = {}
    for number in range(keys):
        key = cursor.string(f"the name of key {number}", LONGEST_NAME)
        if key in fields or key.startswith("GGUF."):  # names that the `gguf` library takes for itself
            damaged(f"the key {key[:80]!r} stands twice in it")
        fields[key] = _value(cursor, cursor.number("<I", f"the type of {key[:80]!r}"), key[:80])
    return Header(fields, _tensors(cursor, tensors, _alignment(fields.get("general.alignment", ALIGNMENT))))


def _check_count(what: str, count: int, most: int) -> None:
    if count > most:
        damaged(f"it speaks of {count:,} {what} where {most:,} are possible")


def _value(cursor: _Cursor, kind: int, key: str) -> Value:
    if kind == STRING:
        return cursor.string(f"the text of {key!r}")
    if kind != ARRAY:
        return cursor.number(_format(kind, key), f"the value of {key!r}")  # type: ignore[no-any-return]
    inner, length = cursor.number("<I", f"the type in {key!r}"), cursor.number("<Q", f"the length of {key!r}")
    if inner == STRING:
        _check_count(f"strings in {key!r}", length, min(STRINGS, (cursor.size - cursor.at) // 8))
        return cursor.texts(length, f"a text in {key!r}")
    dtype = np.dtype(_format(inner, key))
    return np.frombuffer(cursor.take(length * dtype.itemsize, f"the array {key!r}"), dtype).copy()


def _format(kind: int, key: str) -> str:
    if kind not in SCALARS:
        damaged(f"the key {key!r} has a value of type {kind}, which does not exist or cannot stand there")
    return SCALARS[kind]


def _alignment(value: Value) -> int:
    if type(value) is not int or value <= 0 or value & (value - 1):
        damaged(f"its alignment is {value!r:.20}, which is no power of two")
    return value


def _tensors(cursor: _Cursor, count: int, alignment: int) -> dict[str, Stored]:
    """Where each tensor lies. DamagedError if one lies outside of the file or in another."""
    listed = [_listed(cursor, number, alignment) for number in range(count)]
    start = -(-cursor.at // alignment) * alignment
    tensors = {name: Stored(kind, shape, start + at, start + at + size) for name, kind, shape, at, size in listed}
    if len(tensors) != count:
        damaged("two of its tensors have the same name")
    last = start
    for name, stored in sorted(tensors.items(), key=lambda item: item[1].begin):
        if stored.begin < last or stored.end > cursor.size:
            damaged(f"the tensor {name!r} of {stored.end - stored.begin:,} bytes lies in another one or past the end")
        last = stored.end
    return tensors


def _listed(cursor: _Cursor, number: int, alignment: int) -> tuple[str, str, tuple[int, ...], int, int]:
    """Name, type, shape, offset and size of one tensor, in agreement with itself."""
    name = cursor.string(f"the name of tensor {number}", 256)
    dimensions = cursor.number("<I", f"the dimensions of {name!r}")
    if not 1 <= dimensions <= MOST_DIMENSIONS:
        damaged(f"the tensor {name!r} has {dimensions} dimensions")
    sizes = struct.unpack(f"<{dimensions}Q", cursor.take(8 * dimensions, f"the shape of {name!r}"))
    kind, offset = cursor.number("<I", f"the type of {name!r}"), cursor.number("<Q", f"the place of {name!r}")
    if kind not in TYPES:
        names = ", ".join(each for each, _, _ in TYPES.values())
        raise UserError(
            f"The tensor {name!r} has the type {kind}, which is not known here. Known are {names}: "
            "take the model in one of these."
        )
    type_name, block, block_bytes = TYPES[kind]
    if 0 in sizes or sizes[0] % block or offset % alignment:
        damaged(f"the tensor {name!r} of {type_name} has the shape {sizes} and the place {offset}")
    return name, type_name, sizes[::-1], offset, math.prod(sizes) // block * block_bytes

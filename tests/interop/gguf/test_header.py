"""Hostile headers: refused in bounded time and memory, and never kinder than the `gguf` library."""

import os
import random
import struct
import tracemalloc
from pathlib import Path

import gguf
import numpy as np
import pytest

from firsthand.errors import DamagedError, UserError
from firsthand.interop.gguf import header
from firsthand.interop.gguf.header import TYPES, read_header

MUTANTS = int(os.environ.get("FIRSTHAND_FUZZ", "2000"))
"""How many altered headers are tried; 50,000 take some minutes."""


def text(content: str | bytes) -> bytes:
    raw = content.encode() if isinstance(content, str) else content
    return struct.pack("<Q", len(raw)) + raw


def file_of(
    pairs: list[bytes], tensors: tuple[bytes, ...] | list[bytes] = (), data: bytes = b"", version: int = 3
) -> bytes:
    """A GGUF file by hand; each of `pairs` is a key with its value, each of `tensors` what is listed of one."""
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(pairs)) + b"".join([*pairs, *tensors])
    return head + b"\0" * (-len(head) % 32) + data


def tensor(name: str, sizes: tuple[int, ...], kind: int = 0, offset: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, kind, offset)


@pytest.fixture(scope="module")
def valid(tmp_path_factory) -> bytes:
    """A small file with every kind of value, as the library writes it."""
    path = tmp_path_factory.mktemp("gguf") / "small.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_uint32("llama.block_count", 2)
    writer.add_float32("llama.rope.freq_base", 1e4)
    writer.add_bool("tokenizer.ggml.add_bos_token", False)
    writer.add_array("tokenizer.ggml.tokens", ["a", "b", "Ġc", "語"])
    writer.add_array("tokenizer.ggml.token_type", [1, 1, 1, 3])
    writer.add_array("scores", [0.5, 1.5])
    writer.add_uint64("large", 1 << 40)
    writer.add_uint32("general.alignment", 32)
    writer.add_tensor("one", np.arange(12, dtype=np.float32).reshape(3, 4))
    writer.add_tensor("two", np.arange(64, dtype=np.float16).reshape(2, 32))
    blocks = gguf.quants.quantize(np.ones((2, 64), np.float32), gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("three", blocks, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


def theirs(path: Path) -> gguf.GGUFReader:
    with np.errstate(all="ignore"):
        return gguf.GGUFReader(path)


def plain(value):
    return value.tolist() if isinstance(value, np.ndarray) else value


def test_a_header_is_what_the_library_reads(valid, tmp_path):
    path = tmp_path / "valid.gguf"
    path.write_bytes(valid)
    found, reader = read_header(valid), theirs(path)
    fields = {key: field.contents() for key, field in reader.fields.items() if not key.startswith("GGUF.")}
    assert {key: plain(value) for key, value in found.fields.items()} == fields
    listed = {each.name: (each.tensor_type.name, tuple(each.shape.tolist())[::-1]) for each in reader.tensors}
    assert {name: (stored.type, stored.shape) for name, stored in found.tensors.items()} == listed
    for each in reader.tensors:
        stored = found.tensors[each.name]
        assert valid[stored.begin : stored.end] == each.data.tobytes()


def test_the_table_of_types_is_the_library_s():
    for number, (name, block, size) in TYPES.items():
        assert gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType(number)] == (block, size)
        assert gguf.GGMLQuantizationType(number).name == name


def mutant(valid: bytes, chance: random.Random, end: int) -> bytes:
    """The file with something else in its header: a byte, a number, a piece cut out, doubled, or swapped."""
    data = bytearray(valid)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        at = chance.randrange(4, min(end, len(data)))
        kind = chance.randrange(6)
        if kind == 0:
            data[at] = chance.randrange(256)
        elif kind == 1:
            width, format = chance.choice(((4, "<I"), (8, "<Q")))
            usual = (0, 1, 2, 8, 9, 12, 31, 33, 255, 1 << 16, 1 << 31, (1 << 32) - 1, 1 << 40, 1 << 63, (1 << 64) - 1)
            data[at : at + width] = struct.pack(format, chance.choice(usual) % (1 << 8 * width))
        elif kind == 2:
            del data[at : at + chance.randrange(1, 40)]
        elif kind == 3:
            other = chance.randrange(4, end)
            data[at:at] = data[other : other + chance.randrange(1, 60)]
        elif kind == 4:
            del data[at + chance.randrange(len(data) - at) :]
        else:
            data[at] ^= 1 << chance.randrange(8)
    return bytes(data)


def test_altered_headers_are_read_or_refused_and_never_more_kindly_than_by_the_library(valid, tmp_path):
    """What we take, the library takes as well, and finds the same tensors in it."""
    chance, taken, refused = random.Random(5), 0, 0
    end = min(stored.begin for stored in read_header(valid).tensors.values())
    path = tmp_path / "mutant.gguf"
    for _ in range(MUTANTS):
        data = mutant(valid, chance, end)
        try:
            ours = read_header(data)
        except UserError:  # anything else fails this test
            refused += 1
            continue
        taken += 1
        path.write_bytes(data)
        found = {each.name: (each.tensor_type.name, each.data_offset, each.n_bytes) for each in theirs(path).tensors}
        assert found == {name: (each.type, each.begin, each.end - each.begin) for name, each in ours.tensors.items()}
    assert min(taken, refused) > MUTANTS // 20, "a test of mutants has to meet both kinds"


HUGE = (1 << 63) + 1
HOSTILE = {
    "empty": b"",
    "a magic alone": b"GGUF",
    "no magic": b"FUGG" + bytes(60),
    "tensors without end": b"GGUF" + struct.pack("<IQQ", 3, HUGE, 0) + bytes(60),
    "keys without end": b"GGUF" + struct.pack("<IQQ", 3, 0, HUGE) + bytes(60),
    "a key without end": file_of([struct.pack("<Q", HUGE) + b"k" * 50]),
    "a key too long": file_of([text("k" * 70000) + struct.pack("<IB", 0, 1)]),
    "a key that is no text": file_of([text(b"\xff\xfe") + struct.pack("<IB", 0, 1)]),
    "a text without end": file_of([text("k") + struct.pack("<IQ", 8, HUGE)]),
    "texts without end": file_of([text("k") + struct.pack("<IIQ", 9, 8, HUGE)]),
    "more texts than fit": file_of([text("k") + struct.pack("<IIQ", 9, 8, 10**6) + bytes(4000)]),
    "numbers without end": file_of([text("k") + struct.pack("<IIQ", 9, 12, HUGE)]),
    "a list in a list": file_of([text("k") + struct.pack("<IIQIQ", 9, 9, 1, 9, 1)]),
    "a type that is none": file_of([text("k") + struct.pack("<IB", 13, 1)]),
    "a key twice": file_of([text("k") + struct.pack("<IB", 0, 1)] * 2),
    "a key of the library": file_of([text("GGUF.version") + struct.pack("<IB", 0, 1)]),
    "alignment 0": file_of([text("general.alignment") + struct.pack("<II", 4, 0)]),
    "alignment 24": file_of([text("general.alignment") + struct.pack("<II", 4, 24)]),
    "alignment as text": file_of([text("general.alignment") + struct.pack("<I", 8) + text("32")]),
    "a tensor twice": file_of([], [tensor("t", (4,)), tensor("t", (4,), offset=32)], bytes(64)),
    "tensors in each other": file_of([], [tensor("s", (16,)), tensor("t", (16,), offset=32)], bytes(96)),
    "a tensor past the end": file_of([], [tensor("t", (1 << 40,))], bytes(64)),
    "sizes that overflow": file_of([], [tensor("t", (1 << 32, 1 << 32))], bytes(64)),
    "a size of 0": file_of([], [tensor("t", (0, 4))], bytes(64)),
    "no dimensions": file_of([], [tensor("t", ())], bytes(64)),
    "a billion dimensions": file_of([], [text("t") + struct.pack("<I", 1 << 30) + bytes(60)], bytes(64)),
    "half a block": file_of([], [tensor("t", (33,), kind=8)], bytes(128)),
    "a place that is not aligned": file_of([], [tensor("t", (4,), offset=4)], bytes(64)),
    "a place without end": file_of([], [tensor("t", (4,), offset=HUGE & ~31)], bytes(64)),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_headers_are_damaged(case):
    with pytest.raises(DamagedError, match="no whole GGUF file"):
        read_header(HOSTILE[case])


def test_what_is_only_unknown_is_said_so():
    with pytest.raises(UserError, match="version 1"):
        read_header(file_of([], version=1))
    with pytest.raises(UserError, match="big-endian"):
        read_header(file_of([], version=3 << 24))
    with pytest.raises(UserError, match=r"type 19.*Known are F32"):
        read_header(file_of([], [tensor("t", (256,), kind=19)], bytes(128)))


CROWDS = {
    "short texts": text("k") + struct.pack("<IIQ", 9, 8, 30_000) + text("ab") * 30_000,
    "four bytes a character": text("k") + struct.pack("<IIQ", 9, 8, 5_000) + text("a" * 150 + "😀") * 5_000,
    "a long text": text("k") + struct.pack("<I", 8) + text("a" * 2_000_000 + "😀"),
    "a long list": text("k") + struct.pack("<IIQ", 9, 0, 20_000_000) + bytes(20_000_000),
    "many keys": b"".join(text(f"{number:05}") + struct.pack("<IB", 0, 1) for number in range(1000)),
}


@pytest.mark.parametrize("case", CROWDS)
def test_no_header_takes_more_memory_than_its_file_and_what_there_is_room_for(case, monkeypatch):
    """With less room than usual, so that less has to be counted."""
    monkeypatch.setattr(header, "ROOM", 1 << 20)
    data = file_of([CROWDS[case]]) if case != "many keys" else file_of([CROWDS[case]] + [b""] * 999)
    tracemalloc.start()
    try:
        kept = read_header(data)
    except DamagedError as error:
        kept = error
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < len(data) + (1 << 20) + 600_000, kept

"""The safetensors layout: equal to the format's own library in both directions, and closed to malformed files."""

import json

import pytest
import safetensors.torch
import torch

from firsthand.checkpoint import read_safetensors, write_safetensors
from firsthand.checkpoint.tensors import DTYPES
from firsthand.errors import DamagedError, UserError


def samples():
    generator = torch.Generator().manual_seed(0)
    for number, (code, dtype) in enumerate(DTYPES.items()):
        for shape in ((), (1,), (0,), (3, 5), (2, 0, 4), (number + 1, 1, 3)):
            raw = torch.randint(0, 2, (*shape, dtype.itemsize), dtype=torch.uint8, generator=generator)
            yield f"{code}.{'x'.join(map(str, shape))}", raw.view(dtype).reshape(shape)


def equal(one, other):
    return one.dtype == other.dtype and one.shape == other.shape and bits(one) == bits(other)


def bits(tensor):
    return tensor.contiguous().reshape(-1).view(torch.uint8).tolist()


def test_all_types_and_shapes_come_back(tmp_path):
    tensors = dict(samples())
    assert len(tensors) == 6 * len(DTYPES)
    wrote = write_safetensors(tmp_path / "a", tensors)
    loaded = read_safetensors(tmp_path / "a", wrote["sha256"])
    assert loaded.keys() == tensors.keys()
    assert all(equal(loaded[name], tensors[name]) for name in tensors)
    assert wrote["bytes"] == (tmp_path / "a").stat().st_size


def test_the_formats_own_library_reads_ours(tmp_path):
    tensors = dict(samples())
    write_safetensors(tmp_path / "a", tensors)
    loaded = safetensors.torch.load_file(tmp_path / "a")
    assert loaded.keys() == tensors.keys()
    assert all(equal(loaded[name], tensors[name]) for name in tensors)


def test_we_read_what_the_formats_own_library_wrote(tmp_path):
    tensors = dict(samples())
    safetensors.torch.save_file(tensors, tmp_path / "a", metadata={"any": "thing"})
    loaded = read_safetensors(tmp_path / "a")
    assert loaded.keys() == tensors.keys()
    assert all(equal(loaded[name], tensors[name]) for name in tensors)


def test_no_tensors_at_all(tmp_path):
    write_safetensors(tmp_path / "a", {})
    assert read_safetensors(tmp_path / "a") == {}
    assert safetensors.torch.load_file(tmp_path / "a") == {}


def test_what_was_loaded_can_be_written_to_and_is_aligned(tmp_path):
    write_safetensors(tmp_path / "a", {"byte": torch.ones(3, dtype=torch.uint8), "wide": torch.ones(5)})
    loaded = read_safetensors(tmp_path / "a")["wide"]
    loaded += 1
    assert loaded.tolist() == [2.0] * 5
    assert loaded.data_ptr() % 64 == 0


@pytest.mark.parametrize("tensors", [{"a": torch.zeros(2, dtype=torch.complex64)}, {"__metadata__": torch.zeros(2)}])
def test_what_the_format_cannot_hold_is_refused(tmp_path, tensors):
    with pytest.raises(UserError, match="cannot be saved"):
        write_safetensors(tmp_path / "a", tensors)


def file_with(header, data=b"\0" * 8, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


MALFORMED = {
    "empty": b"",
    "shorter_than_a_length": b"\x02\0\0",
    "header_longer_than_the_file": file_with({"a": entry()}, length=10**6),
    "header_of_2_to_the_63": file_with({"a": entry()}, length=2**63),
    "header_too_short": file_with({"a": entry()}, length=5),
    "header_of_no_bytes": file_with({"a": entry()}, length=0),
    "header_no_json": file_with(b"{not json}"),
    "header_no_utf8": file_with(b'{"\xff\xfe": 1}'),
    "header_a_list": file_with([entry()]),
    "header_deeply_nested": file_with(b"[" * 100_000),
    "entry_a_number": file_with({"a": 3}),
    "entry_a_list": file_with({"a": [1, 2]}),
    "dtype_unknown": file_with({"a": entry("F31")}),
    "dtype_a_list": file_with({"a": {**entry(), "dtype": []}}),
    "dtype_missing": file_with({"a": {"shape": [2], "data_offsets": [0, 8]}}),
    "shape_negative": file_with({"a": entry(shape=(-2, -1))}),
    "shape_a_float": file_with({"a": entry(shape=(2.0,))}),
    "shape_true": file_with({"a": entry("F64", (True,))}),
    "shape_huge": file_with({"a": entry(shape=(2**62, 4))}),
    "shape_smaller_than_its_bytes": file_with({"a": entry(shape=(1,))}),
    "shape_no_list": file_with({"a": {**entry(), "shape": "2"}}),
    "offsets_beyond_the_file": file_with({"a": entry(shape=(4,), offsets=(0, 16))}),
    "offsets_backwards": file_with({"a": entry(offsets=(8, 0))}),
    "offsets_negative": file_with({"a": entry(offsets=(-8, 0))}),
    "offsets_three": file_with({"a": entry(offsets=(0, 8, 8))}),
    "offsets_overlap": file_with({"a": entry(offsets=(0, 8)), "b": entry(offsets=(0, 8))}),
    "offsets_overlap_in_part": file_with({"a": entry(offsets=(0, 8)), "b": entry(offsets=(4, 12))}, b"\0" * 12),
    "offsets_leave_a_hole": file_with({"a": entry("U8", (2,), (0, 2)), "b": entry("U8", (4,), (4, 8))}),
    "bytes_left_over": file_with({"a": entry()}, b"\0" * 9),
    "bytes_missing": file_with({"a": entry()}, b"\0" * 7),
    "name_twice": file_with(b'{"a":%s,"a":%s}' % ((json.dumps(entry()).encode(),) * 2)),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_files_are_refused_in_one_line(tmp_path, case):
    (tmp_path / "file").write_bytes(MALFORMED[case])
    with pytest.raises(DamagedError, match="file is damaged: ") as caught:
        read_safetensors(tmp_path / "file")
    assert "\n" not in str(caught.value)


def test_the_well_formed_neighbour_of_those_is_read(tmp_path):
    (tmp_path / "file").write_bytes(file_with({"a": entry()}))
    assert read_safetensors(tmp_path / "file")["a"].tolist() == [0.0, 0.0]

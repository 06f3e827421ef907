"""Reading files: each format, plain and compressed, in pieces where long; and what is wrong with bad ones."""

import gzip
import json
import sys
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firsthand.errors import DamagedError, UserError
from firsthand.text import formats
from firsthand.text.files import find_local
from firsthand.text.sources import read
from firsthand.types import Document


def zstd(data: bytes) -> bytes:
    return pyarrow.compress(data, "zstd", asbytes=True)


def documents(path: Path, field: str = "text") -> list[Document]:
    return list(read(str(path), field))


def texts(path: Path, field: str = "text") -> list[str]:
    return [document.text for document in documents(path, field)]


@pytest.mark.parametrize("name", ["a.txt", "a.md", "A.TXT", "a.txt.gz", "a.md.zst"])
def test_a_text_file_is_one_document(name, tmp_path):
    text = "# Grüße\r\n\nzwei  \n"
    data = text.encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith("gz") else zstd(data) if name.endswith("zst") else data)
    assert documents(path) == [Document(text, name, str(path))]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_tells_the_encoding(encoding, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("Grüße\n", encoding=encoding)
    assert texts(path) == ["Grüße\n"]


LINES = [{"text": "one\u2028still one", "id": 1}, {"text": None}, {"text": "two"}]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst"])
def test_json_lines(name, tmp_path):
    data = "\n\n".join(json.dumps(line, ensure_ascii=False) for line in LINES).encode("utf-8-sig")
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith("gz") else zstd(data) if name.endswith("zst") else data)
    found = documents(path)
    assert [document.text for document in found] == ["one\u2028still one", "", "two"]
    assert [document.name for document in found] == [f"{name}:{line}" for line in (1, 3, 5)]


def test_parquet(tmp_path):
    path = tmp_path / "a.parquet"
    bodies = [f"row {i}" for i in range(600)] + [None]
    pyarrow.parquet.write_table(pyarrow.table({"body": bodies, "n": list(range(601))}), path)
    assert texts(path, "body") == [*bodies[:-1], ""]
    assert documents(path, "body")[599].name == "a.parquet:600"


@given(
    text=st.text(st.sampled_from("ab \n"), max_size=400),
    sizes=st.lists(st.integers(1, 50), min_size=1),
    piece=st.integers(4, 40),
)
def test_pieces_are_bounded_and_join_to_the_text(text, sizes, piece):
    blocks, start = [], 0
    while start < len(text):
        end = start + sizes[len(blocks) % len(sizes)]
        blocks.append(text[start:end])
        start = end
    pieces = list(formats.cut(iter(blocks), whole=2 * piece, piece=piece))
    assert "".join(pieces) == text
    if len(text) <= 2 * piece:
        assert len(pieces) <= 1
    else:
        assert all(0 < len(found) <= 2 * piece for found in pieces)


def test_pieces_end_where_paragraphs_end(tmp_path):
    paragraph = "A line of words.\n" * 30 + "\n"
    text = paragraph * (formats.WHOLE // len(paragraph) + 20)
    (tmp_path / "long.txt").write_text(text)
    found = documents(tmp_path / "long.txt")
    assert "".join(document.text for document in found) == text
    assert all(document.text.endswith("\n\n") and document.text.startswith("A line") for document in found)
    assert [document.name for document in found[:3]] == ["long.txt", "long.txt#1", "long.txt#2"]
    assert max(len(document.text) for document in found) <= 2 * formats.PIECE


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.txt", b"PK\x00\x01binary", r"a\.txt looks binary: it has a zero byte"),
        ("a.txt", b"caf\xe9 au lait", r"a\.txt is not UTF-8: byte 3 is 0xe9. Convert it first, .*iconv"),
        ("a.txt", "é".encode() * 600_000 + b"\xff", r"byte 1200000 is 0xff"),
        ("a.txt", b"cut \xe2\x82", r"byte 4 is 0xe2"),
        ("a.txt", b"", r"a\.txt is empty: there is no text in it"),
        ("a.txt", b" \n \n", r"a\.txt is empty"),
        ("a.jsonl", b"", r"a\.jsonl is empty"),
        ("a.jsonl", b'{"text": null}\n', r"a\.jsonl is empty"),
        ("a.jsonl", b'{"text": "a"}\n{"text": "b"', r"a\.jsonl, line 2, is not JSON .*Each line must be one object"),
        ("a.jsonl", b'{"text": "a"}\n{"text": "\xff"}', r"line 2, is not UTF-8"),
        ("a.jsonl", b"[" * 100_000, r"line 1, is not JSON"),
        ("a.jsonl", b"[1, 2]", r"line 1, is not an object but a list"),
        (
            "a.jsonl",
            b'{"txt": "a", "id": 3}',
            r"line 1, has no field 'text'\. Did you mean 'txt'\? .*: id, txt",
        ),
        ("a.jsonl", b'{"text": 3}', r"line 1: 'text' is not text but a int"),
        ("a.csv", b"a,b", r"a\.csv has the extension \.csv.*What can be read: \.txt, \.md, \.jsonl, \.parquet"),
        ("a.json", b"{}", r"a\.json has the extension \.json.*Did you mean '\.jsonl'"),
        ("a", b"text", r"a has no extension"),
        ("a.gz", b"", r"a\.gz has no extension"),
    ],
)
def test_bad_files(name, data, says, tmp_path):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=says):
        documents(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.txt.gz", gzip.compress(b"words " * 1000, mtime=0)[:-20]),
        ("a.txt.gz", b"not gzip"),
        ("a.txt.gz", gzip.compress(b"words " * 1000, mtime=0)[:30] + b"\xff" * 40),
        ("a.jsonl.zst", zstd(b'{"text": "words"}\n' * 1000)[:-9]),
        ("a.txt.zst", b"not zstd at all"),
        ("a.parquet", b"PAR1 not parquet PAR1"),
        ("a.parquet", b""),
    ],
)
def test_damaged_files(name, data, tmp_path):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DamagedError, match=rf"{name} is (damaged or cut short|not a Parquet file)"):
        documents(tmp_path / name)


def test_parquet_lists_its_columns(tmp_path):
    pyarrow.parquet.write_table(pyarrow.table({"body": ["a"], "n": [1]}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"has no field 'text'.*Valid here: body, n"):
        documents(tmp_path / "a.parquet")
    with pytest.raises(UserError, match="row 1: 'n' is not text but a int"):
        documents(tmp_path / "a.parquet", "n")


@pytest.mark.parametrize(("name", "library"), [("a.parquet", "pyarrow.parquet"), ("a.txt.zst", "pyarrow")])
def test_a_missing_library_is_named(name, library, tmp_path, monkeypatch):
    (tmp_path / name).write_bytes(b"")
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UserError, match=r"needs pyarrow: pip install 'firsthand\[data\]'"):
        documents(tmp_path / name)


def test_what_the_disk_refuses_is_not_called_damage(tmp_path):
    (tmp_path / "a.txt").write_text("words")
    file = find_local(str(tmp_path / "a.txt"))[0]
    (tmp_path / "a.txt").unlink()
    with pytest.raises(FileNotFoundError):
        list(formats.documents(file, "text", "source"))

"""Records of files, and what is said of those that are none."""

import gzip
import json

import pytest

from firsthand.errors import DamagedError, UserError
from firsthand.evaluate.log import write_results, write_samples
from firsthand.evaluate.records import read

ROWS = [{"a": "one", "b": 'say "two"'}, {"a": "3", "b": ""}]


def test_every_kind_of_file_gives_the_same_records(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra data is not installed")
    import pyarrow

    lines = "\n\n".join(map(json.dumps, ROWS))
    (tmp_path / "x.jsonl").write_text(lines)
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    (tmp_path / "x.json").write_text(json.dumps(ROWS))
    (tmp_path / "x.tsv").write_text('a\tb\none\tsay "two"\n3\t\n')
    (tmp_path / "x.csv").write_text('\ufeffa,b\none,"say ""two"""\n3,\n', encoding="utf-8")
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "x.parquet")
    found = {path.name: read(path) for path in sorted(tmp_path.iterdir())}
    assert len(found) == 6
    assert all(records == ROWS for records in found.values()), found


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("x.jsonl", '{"a": 1}\n[1]', "line 2, is not an object"),
        ("x.jsonl", '{"a": 1}\n{"a"', "line 2, is not JSON"),
        ("x.jsonl", "[" * 100_000, "line 1, is not JSON"),
        ("x.json", '{"a": 1}', "a list of objects"),
        ("x.tsv", "a\tb\n1\n", "row 2, has 1 fields"),
        ("x.csv", 'a,b\n"1,2\n', "as a table"),
        ("x.txt", "a", "endings"),
        ("x.jsonl", "\n", "no records"),
    ],
)
def test_what_is_no_record(tmp_path, name, text, says):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=says):
        read(tmp_path / name)


def test_damaged_files(tmp_path):
    pytest.importorskip("pyarrow", reason="the extra data is not installed")
    (tmp_path / "x.parquet").write_bytes(b"PAR1 and nothing else")
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(b'{"a": 1}\n' * 99)[:30])
    for name in ("x.parquet", "x.jsonl.gz"):
        with pytest.raises(DamagedError):
            read(tmp_path / name)


def test_what_is_written_is_whole_and_valid(tmp_path):
    path = write_results(tmp_path / "new" / "folder", {"a": float("nan"), "b": [float("inf"), 1.5]})
    assert json.loads(path.read_text()) == {"a": None, "b": [None, 1.5]}
    path = write_samples(tmp_path, "../a b", [{"text": "half \ud800"}, {"text": "é"}])
    assert path == tmp_path / "samples-..-a-b.jsonl"
    assert [json.loads(line)["text"] for line in path.read_text("utf-8").splitlines()] == ["half ?", "é"]

    def failing():
        yield {"text": "new"}
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_samples(tmp_path, "../a b", failing())
    assert "half" in path.read_text("utf-8")

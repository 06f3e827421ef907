"""`prepare` writes a folder that is complete or not there, and reads back as it was."""

import errno
import json
import os
from pathlib import Path

import pytest

from firsthand.errors import DamagedError, UserError
from firsthand.text import prepared
from firsthand.text.pipeline import is_prepared, prepare, read_split
from firsthand.text.sources import read
from firsthand.types import Document


@pytest.fixture
def corpus(tmp_path):
    lines = [json.dumps({"text": f"Text number {i}: « é »\nsecond line\u2028\n"}) for i in range(200)]
    (tmp_path / "corpus.jsonl").write_text("\n".join([*lines, *lines[:5]]))
    return str(tmp_path / "corpus.jsonl")


def texts(folder: Path, split: str) -> list[str]:
    return [document.text for document in read_split(folder, split)]


@pytest.mark.parametrize("zstd", [False, True])
def test_the_folder(corpus, tmp_path, zstd):
    out = tmp_path / "new" / "out"
    report = prepare(corpus, out, validation=0.1, test=0.2, zstd=zstd)
    extension = ".jsonl.zst" if zstd else ".jsonl"
    assert sorted(path.name for path in out.iterdir()) == sorted(
        ["report.json", "report.md", *(split + extension for split in ("train", "validation", "test"))]
    )
    assert is_prepared(out)
    assert is_prepared(str(out))
    found = {split: texts(out, split) for split in ("train", "validation", "test")}
    assert {split: len(some) for split, some in found.items()} == {
        split: counts["documents"] for split, counts in report["splits"].items()
    }
    everything = [text for some in found.values() for text in some]
    assert len(everything) == len(set(everything)) == 200
    assert "Text number 7: « é »\nsecond line\n\n" in everything
    assert len(found["train"]) > len(found["test"]) > len(found["validation"]) > 0
    assert report["steps"]["duplicates: exact"]["dropped"] == 5
    assert json.loads((out / "report.json").read_text())["splits"] == report["splits"]
    assert list(read(str(out))) == [d for split in ("train", "validation", "test") for d in read_split(out, split)]


def test_the_readable_report_has_the_table_and_examples(corpus, tmp_path):
    prepare(corpus, tmp_path / "out", filters=[{"part": "pattern", "refuse": "number 1: "}])
    text = (tmp_path / "out" / "report.md").read_text()
    assert "| filter: pattern | 205 |" in text
    assert "## filter: pattern\n\n- `corpus.jsonl:2`: has 'number 1: '" in text
    assert "## duplicates: exact" in text
    assert "- train: 18" in text


def test_documents_come_back_as_they_were(tmp_path):
    given = [
        Document("plain", "a", "source", {"genre": "x", "n": 1}),
        Document("line\nbreaks\r\n\u2028 and \U0001f600", "b"),
        Document("half a pair \ud83d", "c"),
    ]
    with prepared.Writer(tmp_path / "out", ["train"]) as writer:
        writer.write(("train", document) for document in given)
        writer.commit({"splits": writer.splits}, "")
    assert list(read_split(tmp_path / "out", "train")) == given


def test_shakespeare_is_not_cleaned_twice(tmp_path):
    from firsthand.text.pipeline import Pipeline

    prepare("shakespeare", tmp_path / "out", limit=4, validation=0.0)
    documents = list(read_split(tmp_path / "out", "train"))
    assert {document.source for document in documents} == {"shakespeare"}
    assert list(Pipeline().run(documents)) == documents


def test_adding_data_moves_no_document(corpus, tmp_path):
    prepare(corpus, tmp_path / "before")
    extra = tmp_path / "more.jsonl"
    extra.write_text("\n".join(json.dumps({"text": f"new {i}"}) for i in range(300)))
    prepare([corpus, str(extra)], tmp_path / "after")
    for split in ("train", "validation"):
        assert set(texts(tmp_path / "before", split)) < set(texts(tmp_path / "after", split))


@pytest.mark.parametrize(
    ("arguments", "documents", "size"),
    [({"limit": 10}, 10, None), ({"limit_bytes": 100}, 3, 100), ({"limit": 2, "limit_bytes": 10_000}, 2, None)],
)
def test_limits(corpus, tmp_path, arguments, documents, size):
    report = prepare(corpus, tmp_path / "out", validation=0.0, clean=[], **arguments)
    assert report["steps"]["read"]["documents"] == documents
    if size:
        assert size - 2 <= report["steps"]["read"]["bytes"] <= size


def test_a_handful_of_documents_fills_every_split(tmp_path):
    for i in range(3):
        (tmp_path / f"{i}.txt").write_text(f"text {i}")
    report = prepare(str(tmp_path / "*.txt"), tmp_path / "out", validation=0.05, test=0.05)
    assert [split["documents"] for split in report["splits"].values()] == [1, 1, 1]
    assert report["notes"] == ["With 3 documents the shares could not be kept: no split may be empty."]


def test_progress_is_told(corpus, tmp_path):
    told = []
    prepare(corpus, tmp_path / "out", limit=5, progress=lambda documents, size: told.append((documents, size)))
    assert [documents for documents, _ in told] == [1, 2, 3, 4, 5]
    assert told[-1][1] == sum(map(prepared.size_of, texts(tmp_path / "out", "train"))) + sum(
        map(prepared.size_of, texts(tmp_path / "out", "validation"))
    )


def test_it_overwrites_only_what_it_wrote_and_only_when_told(corpus, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    prepare(corpus, out, validation=0.1)
    with pytest.raises(UserError, match=r"holds what prepare wrote already\. .*--overwrite"):
        prepare(corpus, out)
    prepare(corpus, out, validation=0.0, overwrite=True)
    assert prepared.splits_of(out) == ["train"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="holds files that prepare did not write"):
        prepare(corpus, tmp_path / "mine", overwrite=True)
    with pytest.raises(UserError, match="is a file, so no folder"):
        prepare(corpus, corpus)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus.jsonl", "mine", "out"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"validation": 0.9, "test": 0.1}, "are shares"),
        ({"validation": -0.1}, "are shares"),
        ({"filters": [{"part": "length", "minimum": 1000}]}, "No document is left: every one was dropped"),
        ({"limit": 1}, r"No document fell into validation: of 1 in all.*data\.validation=tail:0\.1"),
        ({"field": "body"}, "has no field 'body'"),
    ],
)
def test_failures_leave_nothing_behind(corpus, tmp_path, arguments, says):
    with pytest.raises(UserError, match=says):
        prepare(corpus, tmp_path / "out", **arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["corpus.jsonl"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("zstd", [False, True])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_full_disk_names_the_file_and_leaves_what_was_there(corpus, tmp_path, monkeypatch, overwrite, zstd):
    if overwrite:
        prepare(corpus, tmp_path / "out", validation=0.0)
    open_path = Path.open

    def full(path, mode="r", **arguments):
        return open_path(Path("/dev/full") if "partial" in str(path) and "w" in mode else path, mode, **arguments)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(OSError, match=r"No space left on device.*out\.partial") as error:
        prepare(corpus, tmp_path / "out", overwrite=overwrite, zstd=zstd)
    assert error.value.errno == errno.ENOSPC
    monkeypatch.undo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus.jsonl", *(["out"] if overwrite else [])]
    if overwrite:
        assert len(texts(tmp_path / "out", "train")) == 200


def test_no_permission_names_the_folder(corpus, tmp_path, monkeypatch):
    def refuse(path, *arguments, **more):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(PermissionError, match=r"Permission denied: '.*closed/out\.partial"):
        prepare(corpus, tmp_path / "closed" / "out")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_closed_folder_really_refuses(corpus, tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(PermissionError, match="closed"):
        prepare(corpus, tmp_path / "closed" / "out")


def test_other_folders_are_not_prepared(tmp_path):
    assert not is_prepared(tmp_path / "none")
    assert not is_prepared(tmp_path)
    for content in ("{", "[]", "{}", '{"kind": "other"}', "\xff"):
        (tmp_path / "report.json").write_text(content, encoding="latin-1")
        assert not is_prepared(tmp_path)
    with pytest.raises(DamagedError, match="is not what prepare wrote"):
        prepared.read_report(tmp_path)
    with pytest.raises(UserError, match="is not a folder that firsthand prepare wrote"):
        read_split(tmp_path / "none", "train")


def test_what_was_prepared_inside_a_source_is_not_read_with_it(tmp_path):
    for i in range(10):
        (tmp_path / f"{i}.txt").write_text(f"text {i}")
    first = prepare(str(tmp_path), tmp_path / "below" / "out")
    again = prepare(str(tmp_path), tmp_path / "below" / "out", overwrite=True)
    assert first["steps"]["read"] == again["steps"]["read"]
    assert again["steps"]["read"]["documents"] == 10


def test_a_split_that_is_not_there(corpus, tmp_path):
    prepare(corpus, tmp_path / "out")
    with pytest.raises(UserError, match=r"has no split 'test'.*Valid here: train, validation\. Prepare"):
        read_split(tmp_path / "out", "test")


@pytest.mark.parametrize("zstd", [False, True])
def test_altered_splits_are_damage(corpus, tmp_path, zstd):
    out = tmp_path / "out"
    prepare(corpus, out, zstd=zstd)
    path = next(out.glob("train*"))
    data = path.read_bytes()
    changes = [data[:-10], data[: len(data) // 2], b"", b'{"txt": 1}\n', b"[]\n"]
    changes += [] if zstd else [data[: data.index(b"\n") + 1], data.replace(b"number 1", b"number X1", 1)]
    for change in changes:
        path.write_bytes(change)
        with pytest.raises(DamagedError, match=r"is not what prepare wrote|is damaged or cut short"):
            texts(out, "train")
    path.unlink()
    with pytest.raises(DamagedError, match="is missing, though the report beside it names it"):
        texts(out, "train")

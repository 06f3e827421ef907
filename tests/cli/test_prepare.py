"""firsthand prepare: the table for people, one JSON value for programs, one paragraph when it fails."""

import json

import pytest

from firsthand.cli import main
from firsthand.text.pipeline import is_prepared


@pytest.fixture
def corpus(tmp_path):
    for i in range(30):
        (tmp_path / f"{i:02}.txt").write_text(f"Text number {i % 25}.\r\nThe end of it.\n")
    return tmp_path


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["prepare", *map(str, arguments)])
    return int(stop.value.code or 0)


def test_it_prints_a_table_and_what_to_do_next(corpus, capsys):
    assert run(corpus, "--out", corpus / "out", "--test", "0.2") == 0
    output = capsys.readouterr()
    for words in ("clean: normalize", "duplicates: exact", "train:", "validation:", "test:", "data.source="):
        assert words in output.out
    assert output.err == ""
    assert is_prepared(corpus / "out")


def test_json_is_one_value_and_nothing_else(corpus, capsys):
    assert run(corpus, "--out", corpus / "out", "--json") == 0
    output = capsys.readouterr()
    value = json.loads(output.out)
    assert value["out"] == str(corpus / "out")
    assert value["steps"]["read"]["documents"] == 30
    assert value["steps"]["kept"]["documents"] == 25
    assert output.err == ""


def test_all_options(corpus, tmp_path, capsys):
    (tmp_path / "a.jsonl").write_text('{"body": "one two three"}\n{"body": "four"}\n{"body": "five six\\r\\n"}\n')
    code = run(
        *(tmp_path / "a.jsonl", corpus / "0*.txt", "--out", tmp_path / "out", "--field", "body", "--clean", "unicode"),
        *("--filters", "{part: words, minimum: 2}, {part: length, maximum: 40}", "--deduplicate", "near"),
        *("--validation", 0.5, "--limit", "1kB", "--workers", 1, "--zstd", "--json"),
    )
    assert code == 0
    value = json.loads(capsys.readouterr().out)
    assert value["source"] == [str(tmp_path / "a.jsonl"), str(corpus / "0*.txt")]
    assert value["settings"]["clean"] == ["unicode"]
    assert value["settings"]["limit_bytes"] == 1000
    assert value["steps"]["filter: words"]["dropped"] == 1
    assert value["splits"]["train"]["file"] == "train.jsonl.zst"
    again = ("--clean", "none", "--overwrite", "--limit", "2", "--json")
    assert run(tmp_path / "a.jsonl", "--out", tmp_path / "out", "--field", "body", *again) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["settings"]["clean"] == []
    assert value["steps"]["read"]["documents"] == 2


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["nowhere.txt"], 1, "There is no file or folder nowhere.txt"),
        (["shakespere"], 1, "Did you mean 'shakespeare'"),
        (["shakespeare", "--filters", "gofer"], 1, "Did you mean 'gopher'"),
        (["shakespeare", "--filters", "{part: words"], 1, "is not a list. Write names with commas"),
        (["shakespeare", "--clean", "unicode, spaecs"], 1, "Did you mean 'spaces'"),
        (["shakespeare", "--limit", "many"], 1, "'many' is no limit"),
        (["shakespeare", "--limit", "0"], 1, "'0' is no limit"),
        (["shakespeare", "--limit", "1.5"], 1, "'1.5' is no limit"),
        (["shakespeare", "--validation", "2"], 1, "are shares"),
        (["shakespeare", "--workers", "0"], 2, "--workers"),
        ([], 2, "Missing argument"),
    ],
)
def test_one_paragraph_when_it_fails(arguments, code, says, tmp_path, capsys):
    assert run(*arguments, "--out", tmp_path / "out") == code
    error = capsys.readouterr().err
    assert says in error
    assert "Traceback" not in error
    if code == 1:
        assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_damage_and_a_full_disk_have_their_own_codes(tmp_path, capsys, monkeypatch):
    from firsthand.text import prepared

    (tmp_path / "a.txt.gz").write_bytes(b"not gzip")
    assert run(tmp_path / "a.txt.gz", "--out", tmp_path / "out", "--json") == 3
    assert json.loads(capsys.readouterr().out)["exit_code"] == 3

    def full(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    (tmp_path / "a.txt").write_text("text")
    monkeypatch.setattr(prepared, "_line", full)
    assert run(tmp_path / "a.txt", "--out", tmp_path / "out", "--validation", 0) == 74
    error = capsys.readouterr().err
    assert "No space left on device" in error
    assert "train.jsonl" in error

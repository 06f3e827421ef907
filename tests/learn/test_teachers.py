"""Progress leaves as a file, comes in again, and a class is read from folders and files alike."""

import csv
import json
from pathlib import Path

import pytest


@pytest.fixture
def class_(firsthand, lessons, tmp_path, monkeypatch, right):
    """Three learners: one passed with help, one slipped, one has done nothing."""
    monkeypatch.chdir(tmp_path)
    for name in ("ada", "ben", "cleo"):
        assert firsthand("start", f"{name}/my_llm", "--quick")[0] == 0
    ada, ben = Path("ada/my_llm"), Path("ben/my_llm")
    for folder, texts in ((ada, [right + "# rises\n", right]), (ben, [right + "# rises\n"] * 2)):
        for text in texts:
            (folder / "rates.py").write_text(text)
            firsthand("check", "constant", "--workspace", folder)
        firsthand("hint", "constant", "--workspace", folder)
    return tmp_path


def test_three_workspaces_in_one_table(firsthand, class_) -> None:
    code, said, _ = firsthand("report", "ada", "ben/my_llm", "cleo", "--csv", "class.csv")
    assert code == 0
    assert "1 of 4" in said
    told = json.loads(firsthand("report", "ada", "ben/my_llm", "cleo", "--json")[1])
    rows = {row["learner"]: row for row in told["learners"]}
    assert {name: (row["passed"], row["attempts"], row["hints"]) for name, row in rows.items()} == {
        "ada": (1, 2, 0),
        "ben": (0, 2, 1),
        "cleo": (0, 0, 0),
    }
    first = told["exercises"][0]
    assert (first["exercise"], first["passed"], first["tried"], first["slip"]) == ("constant", 1, 2, "rises")
    with Path("class.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["constant"] for line in lines] == ["passed", "failed", "not started"]


def test_exported_files_serve_as_well_and_damage_is_a_row(firsthand, class_) -> None:
    assert firsthand("progress", "--export", "ada.json", "--workspace", "ada/my_llm")[0] == 0
    Path("ben/my_llm/.learn/state.json").write_text("{")
    told = json.loads(firsthand("report", "ada.json", "ben", "--json")[1])
    assert [(row["learner"], row["passed"]) for row in told["learners"]] == [("ada", 1), ("ben", 0)]
    assert "is damaged" in told["learners"][1]["problem"]
    code, _, err = firsthand("report", "nowhere")
    assert code == 1
    assert "neither a workspace nor an exported progress file" in err


def test_a_formula_in_a_name_is_text(firsthand, class_) -> None:
    assert firsthand("start", "=cmd/my_llm", "--quick")[0] == 0
    assert firsthand("report", "=cmd", "--csv", "class.csv")[0] == 0
    with Path("class.csv").open() as file:
        assert next(csv.DictReader(file))["learner"] == "'=cmd"


def test_progress_goes_to_another_machine(firsthand, class_) -> None:
    assert firsthand("progress", "--export", "ada.json", "--workspace", "ada/my_llm")[0] == 0
    code, said, _ = firsthand("progress", "--import", "ada.json", "--workspace", "cleo/my_llm")
    assert code == 0
    assert "Added what is in ada.json" in said
    told = json.loads(firsthand("progress", "--json", "--workspace", "cleo/my_llm")[1])
    assert told["exercises"]["constant"]["status"] == "passed"
    again = json.loads(firsthand("progress", "--import", "ada.json", "--json", "--workspace", "cleo/my_llm")[1])
    assert again == told, "a second time changes nothing"
    Path("cleo/my_llm/.learn/state.json").unlink()
    assert json.loads(firsthand("progress", "--json", "--workspace", "cleo/my_llm")[1]) == told


@pytest.mark.parametrize(("text", "code", "words"), [("{", 3, "is no progress file"), (None, 1, "There is no file")])
def test_what_cannot_be_imported_is_refused_whole(firsthand, class_, text, code, words) -> None:
    if text is not None:
        Path("bad.json").write_text(text)
    before = Path("ada/my_llm/.learn/state.json").read_bytes()
    found, _, err = firsthand("progress", "--import", "bad.json", "--workspace", "ada/my_llm")
    assert (found, words in err) == (code, True)
    assert Path("ada/my_llm/.learn/state.json").read_bytes() == before

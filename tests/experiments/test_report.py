import io
import json
from pathlib import Path

from rich.console import Console, RenderableType

from firsthand.experiments import report

BITS = {"gpt": 1.93, "xz": 2.31, "byte_trigram": 2.81, "word_ngram": 2.0}


def shown(what: RenderableType, width: int = 100) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(what)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_the_best_comes_first_and_is_marked() -> None:
    rows = [line for line in shown(report.table(BITS)) if line.startswith("│")]
    assert [row.split("│")[1].strip() for row in rows] == ["★ your GPT", "word trigram", "xz -9e", "byte trigram"]
    assert "best" in rows[0]
    assert "+3.6%" in rows[1]
    lengths = [row.count("█") for row in rows]
    assert lengths == sorted(lengths)


def test_a_gpt_that_loses_is_not_marked() -> None:
    rows = shown(report.table(BITS | {"gpt": 5.0}))
    assert [line for line in rows if "★" in line] == [line for line in rows if "word trigram" in line]


def test_the_report_is_written_as_promised(tmp_path: Path) -> None:
    path = report.write(tmp_path, BITS, 251.5, heldout=["Macbeth"], parameters=10)
    assert path == tmp_path / "report.json"
    assert json.loads(path.read_text()) == {
        "bits_per_byte": BITS,
        "seconds": 251.5,
        "heldout": ["Macbeth"],
        "parameters": 10,
    }
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.json"]


def test_next_steps_show_commands_as_they_are_typed() -> None:
    lines = shown(report.next_steps([("firsthand generate runs/demo --prompt '[b]'", "write")]))
    assert "firsthand generate runs/demo --prompt '[b]'  write" in lines[1]

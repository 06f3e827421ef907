"""firsthand runs: what people see, and the one JSON value."""

import json
from pathlib import Path
from typing import Any

import pytest

from firsthand.cli import main


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two short runs, where the commands are typed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    for name, lr, bits in (("demo", 0.02, 2.0), ("slow", 0.001, 2.5)):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        lines: list[dict[str, Any]] = [
            {"step": n, "tokens": n * 64, "seconds": n / 2, "loss": 5 / n, "grad_norm": 1.0, "lr": lr}
            for n in range(1, 21)
        ]
        lines.append({"step": 20, "tokens": 1280, "seconds": 10, "validation_loss": bits * 1.5, "bits_per_byte": bits})
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        (folder / "config.yaml").write_text(f"run: {{name: {name}}}\ntrain: {{lr: {lr}, seed: 1}}\n")
        (folder / "status.json").write_text('{"state": "finished"}')
    return tmp_path


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exit_:
        main(["runs", *words])
    out, err = capsys.readouterr()
    assert isinstance(exit_.value.code, int)
    return exit_.value.code, out, err


@pytest.mark.parametrize("words", [[], ["list"]])
def test_list_has_a_line_for_each_run(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    code, out, _ = call(capsys, *words)
    rows = {line.split()[0]: line.split() for line in out.splitlines()}
    assert code == 0
    assert rows["demo"][1:5] == ["finished", "20", "3.0000", "2.000"]
    assert rows["slow"][4] == "2.500"


@pytest.mark.parametrize("words", [["--json"], ["list", "--json"]])
def test_list_as_json(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    code, out, err = call(capsys, *words)
    assert (code, err) == (0, "")
    assert {run["name"]: run["bits_per_byte"] for run in json.loads(out)} == {"demo": 2.0, "slow": 2.5}


def test_no_runs_yet(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "list", "--root", "other")[1] == "There are no runs in other yet. `firsthand demo` makes one.\n"
    assert call(capsys, "list", "--root", "other", "--json")[1] == "[]\n"


def test_show_tells_all_about_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "show", "demo")
    assert code == 0
    for part in ("finished", "█", "validation_loss: 3", "lr: 0.02", "metrics.jsonl", "bytes"):
        assert part in out
    details = json.loads(call(capsys, "show", "demo", "--json")[1])
    assert details["config"]["train"] == {"lr": 0.02, "seed": 1}
    assert details["last"]["loss"] == 0.25


def test_show_tells_of_damage(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    with (place / "runs" / "demo" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 21, "lo')
    (place / "runs" / "demo" / "config.yaml").unlink()
    code, out, _ = call(capsys, "show", "demo")
    assert code == 0
    assert "damaged lines left out: 1" in out
    assert "config.yaml is missing" in out


def test_plot_prints_the_files_that_it_made(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    code, out, _ = call(capsys, "plot", "demo")
    paths = [place / line for line in out.split()]
    assert code == 0
    assert place / "runs" / "demo" / "plots" / "training.png" in paths
    assert all(path.stat().st_size > 1000 for path in paths)
    (place / "runs" / "demo" / "metrics.jsonl").write_text("")
    code, out, err = call(capsys, "plot", "demo")
    assert code == 1
    assert "no metrics to draw yet" in err


def test_compare_shows_figures_settings_and_a_picture(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    code, out, _ = call(capsys, "compare", "demo", "slow")
    assert code == 0
    assert ["train.lr", "0.02", "0.001"] in [line.split() for line in out.splitlines()]
    assert "train.seed" not in out
    assert (place / "runs" / "compare" / "demo-slow.png").is_file()
    report = json.loads(call(capsys, "compare", "demo", "runs/slow", "--out", "pictures", "--json")[1])
    assert [run["name"] for run in report["runs"]] == ["demo", "slow"]
    assert report["differences"] == {"train.lr": {"demo": 0.02, "slow": 0.001}}
    assert report["files"] == ["pictures/demo-slow.png", "pictures/demo-slow.svg"]


@pytest.mark.parametrize("words", [["show", "dem"], ["plot", "dem"], ["compare", "demo", "dem"]])
def test_a_missing_run_is_the_users_to_put_right(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    code, out, err = call(capsys, *words)
    assert (code, out) == (1, "")
    assert "Did you mean 'demo'? Valid here: demo, slow." in err


def test_one_run_cannot_be_compared(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = call(capsys, "compare", "demo")
    assert code == 1
    assert "at least two runs" in err

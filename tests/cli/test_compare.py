"""firsthand compare and firsthand sweep as they are typed."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from firsthand.cli import main

RECIPE = {
    "data": {"source": "text.txt", "validation": "tail:0.2", "batch_tokens": 64, "deduplicate": "none"},
    "tokenizer": {"part": "byte"},
    "model": {"n_layers": 1, "d_model": 16, "n_heads": 2, "context_length": 16},
    "train": {"optimizer": {"part": "adamw", "lr": 3e-3}, "steps": 9, "threads": 1, "precision": "fp32"},
}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a recipe and its text, where the commands are typed; no pictures of single runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr("firsthand.experiments.run.plot_run", lambda folder: None)
    (tmp_path / "text.txt").write_text("the king sees the sea, and the sea sees the king.\n" * 30)
    train = RECIPE["train"] | {"sample_every": 100, "save_every": 100}
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(RECIPE | {"train": train}))
    return tmp_path


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exit_:
        main(list(words))
    out, err = capsys.readouterr()
    assert isinstance(exit_.value.code, int)
    return exit_.value.code, out, err


def test_compare_shows_a_table_and_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    vary = ["--vary", "model.position=rope,none", "--seeds", "2", "--budget", "2steps"]
    code, out, _ = call(capsys, "compare", "small.yaml", *vary, "model.d_ff=32")
    assert code == 0
    assert "run 4 of 4: none, seed 1" in out
    assert [line.split()[0] for line in out.splitlines() if " ± " in line and "Bits" not in line] == ["rope", "none"]
    assert "none and rope" in out or "none is" in out
    assert "**" not in out
    assert out.splitlines()[-1] == "runs/compare-rope-none/report.md"
    page = Path("runs/compare-rope-none/report.md").read_text()
    assert (
        "firsthand compare small.yaml model.d_ff=32 --vary model.position=rope,none --seeds 2 --budget 2steps" in page
    )


def test_compare_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["small.yaml", "small.yaml train.seed=1", "--seeds", "1", "--budget", "1steps", "--json", "--out", "here"]
    code, out, err = call(capsys, "compare", *words)
    report = json.loads(out)
    assert code == 0
    assert report["folder"] == "here"
    assert [variant["variant"] for variant in report["variants"]] == ["small", "seed=1"]
    assert "run 1 of 2: small, seed 0" in err


def test_sweep_shows_the_best_first(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["small.yaml", "train.optimizer.lr=1e-5,1e-2", "--budget", "3steps"]
    code, out, _ = call(capsys, "sweep", *words)
    rows = [line.split()[0] for line in out.splitlines() if line.startswith("1e-")]
    assert code == 0
    assert rows == ["1e-2", "1e-5"]
    assert "firsthand compare 'small.yaml train.optimizer.lr=1e-2'" in out
    code, out, _ = call(capsys, "sweep", *words, "--resume", "--json")
    assert [run["run"] for run in json.loads(out)["runs"]] == ["lr-1e-2", "lr-1e-5"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["compare", "small.yaml"], "two sides"),
        (["compare", "small.yaml", "small.yaml", "--budget", "soon"], "'soon' is not a budget"),
        (["sweep", "small.yaml", "model.d_ff=8"], "Nothing is varied"),
        (["sweep", "nowhere.yaml", "model.d_ff=8,16"], "no recipe nowhere.yaml"),
    ],
)
def test_mistakes_are_told(capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    code, _, err = call(capsys, *words)
    assert code == 1
    assert said in err

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from firsthand.errors import UserError
from firsthand.experiments.runs import differences, find, labels, open_run, read


@pytest.fixture
def root(make_run: Callable[..., Path], tmp_path: Path) -> Path:
    """Two runs, the second one later, between things that are none."""
    root = tmp_path / "runs"
    for age, (name, steps) in enumerate({"b": 200, "a": 400}.items()):
        folder = make_run(root / name, steps=steps, lr=0.01 * (age + 1))
        for path in folder.iterdir():
            os.utime(path, (1_700_000_000 + age * 60,) * 2)
    (root / "compare").mkdir()
    (root / "notes.txt").write_text("no run")
    return root


def test_all_runs_are_found_the_latest_first(root: Path) -> None:
    assert [run.name for run in find(root)] == ["a", "b"]
    assert find(root / "nowhere") == []


def test_a_summary_tells_how_far_a_run_came(root: Path) -> None:
    summary = open_run("a", root).summary()
    evaluation = [json.loads(line) for line in (root / "a" / "metrics.jsonl").read_text().splitlines()][-1]
    assert summary["when"].startswith("2023-11-1")
    assert summary | {"when": ""} == {
        "name": "a",
        "state": "finished",
        "steps": 400,
        "validation_loss": evaluation["validation_loss"],
        "bits_per_byte": evaluation["bits_per_byte"],
        "tokens_per_second": 80_000.0,
        "when": "",
        "folder": str(root / "a"),
    }


def test_details_count_files_and_bytes(root: Path) -> None:
    (root / "a" / "checkpoints" / "step-1").mkdir(parents=True)
    (root / "a" / "checkpoints" / "step-1" / "model").write_bytes(b"x" * 1000)
    details = open_run("a", root).details()
    assert list(details["files"]) == ["checkpoints/", "config.yaml", "metrics.jsonl", "status.json"]
    assert details["files"]["checkpoints/"] == 1000
    assert details["config"]["train"]["optimizer"] == {"part": "muon", "lr": 0.02}
    assert details["last"]["step"] == 400
    assert details["problems"] == []
    json.dumps(details)


def test_a_run_is_opened_by_name_or_path(root: Path) -> None:
    assert open_run("a", root).folder == root / "a"
    assert open_run(str(root / "a"), Path("elsewhere")).folder == root / "a"


@pytest.mark.parametrize(
    ("name", "message"), [("bb", r"no run 'bb'.*Did you mean 'b'\? Valid here: a, b"), ("compare", "no run 'compare'")]
)
def test_a_missing_run_names_those_that_exist(root: Path, name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        open_run(name, root)


def test_an_empty_place_and_another_folder_say_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no runs yet; `firsthand demo` makes one"):
        open_run("demo", tmp_path / "runs")
    with pytest.raises(UserError, match="is not the folder of a run"):
        open_run(str(tmp_path), tmp_path)


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("metrics.jsonl", b'{"step": 1, "loss": 2.0}\n{"step": 2, "lo', "damaged lines left out: 1"),
        ("config.yaml", b"run: [", "config.yaml cannot be read"),
        ("config.yaml", b"\xff\xfe", "config.yaml cannot be read"),
        ("config.yaml", b"- 1", "config.yaml holds no settings"),
        ("status.json", b"{", "status.json cannot be read"),
        ("status.json", None, "status.json is missing"),
    ],
)
def test_damage_is_told_and_the_rest_is_shown(root: Path, file: str, content: bytes | None, problem: str) -> None:
    path = root / "a" / file
    path.unlink() if content is None else path.write_bytes(content)
    run = open_run("a", root)
    assert len(run.problems) == 1
    assert problem in run.problems[0]
    assert run.summary()["steps"] == (1 if file == "metrics.jsonl" else 400)
    assert run.state == ("unknown" if file == "status.json" else "finished")


def test_a_run_that_has_only_begun_is_a_run(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text("")
    assert read(tmp_path).summary()["steps"] is None


@pytest.mark.skipif(os.name != "posix", reason="asks whether a process lives, as POSIX does")
def test_a_run_whose_process_is_gone_was_killed(root: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    states = {}
    for pid in (gone.pid, os.getpid(), 2**80, "x"):
        (root / "a" / "status.json").write_text(json.dumps({"state": "running", "pid": pid}))
        states[pid] = open_run("a", root).state
    assert list(states.values()) == ["killed", "running", "running", "running"]


def test_differences_are_dotted_settings(root: Path) -> None:
    runs = [open_run(name, root) for name in ("a", "b")]
    assert differences(runs) == {"train.optimizer.lr": [0.02, 0.01]}
    (root / "b" / "config.yaml").write_text("train:\n  steps: 5\n")
    runs = [open_run(name, root) for name in ("a", "b")]
    assert differences(runs) == {
        "train.seed": [0, None],
        "train.optimizer.part": ["muon", None],
        "train.optimizer.lr": [0.02, None],
        "train.steps": [None, 5],
    }


def test_runs_of_one_name_are_told_apart(make_run: Callable[..., Path], tmp_path: Path) -> None:
    runs = [read(make_run(tmp_path / place / "demo")) for place in ("x", "y")]
    assert labels(runs) == [str(tmp_path / "x" / "demo"), str(tmp_path / "y" / "demo")]


def test_looking_at_runs_needs_no_torch() -> None:
    code = "import sys, firsthand.experiments.runs, firsthand.experiments.plots; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"

"""A sweep from its words to its report: complete, resumable, sorted, and modest about its winner."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from firsthand import config
from firsthand.errors import UserError
from firsthand.experiments.series import Outcome, Trial
from firsthand.experiments.sweep import Plan, folder_name, read_words, sweep
from firsthand.experiments.sweep.axes import Choices, Range
from firsthand.experiments.sweep.page import Result
from firsthand.experiments.sweep.pictures import draw, explained
from firsthand.experiments.watch import Silent

RECIPE = {
    "data": {"validation": "tail:0.2", "batch_tokens": 128, "deduplicate": "none"},
    "tokenizer": {"part": "byte"},
    "model": {"n_layers": 1, "d_model": 16, "n_heads": 2, "context_length": 16},
    "train": {"optimizer": {"part": "adamw", "lr": 3e-3}, "threads": 1, "precision": "fp32", "sample_every": 100},
}
LR = ["train.optimizer.lr=1e-4,1e-2,1e-3", "train.steps=4", "train.save_every=100"]


class Quiet(Silent):
    """Remembers which runs began."""

    def __init__(self) -> None:
        self.began: list[str] = []

    def begin(self, trial: Trial, number: int, total: int) -> None:
        self.began.append(trial.name)

    def done(self, outcome: Outcome) -> None:
        pass


class Killed(BaseException):
    """Like SIGKILL, nothing catches it."""


@pytest.fixture(scope="module", autouse=True)
def no_pictures_of_single_runs() -> Iterator[None]:
    """They take longer than these runs, and have tests of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("firsthand.experiments.run.plot_run", lambda folder: None)
        yield


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("recipe")
    (folder / "text.txt").write_text("the king sees the sea, and the sea sees the king.\n" * 40)
    tree = RECIPE | {"data": RECIPE["data"] | {"source": str(folder / "text.txt")}}
    (folder / "small.yaml").write_text(yaml.safe_dump(tree))
    return str(folder / "small.yaml")


def plan(recipe: str, words: list[str], **more: Any) -> Plan:
    settings, axes = read_words(words)
    return Plan(recipe, Path(recipe), settings, axes, **more)


def test_a_grid_is_sorted_and_published(recipe: str, tmp_path: Path) -> None:
    show = Quiet()
    page = sweep(plan(recipe, LR, command="firsthand sweep …"), tmp_path / "out", False, show, tmp_path / "page")
    assert show.began == ["lr-1e-4", "lr-1e-2", "lr-1e-3"]
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report == json.loads(json.dumps(page.to_json()))
    bits = [run["bits_per_byte"] for run in report["runs"]]
    assert bits == sorted(bits)
    assert report["runs"][0]["settings"] == {"train.optimizer.lr": "1e-2"}
    stored = config.load(tmp_path / "out" / "lr-1e-2" / "config.yaml")
    assert stored.train.optimizer == {"part": "adamw", "lr": 0.01}
    assert any("lies at the end of what was tried" in said for said in page.said())
    text = (tmp_path / "page" / "report.md").read_text()
    assert "```sh\nfirsthand sweep …\n```" in text
    assert sorted(path.name for path in (tmp_path / "page").iterdir()) == ["report.md", "sweep.svg"]
    assert f"'{recipe} train.optimizer.lr=1e-2' '{recipe} train.optimizer.lr=1e-3' train.steps=4" in text


@pytest.mark.parametrize("search", ["random", "optuna"])
def test_killed_and_resumed_makes_the_same_runs(recipe: str, tmp_path: Path, search: str) -> None:
    words = ["train.optimizer.lr=1e-4..1e-2:log", "model.position=rope,none", "train.steps=2"]
    asked = plan(recipe, words, search=search, runs=4, seed=5)
    whole = sweep(asked, tmp_path / "whole", False, Quiet())

    class Dies(Quiet):
        def step(self, line: dict[str, Any], fraction: float) -> None:
            if len(self.began) == 3:
                raise Killed

    with pytest.raises(Killed):
        sweep(asked, tmp_path / "out", False, Dies())
    show = Quiet()
    again = sweep(asked, tmp_path / "out", True, show)
    assert len(show.began) == 2
    assert [(run.point, run.bits) for run in again.results] == [(run.point, run.bits) for run in whole.results]


def test_mistakes_are_told_before_anything_is_trained(recipe: str, tmp_path: Path) -> None:
    show = Quiet()
    with pytest.raises(UserError, match="no part called 'rop'"):
        sweep(plan(recipe, ["model.position=rope,rop", "train.steps=1"]), tmp_path / "out", False, show)
    with pytest.raises(UserError, match="no search 'gird'"):
        sweep(plan(recipe, LR, search="gird"), tmp_path / "out", False, show)
    assert show.began == []


def test_words() -> None:
    settings, axes = read_words(["train.steps=3", "model.d_ff=1,2"])
    assert (settings, axes) == (["train.steps=3"], [Choices("model.d_ff", ("1", "2"))])
    assert folder_name(Plan("recipes/tiny.yaml", Path(), [], axes)) == "sweep-tiny-d_ff"
    with pytest.raises(UserError, match="Nothing is varied"):
        read_words(["train.steps=3"])
    with pytest.raises(UserError, match=r"model\.d_ff is varied twice"):
        read_words(["model.d_ff=1,2", "model.d_ff=3..9"])


def _results(count: int) -> list[Result]:
    """Of which the learning rate decides all and the rest nothing."""
    return [
        Result(
            {"lr": str(10.0 ** -(n % 3)), "ffn": "ab"[n // 3 % 2], "clip": str(n // 6)}, 2.0 + n % 3, f"{n}", None, {}
        )
        for n in range(count)
    ]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_picture_for_any_number_of_settings(tmp_path: Path, count: int) -> None:
    axes = [Range("lr", 0.01, 1.0, log=True), Choices("ffn", ("a", "b")), Choices("clip", ("0", "1"))][:count]
    paths = draw(axes, _results(12), tmp_path)
    assert [path.name for path in paths] == ["sweep.png", "sweep.svg"]
    assert all(path.stat().st_size > 5000 for path in paths)
    assert draw(axes, [], tmp_path) == []


def test_the_share_of_the_variance() -> None:
    assert explained(Range("lr", 0.01, 1.0, log=True), _results(12)) == pytest.approx(1)
    assert explained(Choices("ffn", ("a", "b")), _results(12)) == pytest.approx(0)

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from firsthand.experiments import plots
from firsthand.experiments.metrics import Metrics


@pytest.fixture(scope="module")
def runs(make_run: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Metrics]:
    root = tmp_path_factory.mktemp("runs")
    folders = [make_run(root / "demo"), make_run(root / "other", steps=300)]
    return {folder.name: Metrics.read(folder / "metrics.jsonl") for folder in folders}


def test_a_run_gets_its_files(make_run: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_run(tmp_path / "demo")
    paths = plots.plot_run(folder)
    names = ["training", "loss", "learning_rate", "gradient_norm"]
    assert paths == [folder / "plots" / f"{name}.{kind}" for name in names for kind in ("png", "svg")]
    for path in paths:
        start = path.read_bytes()[:200]
        assert start.startswith(b"\x89PNG" if path.suffix == ".png" else b"<?xml")
    assert sorted(path.name for path in (folder / "plots").iterdir()) == sorted(path.name for path in paths)


def test_the_same_metrics_give_the_same_bytes(runs: dict[str, Metrics], tmp_path: Path) -> None:
    first = plots.save(plots.comparison(runs), tmp_path / "a", "compare")
    with matplotlib.rc_context({"lines.linewidth": 9, "savefig.bbox": "tight"}):  # what others have set must not matter
        second = plots.save(plots.comparison(runs), tmp_path / "b", "compare")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_global_settings_and_pyplot_stay_untouched(runs: dict[str, Metrics], tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    plots.save(plots.training(runs["demo"], "demo"), tmp_path, "training")
    assert dict(matplotlib.rcParams) == before
    imported = "import sys, firsthand.experiments.plots; print([m for m in sys.modules if m.startswith('matplotlib')])"
    assert subprocess.run([sys.executable, "-c", imported], capture_output=True, text=True).stdout == "[]\n"


def test_the_axes_say_what_they_measure(runs: dict[str, Metrics]) -> None:
    picture = plots.training(runs["demo"], "demo")
    assert [axes.get_title(loc="left") for axes in picture.axes] == [
        "Loss",
        "Learning rate",
        "Gradient norm (log scale)",
    ]
    assert picture.axes[0].get_ylabel() == "loss (nats per token)"
    assert picture.axes[0].child_axes[0].get_ylabel() == "bits per byte"
    assert picture.get_suptitle() == "demo · 400 steps · 3.28 M tokens · 0.7 minutes"


def test_a_comparison_counts_in_bits_where_it_can(runs: dict[str, Metrics]) -> None:
    picture = plots.comparison(runs)
    assert [axes.get_xlabel() for axes in picture.axes] == ["step", "tokens seen", "time (seconds)"]
    assert picture.axes[0].get_ylabel() == "loss (bits per byte)"
    drawn = picture.axes[0].get_lines()[1].get_ydata()
    assert drawn == pytest.approx(runs["demo"].series("bits_per_byte")[1])
    without = plots.comparison(runs | {"unmeasured": Metrics([{"step": 1.0, "loss": 3.0}])}, over=("tokens",))
    assert without.axes[0].get_ylabel() == "loss (nats per token)"


@pytest.mark.parametrize("lines", [[], [{"step": 1.0}], [{"step": 0.0, "loss": 3.0, "grad_norm": 0.0, "lr": 0.0}]])
def test_runs_that_have_just_begun_can_be_drawn(lines: list[dict[str, float]], tmp_path: Path) -> None:
    metrics = Metrics(lines)
    assert plots.save(plots.training(metrics, "new"), tmp_path, "training")
    assert plots.save(plots.comparison({"a": metrics, "b": metrics}), tmp_path, "compare")


def test_long_runs_and_odd_names_can_be_drawn(tmp_path: Path) -> None:
    weeks = Metrics([{"step": n * 1e4, "tokens": n * 1e9, "seconds": n * 1e6, "loss": 3.0} for n in range(1, 5)])
    many = {f"_run $x^{n} 中 {'long' * 5}": weeks for n in range(9)}
    picture = plots.comparison(many)
    assert plots.save(picture, tmp_path, "compare")
    shown = [text.get_text() for text in picture.axes[-1].get_legend().get_texts()]
    assert shown == [rf" _run \$x^{n} □ {'long' * 5}" for n in range(9)]


def test_smoothing_keeps_lines_straight_and_takes_noise_away() -> None:
    straight = np.linspace(5, 2, 300)
    noise = np.random.default_rng(0).normal(0, 1, 300)
    assert plots.smooth(straight)[:290] == pytest.approx(straight[:290], abs=0.06)
    assert plots.smooth(noise)[60:].std() < 0.3
    assert plots.smooth(np.array([])).tolist() == []

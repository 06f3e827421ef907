"""Scaling: the law is found again where there is one, and the bet is made before the last run."""

import json
from pathlib import Path

import numpy as np
import pytest

from firsthand.errors import UserError
from firsthand.experiments.scaling import Study, study
from firsthand.experiments.scaling.law import Law, Point, fit
from firsthand.experiments.scaling.page import write_page
from firsthand.experiments.series_display import SeriesDisplay

TRUE = Law(1.7, 400.0, 410.0, 0.34, 0.28)


def points(noise):
    generator = np.random.default_rng(0)
    grid = [(weights, tokens) for weights in (1e6, 3e6, 1e7, 3e7) for tokens in (2e7, 1e8, 5e8)]
    return [Point(n, d, TRUE.loss(n, d) * float(np.exp(generator.normal(0, noise)))) for n, d in grid]


def test_the_law_is_found_again():
    found = fit(points(0.0))
    assert found.law.loss(1e8, 2e9) == pytest.approx(TRUE.loss(1e8, 2e9), rel=2e-3)
    assert found.law.alpha == pytest.approx(0.34, abs=0.05)
    assert found.law.beta == pytest.approx(0.28, abs=0.05)
    assert found.worst < 1e-3


def test_the_band_holds_the_truth_and_grows_with_the_distance():
    found = fit(points(0.004))
    low, high = found.band(1e8, 2e9)
    assert low < TRUE.loss(1e8, 2e9) < high
    near_low, near_high = found.band(1e7, 1e8)
    assert high - low > near_high - near_low


def test_the_best_split_has_the_least_loss_for_its_arithmetic():
    flops = 1e20
    weights, tokens = TRUE.best_split(flops)
    assert 6 * weights * tokens == pytest.approx(flops)
    for factor in (0.8, 1.25):
        assert TRUE.loss(weights * factor, tokens / factor) > TRUE.loss(weights, tokens)


@pytest.mark.parametrize(
    "few", [points(0.0)[:5], [Point(1e6, float(d), 3.0) for d in range(1, 9)]], ids=["5", "1 size"]
)
def test_too_few_runs_are_refused(few):
    with pytest.raises(UserError, match="runs are too few to fit"):
        fit(few)


def plan(folder, **changes):
    text = folder / "text.txt"
    text.write_text("".join(f"line {n} of a text that says {n * n % 7} and {n % 5}\n" for n in range(700)))
    settings = [
        f"data.source={text}",
        "data.validation=tail:0.2",
        "data.batch_tokens=128",
        "data.deduplicate=none",
        "tokenizer=byte",
        "model.context_length=16",
        "model.n_layers=1",
        "model.n_heads=2",
    ]
    fields = {
        "recipe": Path("recipes/tiny.yaml"),
        "settings": settings,
        "key": "model.d_model",
        "values": ["4", "8", "12", "16"],
        "tokens": [2048.0, 4096.0],
        "command": "firsthand scaling tiny",
    }
    return Study(**(fields | changes))


def test_a_family_is_trained_and_the_next_size_predicted(tmp_path):
    question = plan(tmp_path)
    with SeriesDisplay("scaling", json=True) as display:
        answer = study(question, tmp_path / "out", False, display)
    assert [(member.value, member.point.tokens) for member in answer.family] == [
        (value, tokens) for tokens in (2048.0, 4096.0) for value in ("4", "8", "12")
    ]
    assert answer.target.value == "16"
    assert answer.target.point.tokens == 4096.0
    assert answer.band[0] <= answer.band[1]
    assert answer.error == pytest.approx(answer.predicted / answer.target.point.loss - 1)
    write_page(tmp_path / "out", answer, question, tmp_path / "pages")
    page = (tmp_path / "pages" / "report.md").read_text()
    assert "](scaling.svg)" in page
    assert f"Reached: {answer.target.point.loss:.4f}" in page
    assert (tmp_path / "pages" / "scaling.svg").is_file()
    assert json.loads((tmp_path / "out" / "report.json").read_text())["predicted"] == answer.predicted
    with SeriesDisplay("scaling", json=True) as display:  # everything is there: nothing is trained again
        again = study(question, tmp_path / "out", True, display)
    assert again.predicted == answer.predicted


@pytest.mark.parametrize("changes", [{"values": ["4", "8"]}, {"tokens": [2048.0]}])
def test_a_family_too_small_for_a_law_is_refused_before_any_run(tmp_path, changes):
    with SeriesDisplay("scaling", json=True) as display, pytest.raises(UserError, match="too few"):
        study(plan(tmp_path, **changes), tmp_path / "out", False, display)
    assert not (tmp_path / "out").exists()

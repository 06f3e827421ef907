"""The probe: a model that learns, one that is examined, and the page."""

import json

import pytest
import torch

from firsthand.data.tasks.copying import Copying
from firsthand.errors import UserError
from firsthand.experiments.probe import MODEL, Plan, Result, accuracy, means, probe
from firsthand.experiments.probe_page import write_page
from firsthand.model.make import build_model

TINY = Plan(
    task="copying", sizes=(1, 2), steps=60, batch_tokens=256, examined=64, model=MODEL | {"d_model": 16, "n_heads": 2}
)


def test_a_model_learns_to_copy_and_the_page_says_so(tmp_path):
    seen = []
    results = probe({"attention": "attention"}, TINY, lambda *note: seen.append(note))
    assert [note[:3] for note in seen] == [("attention", 0, step) for step in range(1, 61)]
    [result] = results
    assert result.losses[-1] < 0.9 * result.losses[0]
    assert result.accuracy[1] > 0.5
    assert result.state_numbers == 2 * 16 * 4
    files = write_page(tmp_path, results, TINY, "firsthand probe copying")
    assert {path.name for path in files} == {f"copying.{kind}" for kind in ("md", "json", "png", "svg")}
    page = (tmp_path / "copying.md").read_text()
    assert f"| `attention` | {result.accuracy[1]:.1%} | {result.accuracy[2]:.1%} | 128 |" in page
    assert json.loads((tmp_path / "copying.json").read_text())["results"][0]["mixer"] == "attention"


def test_guessing_is_right_once_in_so_many_times():
    torch.manual_seed(0)
    model = build_model(MODEL | {"d_model": 16, "context_length": 16}, 33)
    assert accuracy(model, Copying(32), 8, 200) < 0.1


def test_means_are_over_seeds():
    found = means(
        [Result("a", 0, {2: 0.5}, 1, 1, []), Result("b", 0, {2: 0.0}, 1, 1, []), Result("a", 1, {2: 1.0}, 1, 1, [])]
    )
    assert found == {"a": {2: 0.75}, "b": {2: 0.0}}


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (Plan(task="recal"), "no part called 'recal'.*recall"),
        (Plan(sizes=()), "Sizes must be positive"),
        (Plan(model=MODEL | {"d_model": 7}), "d_model = 7"),
    ],
)
def test_what_cannot_be_is_refused_before_any_training(plan, message):
    with pytest.raises(UserError, match=message):
        probe({"attention": "attention"}, plan)

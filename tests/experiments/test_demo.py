"""The demo's orchestration, on a small corpus: the real one is run by the README's test."""

import json

import yaml

from firsthand import config
from firsthand.experiments.baselines import BASELINES
from firsthand.experiments.demo import next_commands, run_demo
from firsthand.experiments.watch import Silent

TREE = {
    "data": {"validation": "documents:0.2", "batch_tokens": 128},
    "tokenizer": {"part": "byte"},
    "model": {"n_layers": 2, "d_model": 32, "n_heads": 2, "context_length": 64},
    "train": {"steps": 3},
}


def test_it_trains_draws_and_compares(tmp_path):
    pages = tmp_path / "pages"
    pages.mkdir()
    for number in range(12):
        (pages / f"act-{number}.txt").write_text(f"Scene {number}. " + "Enter two men, and a bear. " * 20)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(TREE))
    tree = config.load(recipe, [f"data.source={pages}", f"run.dir={tmp_path / 'demo'}"])
    notes = []

    class Notes(Silent):
        def note(self, text):
            notes.append(text)

    outcome = run_demo(tree, resume=False, fresh=False, show=Notes())
    stored = json.loads((tmp_path / "demo" / "report.json").read_text())
    assert set(stored["bits_per_byte"]) == {"gpt", *BASELINES}
    assert all(0 < bits < 20 for bits in stored["bits_per_byte"].values())
    assert stored["seconds"] > 0
    assert stored["held_out"] == outcome["held_out"] != []
    assert set(stored["held_out"]) < {path.name for path in pages.iterdir()}
    for name in ("attention.png", "attention.svg", "loss.png", "learning_rate.svg", "gradient_norm.png"):
        assert (tmp_path / "demo" / "plots" / name).stat().st_size > 1000, name
    assert any("attention" in note for note in notes)
    assert str(tmp_path / "demo") in next_commands(tmp_path / "demo", outcome)[0][0]

"""Slips in a recipe: told in one paragraph that names what is valid, and those in a part before any data is read."""

import pytest
import yaml

from firsthand import config
from firsthand.errors import UserError
from firsthand.experiments.run import execute

OWN = """
import torch
from firsthand.model.ffns.mlp import MLP

RATES = torch.linspace(0.5, 1, 2)

class Mine(MLP):
    def __init__(self, d_model, d_ff):
        super().__init__(d_model, d_ff)
        self.rate = (RATES * torch.ones(2))[0].item()

    def forward(self, x):
        y, extra_loss = super().forward(x)
        return self.rate * y * RATES[0], extra_loss
"""


@pytest.fixture
def tree(tmp_path):
    """A function of settings: a small recipe with them, which leaves nothing to the dial."""
    (tmp_path / "text.txt").write_text("the king sees the night.\n" * 60)
    recipe = {
        "data": {"source": str(tmp_path / "text.txt"), "validation": "tail:0.1", "batch_tokens": 128},
        "tokenizer": {"part": "char"},
        "model": {"n_layers": 2, "d_model": 32, "n_heads": 2, "context_length": 16},
        "train": {"steps": 2, "microbatches": 2, "threads": 1, "optimizer": {"part": "sgd", "lr": 0.1}},
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return lambda *settings: config.load(tmp_path / "recipe.yaml", [f"run.dir={tmp_path / 'run'}", *settings])


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("model.mixer=misspelt", "model.mixer: there is no part called 'misspelt'.*attention, delta, .*retention"),
        ("model.mixer={part: attention, windw: 8}", "attention has no argument 'windw'. Did you mean 'window'"),
        ("model.n_heads=3", "d_model"),
        ("model.position=ropes", "Did you mean 'rope'"),
        ("train.optimizer=misspelt", "adamw, lion, muon, sgd"),
        ("train.optimizer={part: sgd, lr: 0.1, moment: 1}", "Did you mean 'momentum'"),
        ("train.schedule=misspelt", "constant, linear"),
        ("train.schedule={part: linear, warmup: 3.0}", "must lie in"),
        ("train.objective=misspelt", "next_token"),
        ("tokenizer=misspelt", "bpe, byte, char"),
        ("tokenizer={part: char, vocabsize: 9}", "Did you mean 'vocab_size'"),
    ],
)
def test_a_part_that_cannot_be_made_is_refused_before_any_data_is_read(tree, tmp_path, setting, says):
    with pytest.raises(UserError, match=says):
        execute(tree(setting))
    assert not (tmp_path / "run" / "data").exists()


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("train.trackers=[tensorbord]", "tensorboard"),
        ("data.batch_tokens=100", "Nearest valid"),
        ("train.device=tpu", "no device"),
    ],
)
def test_other_slips_name_what_is_valid_too(tree, setting, says):
    with pytest.raises(UserError, match=says):
        execute(tree(setting))


def test_a_part_that_needs_numbers_while_it_is_made_is_not_refused_and_those_of_its_file_stay(tree, tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    assert execute(tree(f"model.ffn={tmp_path / 'own.py'}:Mine"))["steps"] == 2


def test_an_own_file_keeps_its_numbers_where_the_dial_counts_the_model(tree, tmp_path):
    (tmp_path / "own.py").write_text(OWN.replace("(RATES * torch.ones(2))[0].item()", "1.0"))
    assert execute(tree(f"model.ffn={tmp_path / 'own.py'}:Mine", "train.optimizer=adamw"))["steps"] == 2

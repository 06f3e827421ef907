"""Runs that keep zeros or make them: resumed, compiled, on two ranks, and what is refused."""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest
import torch
import yaml

import firsthand
from firsthand import checkpoint, config
from firsthand.compress.prune.magnitude import Magnitude
from firsthand.compress.subject import Given, Subject
from firsthand.errors import DamagedError, Stopped, UserError
from firsthand.experiments.run import execute
from firsthand.experiments.watch import Silent
from firsthand.opened import open_model
from firsthand.train.optimizers import OPTIMIZERS

RECIPE = {
    "data": {"validation": "tail:0.1", "batch_tokens": 128, "deduplicate": "none"},
    "tokenizer": {"part": "char"},
    "model": {"n_layers": 2, "d_model": 32, "n_heads": 2, "context_length": 16},
    "train": {"steps": 8, "microbatches": 2, "save_every": 1, "log_every": 1, "threads": 1, "precision": "fp32"},
}
TEXT = "".join(f"the {a} {b} the {c}.\n" for a in ("king", "fool") for b in ("sees", "fears") for c in ("night", "day"))


@pytest.fixture(scope="module", autouse=True)
def no_pictures():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("firsthand.experiments.run.plot_run", lambda path: None)
        yield


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(TEXT * 20)
    return path


@pytest.fixture
def recipe(text, tmp_path):
    """A function of a folder's name and settings: a run of some seconds."""
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(RECIPE | {"data": RECIPE["data"] | {"source": str(text)}}))
    return lambda name, *settings: config.load(path, [f"run.dir={tmp_path / name}", *settings])


@pytest.fixture(scope="module")
def pruned(text, tmp_path_factory):
    """A trained model half of whose weights are zero, saved as a run."""
    folder = tmp_path_factory.mktemp("pruned")
    tree = config.parse(RECIPE | {"data": RECIPE["data"] | {"source": str(text)}}, "")
    execute(config.replaced(tree, {"run.dir": str(folder / "run"), "train.steps": 3}), show=Silent())
    saved = checkpoint.load(folder / "run", optimizer=True)
    opened = open_model(folder / "run")
    subject = Subject.of(opened.model, opened.fields)
    Magnitude()(subject, Given(torch.zeros(1, 4, dtype=torch.int64), opened.model))
    weights = {name: weight.detach() for name, weight in subject.model.named_parameters()}
    tokenizer = (saved.path / "tokenizer.json").read_bytes()
    checkpoint.save(folder / "pruned" / "checkpoints", 0, weights, {}, {}, saved.config, tokenizer)
    return folder / "pruned"


def tuned(recipe, pruned, name, *settings):
    fields = [f"model.{key}=null" for key in RECIPE["model"]]
    again = ["tokenizer=weights", f"model.weights={pruned}", "compress.keep_zeros=true"]
    return recipe(name, *fields, *again, *settings)


def weights_of(folder):
    return dict(firsthand.load(folder)[0].named_parameters())


def held(before, after):
    """Every zero of the matrices is zero still, and enough of the rest has moved."""
    zeros = moved = 0
    for name, weight in before.items():
        if weight.ndim >= 2:
            zeros += int((weight == 0).sum())
            assert (after[name][weight == 0] == 0).all(), name
            moved += int((after[name] != weight).sum())
    return zeros > 1000 and moved > 1000


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_pruned_model_keeps_its_zeros(recipe, pruned, tmp_path, optimizer):
    execute(tuned(recipe, pruned, "run", f"train.optimizer={optimizer}", "train.steps=3"), show=Silent())
    assert held(weights_of(pruned), weights_of(tmp_path / "run"))


def test_without_being_asked_it_does_not(recipe, pruned, tmp_path):
    execute(tuned(recipe, pruned, "run", "compress.keep_zeros=false", "train.steps=2"), show=Silent())
    with pytest.raises(AssertionError):
        held(weights_of(pruned), weights_of(tmp_path / "run"))


class StopAt(Silent):
    def __init__(self, stop):
        self.stop = stop

    def step(self, line, fraction):
        if line["step"] == self.stop:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_kept_zeros_resume_bit_for_bit(recipe, pruned, tmp_path, optimizer):
    settings = (f"train.optimizer={optimizer}", "train.steps=6")
    execute(tuned(recipe, pruned, "whole", *settings), show=Silent())
    with pytest.raises(Stopped):
        execute(tuned(recipe, pruned, "run", *settings), show=StopAt(3))
    execute(tuned(recipe, pruned, "run", *settings), resume=True, show=Silent())
    again = weights_of(tmp_path / "run")
    for name, weight in weights_of(tmp_path / "whole").items():
        assert torch.equal(weight, again[name]), name
    assert held(weights_of(pruned), again)


GRADUAL = "compress.prune={part: gradual, sparsity: 0.8, begin: 0.1, end: 0.6, every: 2}"


@pytest.mark.parametrize("stop", [1, 4, 7])
def test_pruning_in_training_resumes_bit_for_bit(recipe, tmp_path, stop):
    """Stopped before there is a zero, on the way, and when all are there."""
    execute(recipe("whole", GRADUAL, "train.optimizer=muon"), show=Silent())
    with pytest.raises(Stopped):
        execute(recipe("run", GRADUAL, "train.optimizer=muon"), show=StopAt(stop))
    execute(recipe("run", GRADUAL, "train.optimizer=muon"), resume=True, show=Silent())
    again = weights_of(tmp_path / "run")
    for name, weight in weights_of(tmp_path / "whole").items():
        assert torch.equal(weight, again[name]), name
        if name.startswith("blocks.") and weight.ndim == 2:
            assert (weight == 0).float().mean().item() == pytest.approx(0.8, abs=0.01), name
    lines = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    zeros = [line["zeros"] for line in lines if "zeros" in line]
    assert zeros == sorted(zeros)
    assert zeros[0] == 0.0
    assert zeros[-1] == pytest.approx(0.8, abs=0.01)


def test_a_checkpoint_without_its_masks_is_damaged(recipe, tmp_path):
    execute(recipe("run", "train.steps=2"), show=Silent())
    path = tmp_path / "run" / "config.yaml"
    tree = yaml.safe_load(path.read_text())
    tree["compress"]["prune"] = yaml.safe_load(GRADUAL.partition("=")[2])
    path.write_text(yaml.safe_dump(tree))
    with pytest.raises(DamagedError, match="has no mask"):
        execute(recipe("run", GRADUAL, "train.steps=4"), resume=True, show=Silent())


def test_another_pruning_is_another_experiment(recipe):
    execute(recipe("run", "train.steps=2"), show=Silent())
    with pytest.raises(UserError, match="another 'compress'"):
        execute(recipe("run", GRADUAL), resume=True, show=Silent())


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        (["compress.keep_zeros=true"], "begins with random weights"),
        (["compress.prune=gradul"], "Did you mean 'gradual'"),
        (["compress.prune={part: gradual, sparsity: 1.0}"], "nothing of the model"),
        ([GRADUAL, "adapt.adapter=lora"], "adds to every weight"),
        (["compress.prune={part: gradual, speed: 3}"], "no argument 'speed'"),
    ],
)
def test_what_cannot_be_is_said_before_there_is_data(recipe, tmp_path, settings, match):
    with pytest.raises(UserError, match=match):
        execute(recipe("run", *settings), show=Silent())
    assert not (tmp_path / "run" / "data").exists()


OUTSIDE = """
import sys
from firsthand import config
from firsthand.experiments.run import execute
from firsthand.experiments.watch import Silent
execute(config.load(sys.argv[1]), show=Silent())
"""


def outside(folder, tree, *launch):
    config.save(tree, folder / "tree.yaml")
    (folder / "job.py").write_text(OUTSIDE)
    command = [sys.executable, *launch, str(folder / "job.py"), str(folder / "tree.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr


def test_zeros_stay_in_a_compiled_run(recipe, pruned, tmp_path):
    """In a process of its own: the shape checks of the tests cannot look inside a compiled step."""
    settings = ("train.compile=true", "train.optimizer=muon", "train.steps=3")
    outside(tmp_path, tuned(recipe, pruned, "run", *settings, GRADUAL))
    assert json.loads((tmp_path / "run" / "environment.json").read_text())["choices"]["compiled"] is True
    after = weights_of(tmp_path / "run")
    assert held(weights_of(pruned), after)
    assert (after["blocks.0.ffn.up.weight"] == 0).float().mean().item() == pytest.approx(0.8, abs=0.01)


def test_two_ranks_prune_alike(recipe, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    tree = recipe("two", GRADUAL, "train.optimizer=muon", "train.steps=6")
    ranks = ("--nproc-per-node=2", "--master-addr=127.0.0.1", f"--master-port={port}")
    outside(tmp_path, tree, "-m", "torch.distributed.run", *ranks)
    execute(recipe("one", GRADUAL, "train.optimizer=muon", "train.steps=6"), show=Silent())
    one, two = weights_of(tmp_path / "one"), weights_of(tmp_path / "two")
    for name, weight in one.items():
        # sums in another order may let another of two equally small weights go
        assert ((weight - two[name]).abs() > 1e-3).float().mean() < 0.01, name
        if name.startswith("blocks.") and weight.ndim == 2:
            assert (two[name] == 0).float().mean().item() == pytest.approx(0.8, abs=0.01), name

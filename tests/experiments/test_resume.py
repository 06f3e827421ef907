"""Runs that are stopped, killed, damaged, and gone on with."""

import json
import os
import signal
import subprocess
import sys

import pytest
import torch

from firsthand.errors import DamagedError, Stopped, UserError
from firsthand.experiments.run import execute
from firsthand.experiments.watch import Silent

from .small_run import tree, weights


@pytest.mark.parametrize("stop", [1, 5, 11])
def test_r01_stopped_and_resumed_is_bit_equal(recipe, tmp_path, stop):
    whole = execute(tree(recipe, f"run.dir={tmp_path / 'whole'}"))

    class StopAt(Silent):
        def step(self, line, fraction):
            if line["step"] == stop:
                os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped, match="--resume"):
        execute(tree(recipe), show=StopAt())
    status = json.loads((tmp_path / "run" / "status.json").read_text())
    assert status["state"] == "stopped"
    resumed = execute(tree(recipe), resume=True)
    assert resumed["validation_loss"] == whole["validation_loss"]
    for name, value in weights(tmp_path / "whole").items():
        assert torch.equal(value, weights(tmp_path / "run")[name]), name
    losses = [
        [json.loads(line).get("loss") for line in (tmp_path / run / "metrics.jsonl").read_text().splitlines()]
        for run in ("whole", "run")
    ]
    assert [loss for loss in losses[0] if loss] == [loss for loss in losses[1] if loss]


KILLED = """
import os, signal, sys
from firsthand import config
from firsthand.experiments.run import execute
from firsthand.experiments.watch import Silent, Watch

class KillAt(Silent):
    def step(self, line, fraction):
        if line["step"] == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)

execute(config.load(sys.argv[1], ["run.dir=" + sys.argv[2]]), resume=True, show=KillAt())
"""


def test_r05_killed_again_and_again_and_resumed_is_bit_equal(recipe, tmp_path):
    execute(tree(recipe, f"run.dir={tmp_path / 'whole'}"))
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    for step in (3, 4, 9):
        command = [sys.executable, "-c", KILLED, str(recipe), str(tmp_path / "run"), str(step)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
        assert done.returncode == -signal.SIGKILL, done.stderr
    execute(tree(recipe), resume=True)
    for name, value in weights(tmp_path / "whole").items():
        assert torch.equal(value, weights(tmp_path / "run")[name]), name


def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(recipe, tmp_path):
    whole = execute(tree(recipe, f"run.dir={tmp_path / 'whole'}"))
    execute(tree(recipe, "train.steps=8"))
    newest = tmp_path / "run" / "checkpoints" / "step-000000008" / "model.safetensors"
    content = bytearray(newest.read_bytes())
    content[-5] ^= 1
    newest.write_bytes(content)
    notes = []

    class Notes(Silent):
        def note(self, text):
            notes.append(text)

    # the schedule of the first eight steps was another one, so only that it goes on from step 7 is checked
    again = execute(tree(recipe), resume=True, show=Notes())
    assert again["steps"] == whole["steps"]
    assert any("step-000000008" in note for note in notes)
    assert "continuing after step 7" in notes


def test_nothing_starts_anew_when_every_checkpoint_is_damaged(recipe, tmp_path):
    execute(tree(recipe, "train.steps=3"))
    for manifest in (tmp_path / "run" / "checkpoints").glob("step-*/manifest.json"):
        manifest.write_text("{}")
    with pytest.raises(DamagedError, match="--fresh"):
        execute(tree(recipe), resume=True)


def test_an_existing_run_is_not_overwritten_by_accident(recipe, tmp_path):
    execute(tree(recipe, "train.steps=2"))
    with pytest.raises(UserError, match="--resume"):
        execute(tree(recipe))
    execute(tree(recipe, "train.steps=2"), fresh=True)
    assert (tmp_path / "run.old-1" / "checkpoints").is_dir()


def test_resuming_another_experiment_is_refused(recipe):
    execute(tree(recipe, "train.steps=2"))
    with pytest.raises(UserError, match="another 'model'"):
        execute(tree(recipe, "model.n_layers=3"), resume=True)
    with pytest.raises(UserError, match=r"train\.seed"):
        execute(tree(recipe, "train.seed=7"), resume=True)


def test_resuming_with_a_longer_budget_goes_on(recipe):
    execute(tree(recipe, "train.steps=4"))
    assert execute(tree(recipe, "train.steps=6"), resume=True)["steps"] == 6


def test_a_resumed_run_computes_as_it_began(recipe, tmp_path):
    """Whatever a probe would find now: the folder says how."""
    execute(tree(recipe, "train.steps=2"))
    path = tmp_path / "run" / "environment.json"
    environment = json.loads(path.read_text())
    assert environment["choices"]["precision"] == environment["precision"]
    other = {"fp32": "bf16", "bf16": "fp32"}[environment["precision"]]
    path.write_text(json.dumps(environment | {"choices": environment["choices"] | {"precision": other}}))
    assert execute(tree(recipe, "train.steps=4"), resume=True)["precision"] == other
    assert (
        execute(tree(recipe, "train.steps=6", f"train.precision={environment['precision']}"), resume=True)["precision"]
        == environment["precision"]
    )

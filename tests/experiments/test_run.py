"""A run as a user has it: its folder, resuming, stopping, and every mistake told in one paragraph."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

import firsthand
from firsthand import config
from firsthand.errors import DamagedError, Stopped, UserError
from firsthand.experiments.run import execute
from firsthand.experiments.watch import Silent

RECIPE = {
    "data": {"validation": "tail:0.1", "batch_tokens": 128, "deduplicate": "none"},
    "tokenizer": {"part": "char"},
    "model": {"n_layers": 2, "d_model": 32, "n_heads": 2, "context_length": 16, "dropout": 0.1},
    "train": {"steps": 12, "microbatches": 2, "save_every": 1, "log_every": 1, "evaluate_every": 6, "threads": 1},
}
LINES = [
    f"the {a} {b} {c}.\n"
    for a in ("king", "queen", "fool")
    for b in ("sees", "loves", "fears")
    for c in ("night", "war", "day")
]


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("".join(LINES) * 6, encoding="utf-8")
    return path


@pytest.fixture
def recipe(tmp_path, text):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(RECIPE | {"data": RECIPE["data"] | {"source": str(text)}}))
    return path


def tree(recipe, *settings):
    return config.load(recipe, [f"run.dir={recipe.parent / 'run'}", *settings])


def weights(folder):
    model, _ = firsthand.load(folder)
    return dict(model.named_parameters())


def test_a_run_leaves_plain_files_and_loads(recipe, tmp_path):
    summary = execute(tree(recipe))
    folder = tmp_path / "run"
    assert summary["steps"] == 12
    assert json.loads((folder / "status.json").read_text())["state"] == "finished"
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, 13))
    assert [line["step"] for line in lines if "validation_loss" in line] == [6, 12]
    assert {"config.yaml", "environment.json", "samples.md", "plots", "checkpoints", "data"} <= set(os.listdir(folder))
    assert (folder / "plots" / "loss.svg").stat().st_size > 1000
    model, tokenizer = firsthand.load(folder)
    ids = torch.tensor([tokenizer.encode("the king")])
    assert model(ids).shape == (1, 8, tokenizer.vocab_size)


def test_the_validation_loss_is_that_of_the_whole_held_out_text(recipe, tmp_path, text):
    """Recomputed here from the loaded model, window by window, over the last tenth of the characters."""
    summary = execute(tree(recipe, "train.precision=fp32"))
    model, tokenizer = firsthand.load(tmp_path / "run")
    whole = text.read_text()
    held_out = whole[int(len(whole) * 0.9) :]
    ids = [tokenizer.end_of_text, *tokenizer.encode(held_out), tokenizer.end_of_text]
    nats = 0.0
    with torch.no_grad():
        for start in range(0, len(ids) - 1, 16):
            row = torch.tensor([ids[start : start + 17]])
            nats += torch.nn.functional.cross_entropy(model(row[:, :-1])[0], row[0, 1:], reduction="sum").item()
    assert summary["validation_tokens"] == len(ids) - 1
    assert summary["validation_loss"] == pytest.approx(nats / (len(ids) - 1), rel=1e-5)
    bits = nats / torch.log(torch.tensor(2.0)).item() / len(held_out.encode())
    assert summary["bits_per_byte"] == pytest.approx(bits, rel=1e-5)


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


def test_the_same_seed_gives_the_same_run_and_another_one_another(recipe, tmp_path):
    first = execute(tree(recipe, f"run.dir={tmp_path / 'a'}"))
    second = execute(tree(recipe, f"run.dir={tmp_path / 'b'}"))
    other = execute(tree(recipe, f"run.dir={tmp_path / 'c'}", "train.seed=1"))
    assert first["validation_loss"] == second["validation_loss"] != other["validation_loss"]


def test_seconds_bound_a_run_and_include_the_preparation(recipe):
    started = time.perf_counter()
    summary = execute(tree(recipe, "train.steps=null", "train.seconds=2", "train.save_every=null"))
    assert summary["seconds"] >= 2
    assert summary["seconds"] <= time.perf_counter() - started


def test_a_corpus_too_small_for_its_context_says_by_how_much(recipe, text):
    text.write_text("too short for this")
    with pytest.raises(UserError, match=r"\d+ too short for one window"):
        execute(tree(recipe, "model.context_length=64", "data.batch_tokens=128"))


def test_a_short_validation_text_is_no_nan(recipe, text):
    text.write_text("".join(LINES))
    summary = execute(tree(recipe, "model.context_length=64", "data.batch_tokens=128", "train.steps=2"))
    assert summary["validation_loss"] == pytest.approx(summary["validation_loss"])
    assert 0 < summary["validation_loss"] < 100


def test_a_vocabulary_larger_than_the_data_supports_is_refused(recipe):
    with pytest.raises(UserError, match="vocab_size"):
        execute(tree(recipe, "tokenizer={part: bpe, vocab_size: 50000}"))


def test_a_foreign_tokenizer_is_refused(recipe, tmp_path, text):
    execute(tree(recipe, "train.steps=1"))
    text.write_text("".join(LINES).upper() * 6)
    execute(tree(recipe, "train.steps=1", f"run.dir={tmp_path / 'other'}"))
    step = Path("checkpoints") / "step-000000001" / "tokenizer.json"
    (tmp_path / "run" / step).write_bytes((tmp_path / "other" / step).read_bytes())
    with pytest.raises(DamagedError, match="tokenizer"):
        firsthand.load(tmp_path / "run" / "checkpoints" / "step-000000001")


def test_a_part_from_a_file_trains_but_its_checkpoint_does_not_import_it(recipe, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from firsthand.model.ffns.mlp import MLP\nprint('imported')\nclass Mine(MLP):\n    pass\n"
    )
    execute(tree(recipe, f"model.ffn={tmp_path / 'mine.py'}:Mine", "train.steps=2"))
    with pytest.raises(UserError, match="never runs code"):
        firsthand.load(tmp_path / "run")


def test_tensorboard_gets_the_metrics(recipe, tmp_path):
    execute(tree(recipe, "train.steps=2", "train.trackers=[tensorboard]"))
    assert list((tmp_path / "run" / "tensorboard").glob("events*"))


@pytest.mark.parametrize("kind", ["byte", "word", "bpe", "wordpiece"])
def test_every_tokenizer_trains_a_model(recipe, kind):
    size = {"byte": "", "word": ", vocab_size: 12", "bpe": ", vocab_size: 270", "wordpiece": ", vocab_size: 40"}[kind]
    summary = execute(tree(recipe, f"tokenizer={{part: {kind}{size}}}", "train.steps=2", "model.context_length=8"))
    assert summary["bits_per_byte"] > 0


def test_a_prepared_folder_is_a_source(recipe, tmp_path):
    from firsthand.text.pipeline import prepare

    pages = tmp_path / "pages"
    pages.mkdir()
    for number in range(30):
        (pages / f"{number}.txt").write_text(f"page {number}: " + "".join(LINES))
    prepare(str(pages), tmp_path / "prepared", validation=0.2)
    summary = execute(tree(recipe, f"data.source={tmp_path / 'prepared'}", "data.validation=documents:0.2"))
    assert summary["steps"] == 12
    assert json.loads((tmp_path / "run" / "data" / "summary.json").read_text())["validation_documents"]


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


LIGHT = """
import sys
from firsthand import config
from firsthand.experiments.run import execute
from firsthand.experiments.watch import Silent

class Look(Silent):
    def evaluated(self, line):
        print(sorted({"torch._dynamo", "sympy", "matplotlib", "transformers"} & set(sys.modules)))

execute(config.load(sys.argv[1], ["run.dir=" + sys.argv[2], *sys.argv[3:]]), show=Look())
"""


@pytest.mark.parametrize("optimizer", ["{part: adamw, lr: 0.01}", "{part: muon, lr: 0.01, adamw_lr: 0.01}"])
def test_a_run_loads_no_compiler(recipe, tmp_path, optimizer):
    """torch loads its own, and sympy, on the slightest occasion: more than a second before the first step."""
    settings = ["train.steps=1", f"train.optimizer={optimizer}", "model.context_length=64"]
    command = [sys.executable, "-c", LIGHT, str(recipe), str(tmp_path / "run"), *settings]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.stdout.split("\n")[0] == "[]", done.stdout + done.stderr

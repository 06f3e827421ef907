"""A run as a user has it: its folder, and every mistake told in one paragraph."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import firsthand
from firsthand.errors import DamagedError, UserError
from firsthand.experiments.run import execute

from .small_run import LINES, tree


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

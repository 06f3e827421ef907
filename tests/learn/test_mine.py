"""Parts that have passed enter a real run, as they passed; the run keeps them, and is set beside the shipped ones."""

import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from firsthand import config
from firsthand.cli import main
from firsthand.cli.train import find_recipe
from firsthand.errors import UserError
from firsthand.learn import grading, manifest
from firsthand.learn.milestones import MILESTONES
from firsthand.learn.mine import Mine, Part, collect
from firsthand.parts import split

NORMS = """import torch
from torch import nn


class RMSNorm(nn.Module):
    def __init__(self, d_model):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(d_model))

    def forward(self, x):
        return x * (x.square().mean(-1, keepdim=True) + 1e-5).rsqrt() * self.gain
"""
TINY = [
    "data.source=my.txt",
    "data.validation=tail:0.2",
    "data.batch_tokens=256",
    "train.steps=3",
    "train.save_every=3",
    "train.sample_prompt=a",
    "train.evaluate_tokens=512",
    "model.n_layers=1",
    "model.d_model=32",
    "model.n_heads=2",
    "model.d_ff=64",
]


def write(mine, name, text, judge):
    exercise = manifest.exercise(name)
    mine.file(exercise).write_text(text)
    grading.judged(mine, exercise, judge=judge)


@pytest.fixture
def built(mine, right, judge):
    """A schedule and a norm have passed, and a sampler, which no run takes."""
    write(mine, "constant", right, judge)
    write(mine, "norms", NORMS, judge)
    write(mine, "sampler", "def sample(logits): ...\n", judge)
    Path("my.txt").write_text("".join(f"line {number} rhymes with {number % 7}\n" for number in range(400)))
    return mine


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return ended.value.code


def test_only_what_passed_enters(mine, right, judge) -> None:
    found = collect(mine)
    assert (found.overrides, found.shipped) == ([], ("train.schedule", "model.norm"))
    assert found.banner == "0 of 2 parts are yours"
    write(mine, "constant", right, judge)
    write(mine, "norms", "# bounds\n", judge)
    assert collect(mine).overrides == ["train.schedule=my_llm/rates.py:constant"]


def test_later_lessons_stay_out_when_asked(built) -> None:
    assert [part.setting for part in collect(built, up_to=1).parts] == ["train.schedule"]
    assert collect(built).banner == "2 of 2 parts are yours: train.schedule, model.norm"
    assert "it acts when text is written" in collect(built).elsewhere["generate.sampler"]


def test_a_part_that_changed_is_refused_until_it_is_checked_again(built, right, judge) -> None:
    file = built.path / "rates.py"
    file.write_text(right + "# a thought\n")
    with pytest.raises(UserError, match=r"has changed since constant passed.*firsthand learn check constant"):
        collect(built)
    grading.judged(built, manifest.exercise("constant"), judge=judge)
    assert len(collect(built).parts) == 2
    file.unlink()
    with pytest.raises(UserError, match="has changed"):
        collect(built)


def test_a_run_with_your_parts_keeps_them_and_is_set_beside_the_shipped_ones(built, capsys) -> None:
    assert run("train", "learn", "run.name=try", "--mine", "--json", *TINY) == 0
    printed = capsys.readouterr()
    told = json.loads(printed.out)
    assert "2 of 2 parts are yours: train.schedule, model.norm." in printed.err
    assert "Your generate.sampler has passed but cannot enter a run" in printed.err
    kept = json.loads(Path("runs/try/parts/parts.json").read_text())
    copy = kept["my_llm/norms.py:RMSNorm"]
    assert copy["sha256"] == hashlib.sha256(NORMS.encode()).hexdigest()
    assert (Path("runs/try/parts") / copy["copy"]).read_text() == NORMS
    assert {part["setting"] for part in told["mine"]["parts"]} == {"train.schedule", "model.norm"}
    beside = told["beside"]
    losses = [beside["rows"][name]["validation_loss"] for name in ("yours", "shipped")]
    assert beside["difference"] == pytest.approx(losses[0] - losses[1])
    assert beside["difference"] != 0
    assert beside["speed"] > 0
    assert all(Path(path).is_file() for path in beside["pictures"])
    assert "my_llm" not in Path("runs/try-shipped/config.yaml").read_text()
    weights = Path("runs/try-shipped/metrics.jsonl").read_bytes()
    assert run("train", "learn", "run.name=try", "--use", "mine", "--fresh", *TINY) == 0
    assert Path("runs/try-shipped/metrics.jsonl").read_bytes() == weights, "what was trained before is used again"
    assert "times as long for a token" in capsys.readouterr().out


def test_a_resumed_run_needs_the_file_it_began_with(built, capsys) -> None:
    settings = ["run.name=long", "model.norm=my_llm/norms.py:RMSNorm", *TINY]
    assert run("train", "learn", *settings) == 0
    (built.path / "norms.py").write_text(NORMS.replace("1e-5", "1e-6"))
    assert run("train", "learn", *settings, "train.steps=4", "--resume") == 1
    assert "as it was then, it is runs/long/parts/1-norms.py" in capsys.readouterr().err
    assert run("train", "learn", *settings, "--use", "yours") == 1
    assert "--use yours is not known" in capsys.readouterr().err


def test_a_part_may_import_its_neighbour_which_is_kept_too(built) -> None:
    (built.path / "sizes_of_norms.py").write_text("EPS = 1e-5\n")
    text = "from sizes_of_norms import EPS\n" + NORMS.replace("1e-5", "EPS")
    (built.path / "norms.py").write_text(text)
    assert run("train", "learn", "run.name=near", "model.norm=my_llm/norms.py:RMSNorm", *TINY) == 0
    kept = json.loads(Path("runs/near/parts/parts.json").read_text())
    names = {Path(name.partition(":")[0]).name: told["copy"] for name, told in kept.items()}
    assert sorted(names) == ["norms.py", "sizes_of_norms.py"]
    assert (Path("runs/near/parts") / names["sizes_of_norms.py"]).read_text() == "EPS = 1e-5\n"
    assert str(built.path.absolute()) not in sys.path


def test_a_milestone_is_noted_and_drawn_in_the_log(built, firsthand) -> None:
    code, said, _ = firsthand("milestone", "m3", *TINY, "--alone")
    assert code == 0
    assert "M3: your whole GPT" in said
    assert "train.schedule=my_llm/rates.py:constant model.norm=my_llm/norms.py:RMSNorm run.name=my-M3" in said
    log = (built.path / "LOG.md").read_text()
    assert "milestone M3" in log
    assert "2 of 2 parts are yours" in log
    assert "█" in log
    assert "M3: 2 of 2 parts are yours" in firsthand("progress")[1]
    told = json.loads(firsthand("milestone", "M3", "--dry", "--json")[1])
    assert told["command"].startswith("firsthand train learn")
    for verb in ("milestone", "run"):
        code, _, err = firsthand(verb, "M9")
        assert (code, "There is no milestone 'M9'" in err) == (1, True)
    code, _, err = firsthand("run", "attention")
    assert (code, "neither a lesson's number nor a milestone" in err) == (1, True)


def test_a_milestone_that_goes_on_names_only_the_parts_that_its_model_has(built, firsthand) -> None:
    code, _, err = firsthand("milestone", "M4", "--dry")
    assert (code, "firsthand learn milestone M3" in err) == (1, True)
    Path("runs/my-M3").mkdir(parents=True)
    Path("runs/my-M3/config.yaml").write_text("model: {norm: layer_norm}\n")
    said = firsthand("milestone", "M4", "--dry")[1]
    assert "model.weights=runs/my-M3" in said
    assert "train.schedule=" in said
    assert "model.norm=" not in said


def test_a_part_gets_what_the_recipe_gives_the_shipped_one_of_its_name_and_no_other(built) -> None:
    def schedule(setting):
        shipped = config.load(find_recipe("learn"), [f"train.schedule={setting}"])
        return next(one for one in collect(built).fitting(shipped).overrides if one.startswith("train.schedule="))

    spec = "my_llm/rates.py:constant"
    kept = f'train.schedule={{part: "{spec}", warmup: 0.2}}'
    assert schedule("{part: constant, warmup: 0.2, unheard_of: 1}") == kept
    assert schedule("{part: warmup_cosine, warmup: 0.05}") == schedule("constant") == f"train.schedule={spec}"
    tree = config.load(find_recipe("learn"), [kept])
    assert tree.train.schedule == {"part": spec, "warmup": 0.2}


def test_a_milestone_of_conversations_claims_no_batches(built, firsthand, monkeypatch) -> None:
    batches = Part("batches", "data.batches", "my_llm/batches.py:get_batch", "0")
    monkeypatch.setattr("firsthand.learn.mine.collect", lambda *_, **__: Mine((batches,), (), {}))
    Path("runs/my-M3").mkdir(parents=True)
    Path("runs/my-M3/config.yaml").write_text("model: {norm: layer_norm}\n")
    told = json.loads(firsthand("milestone", "M4", "--dry", "--json")[1])
    assert "data.batches" not in told["command"]
    assert told["mine"]["parts"] == []
    assert "rows of its own" in told["mine"]["elsewhere"]["data.batches"]
    assert "data.batches=my_llm/batches.py:get_batch" in firsthand("milestone", "M3", "--dry")[1]


def test_merges_enter_where_the_tokenizer_has_some(built, firsthand, monkeypatch) -> None:
    merges = Part("bpe_train", "tokenizer.merges", "my_llm/bpe_train.py:train_bpe", "0")
    monkeypatch.setattr("firsthand.learn.mine.collect", lambda *_, **__: Mine((merges,), (), {}))
    Path("runs/my-M3").mkdir(parents=True)
    Path("runs/my-M3/config.yaml").write_text("model: {norm: layer_norm}\n")
    told = json.loads(firsthand("milestone", "M1", "--dry", "--json")[1])
    assert "tokenizer.merges=my_llm/bpe_train.py:train_bpe" in told["command"]
    for name, why in (("M3", "this run is char, which has no merges"), ("M4", "begins with has a tokenizer")):
        told = json.loads(firsthand("milestone", name, "--dry", "--json")[1])
        assert "merges" not in told["command"]
        assert why in told["mine"]["elsewhere"]["tokenizer.merges"]


ATTENTION = "class CausalSelfAttention:\n    def __init__(self, d_model{more}): ...\n"
ROPE = ("rope", "model.position", "Rope")
POSITIONS = """from firsthand.model import Position


class LearnedPosition(Position):
    def embed(self, x, index): ...


class Rope(Position):
    def rotate(self, heads, index): ...
"""


def test_a_position_that_turns_waits_for_an_attention_that_takes_it(mine, judge, monkeypatch) -> None:
    def exercise(name, slot, entry):
        return replace(manifest.exercise("norms"), id=name, slot=slot, entry=(entry,), file=f"{name}.py")

    def passes(one, text):
        mine.file(one).write_text(text)
        grading.judged(mine, one, judge=judge)

    def position(**settings):
        found = collect(mine, **settings)
        return [part.spec.rpartition(":")[2] for part in found.parts if part.setting == "model.position"]

    attention = exercise("attention", "model.mixer", "CausalSelfAttention")
    absolute, rope = (exercise(*one) for one in (("absolute", "model.position", "LearnedPosition"), ROPE))
    slots = {"model.mixer": [attention], "model.position": [absolute, rope]}
    monkeypatch.setattr("firsthand.learn.mine._by_slot", lambda up_to: slots)
    passes(attention, ATTENTION.format(more=""))
    passes(rope, POSITIONS)
    assert position() == []
    assert "takes no position" in collect(mine).elsewhere["model.position"]
    assert collect(mine).shipped == ("model.position",)
    passes(absolute, POSITIONS)
    assert position() == ["LearnedPosition"], "Rope would have no effect in a mixer that takes no position"
    passes(attention, ATTENTION.format(more=", position=None"))
    assert position() == ["Rope"]
    assert position(built={"model.position": "LearnedPosition"}) == ["LearnedPosition"]


@pytest.fixture
def few():
    """Settings with which a milestone of conversations is over at once."""
    rows = [{"prompt": f"line {number}", "completion": f"rhymes with {number % 7}"} for number in range(60)]
    Path("talk.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = ("train.steps=2", "data.row_tokens=64", "data.batch_tokens=256", "train.sample_every=2")
    return ("data.source=talk.jsonl", *settings)


@pytest.mark.slow
def test_a_milestone_that_goes_on_is_set_beside_the_twin_that_went_on_from_the_twin(built, firsthand, few) -> None:
    assert firsthand("milestone", "M3", *TINY)[0] == 0
    code, said, err = firsthand("milestone", "M4", *few)
    assert code == 0, err
    twin = config.load(Path("runs/my-M4-shipped/config.yaml"))
    assert Path(str(twin.model.weights)).name == "my-M3-shipped"
    now = said[said.index("Now: ") :]
    assert "firsthand chat runs/my-M4" in now
    assert "model.norm=my_llm/norms.py:RMSNorm" in now
    code, said, err = firsthand("milestone", "M5", *few)
    assert code == 0, err
    assert config.load(Path("runs/my-M5/config.yaml")).adapt.adapter == "lora"


def test_what_goes_on_from_a_run_without_a_twin_stands_alone(built, firsthand, few) -> None:
    assert firsthand("milestone", "M3", *TINY, "--alone")[0] == 0
    code, said, err = firsthand("milestone", "M4", *few)
    assert code == 0, err
    assert "Nothing stands beside it" in said + err


def test_the_run_beside_a_milestone_differs_in_your_parts_alone():
    for goal in MILESTONES.values():
        if goal.trains:
            train = config.load(find_recipe(goal.recipe), list(goal.settings)).train
            assert split(train.optimizer)[0] == "adamw"  # what lesson 9 has, with the recipe's arguments
            assert split(train.schedule)[0] == "warmup_cosine"

"""Plans are carried out on a copy, saved, opened again and judged; the model itself stays as it was."""

import json
from pathlib import Path

import pytest
import torch

from firsthand.compress.plan import Calibration
from firsthand.compress.subject import Subject
from firsthand.errors import UserError
from firsthand.evaluate import texts
from firsthand.experiments import compression
from firsthand.experiments.compression import Question, compress, layers
from firsthand.experiments.compression.bench import set_up
from firsthand.experiments.compression.training import trainer
from firsthand.model.make import build_model
from firsthand.opened import load, open_model

from .small_compression import MODEL, REFUSED, ROUNDED, TRAINED, question, write_model, write_text


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    """They take most of the time; test_compression_page.py draws them."""
    monkeypatch.setattr(compression.pictures, "draw", lambda page, folder: [])


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path)


@pytest.fixture
def text(tmp_path):
    return write_text(tmp_path)


def content(folder):
    return {str(path): path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()}


class Told:
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)

    def done(self, share, what):
        assert 0 <= share <= 1


def test_plans_become_runs_beside_the_model(model, text, tmp_path):
    before = content(model)
    plans = {"int8": [ROUNDED], "int2": [{"part": ROUNDED, "bits": 2}], "no": [REFUSED]}
    page = compress(question(model, text, plans), tmp_path / "out")
    assert content(model) == before
    rows = {row.plan: row for row in page.rows}
    assert list(rows) == ["original", "original-bf16", "int8", "int2", "no"]
    assert rows["no"].error == "This layer cannot be packed."
    assert abs(rows["int8"].rise.value) < 0.001 < abs(rows["int2"].rise.value)
    assert rows["int8"].notes == ["looked at 64 tokens"]
    assert rows["int2"].bytes < rows["int8"].bytes < rows["original"].bytes
    saved = tmp_path / "out" / "int8" / "checkpoints" / "step-000000000" / "model.safetensors"
    assert saved.stat().st_size == rows["int8"].bytes
    assert max(rows["int8"].layers.layers) < 0.05 < min(rows["int2"].layers.layers)
    told = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [one["plan"] for one in told["plans"]] == list(rows)
    written = (tmp_path / "out" / "report.md").read_text()
    assert "no failed: This layer cannot be packed." in written


def test_the_figures_are_those_of_the_model_on_the_disk(model, text, tmp_path):
    asked = question(model, text, {"int2": [{"part": ROUNDED, "bits": 2}]})
    page = compress(asked, tmp_path / "out")
    bench = set_up(asked, tmp_path / "out", Told())
    found = texts.report(list(texts.read(load(tmp_path / "out" / "int2")[0], bench.judged)))
    assert page.rows[2].bits.value == pytest.approx(found.bits_per_byte.value, abs=1e-12)
    original = texts.report(list(texts.read(load(model)[0], bench.judged)))
    rise = found.score.nats / original.score.nats - 1
    assert page.rows[2].rise.value == pytest.approx(rise, abs=1e-9)


def test_what_was_made_before_is_taken_and_what_is_missing_is_made(model, text, tmp_path):
    plans = {"a": [ROUNDED], "b": [{"part": TRAINED, "steps": 2}]}
    asked, out = question(model, text, plans), tmp_path / "out"
    first = compress(asked, out)
    kept, gone = content(out / "a"), content(out / "b" / "checkpoints")
    note = json.loads((out / "b" / "plan.json").read_text())
    (out / "b" / "plan.json").write_text(json.dumps(note | {"finished": False}))  # as if killed while it was made
    told = Told()
    again = compress(asked, out, told)
    assert content(out / "a") == kept
    assert content(out / "b" / "checkpoints") == gone
    assert any(line.startswith("a: was there already") for line in told.notes)
    assert any(line.startswith("b: made in") for line in told.notes)
    assert [row.bits for row in again.rows] == [row.bits for row in first.rows]


@pytest.mark.parametrize("other", [{"seed": 1}, {"plans": {"a": [{"part": ROUNDED, "bits": 4}]}}])
def test_a_plan_that_was_made_otherwise_is_never_written_over(model, text, tmp_path, other):
    out, plans = tmp_path / "out", {"a": [ROUNDED]}
    compress(question(model, text, plans), out)
    before = content(out / "a")
    with pytest.raises(UserError, match="holds a plan a that was made with other steps"):
        compress(question(model, text, **({"plans": plans} | other)), out)
    assert content(out / "a") == before


def test_nothing_is_written_into_the_model_or_over_something_else(model, text, tmp_path):
    asked = question(model, text, {"run": [ROUNDED]})
    before = content(tmp_path)
    for out in (model, f"{model}/inner", str(tmp_path)):
        with pytest.raises(UserError, match=r"is or holds the model|is a run of its own"):
            compress(asked, Path(out))
    (tmp_path / "out" / "run").mkdir(parents=True)
    with pytest.raises(UserError, match="was not made by `firsthand compress`"):
        compress(asked, tmp_path / "out")
    assert content(tmp_path) == before


def test_slips_are_told_before_anything_is_read(model, tmp_path):
    with pytest.raises(UserError, match=r"plans\.a: there is no part called 'nothing'"):
        compress(question("no model", "no text", {"a": ["nothing"]}), tmp_path / "out")
    with pytest.raises(UserError, match="has no argument 'bit'"):
        compress(question("no model", "no text", {"a": [{"part": ROUNDED, "bit": 3}]}), tmp_path / "out")


def test_a_plan_alone_that_is_refused_is_an_error(model, text, tmp_path):
    with pytest.raises(UserError, match="no: This layer cannot be packed"):
        compress(question(model, text, {"no": [REFUSED]}), tmp_path / "out")


def test_a_calibration_text_that_is_too_short_is_told(model, text, tmp_path):
    asked = question(model, text, {"a": [ROUNDED]}, calibration=text)
    plans = asked.plans.model_copy(update={"calibration": Calibration(windows=500, length=32)})
    short = Question(model, plans, text, calibration=text, rounds=0)
    with pytest.raises(UserError, match="500 windows of 32 need 16,000"):
        compress(short, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture
def train(model, text):
    opened = open_model(model)
    ids = torch.tensor(opened.tokenizer.encode(Path(text).read_text()))
    return opened, trainer(ids, opened.tokenizer.vocab_size, opened.tokenizer.end_of_text, opened.model)


def test_training_goes_on_by_the_one_loop(train):
    opened, go_on = train
    settings = {"train.steps": 30, "data.batch_tokens": 256, "train.optimizer.lr": 1e-2}
    subjects = [Subject.of(opened.model, opened.fields) for _ in range(2)]
    for subject in subjects:
        go_on(subject, settings)
    one, other = (dict(subject.model.named_parameters()) for subject in subjects)
    assert all(torch.equal(one[name], other[name]) for name in one)
    (note,) = subjects[0].notes
    losses = [float(word.strip(",")) for word in note.split() if word.strip(",").replace(".", "").isdigit()][-2:]
    assert losses[1] < losses[0] - 0.5, note
    assert not subjects[0].model.training
    fresh = dict(opened.model.named_parameters())
    assert not any(torch.equal(one[name], fresh[name]) for name in fresh if "weight" in name)


def test_an_adapter_is_folded_into_the_weights(train):
    opened, go_on = train
    subject = Subject.of(opened.model, opened.fields)
    go_on(subject, {"train.steps": 3, "data.batch_tokens": 128, "adapt.adapter": {"part": "lora", "targets": ["up"]}})
    before = dict(opened.model.named_parameters())
    after = dict(subject.model.named_parameters())
    assert {name for name in before if not torch.equal(before[name], after[name])} == {
        "blocks.0.ffn.up.weight",
        "blocks.1.ffn.up.weight",
    }
    assert after.keys() == before.keys()
    assert all(parameter.requires_grad for parameter in after.values())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"train.step": 3}, r"no setting 'train.step'\. Did you mean 'train.steps'"),
        ({"train.save_every": 3}, "no setting 'train.save_every'"),
        ({"train.steps": -3}, "should be greater than 0"),
    ],
)
def test_slips_in_settings_are_told(train, settings, said):
    opened, go_on = train
    with pytest.raises(UserError, match=said):
        go_on(Subject.of(opened.model, opened.fields), settings)


def test_layers_are_set_beside_each_other(model):
    original, changed = open_model(model).model, open_model(model).model
    windows = torch.randint(256, (2, 32), generator=torch.Generator().manual_seed(0))
    same = layers.compare(original, changed, windows)
    assert same.layers == [0.0, 0.0]
    assert set(same.maps.values()) == {0.0}
    assert same.weights["before"] == same.weights["after"]
    with torch.no_grad():
        changed.blocks[1].ffn.up.weight.mul_(1.5)
    found = layers.compare(original, changed, windows)
    assert found.layers[0] == 0.0
    assert found.layers[1] > 0.01
    assert found.maps["blocks.1.ffn.up"] == pytest.approx(0.5, abs=1e-6)
    assert {name for name, error in found.maps.items() if error} == {"blocks.1.ffn.up", "blocks.1.ffn.down"}
    assert sum(found.weights["after"].counts) == sum(found.weights["before"].counts) > 0
    shorter = build_model(MODEL | {"n_layers": 1}, original.vocab_size)
    assert layers.compare(original, shorter, windows) is None

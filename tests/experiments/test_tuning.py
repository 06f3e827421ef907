"""Instruction tuning as a user has it: from a model of one's own to one that answers, and every refusal."""

import json
import os
import signal

import pytest
import torch
import yaml

import firsthand
from firsthand import config
from firsthand.errors import Stopped, UserError
from firsthand.experiments.run import execute
from firsthand.experiments.watch import Silent
from firsthand.generate.text import answer
from firsthand.model.vocabulary import grown
from firsthand.opened import open_model
from firsthand.types import Message

PAIRS = [(f"say {word} {n}", f"{word} {n}") for n in range(12) for word in ("night", "day", "king")]
RECIPE = {
    "data": {"validation": "tail:0.1", "batch_tokens": 192, "deduplicate": "none"},
    "tokenizer": {"part": "char"},
    "model": {"n_layers": 2, "d_model": 32, "n_heads": 2, "context_length": 48},
    "train": {"steps": 3, "log_every": 1, "threads": 1, "precision": "fp32"},
}


def write_recipe(folder, tree):
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A small model of one's own that only continues texts."""
    folder = tmp_path_factory.mktemp("base")
    (folder / "text.txt").write_text("".join(f"{a}: {b}.\n" for a, b in PAIRS) * 3)
    recipe = write_recipe(folder, RECIPE | {"data": RECIPE["data"] | {"source": str(folder / "text.txt")}})
    execute(config.load(recipe, [f"run.dir={folder / 'run'}"]), show=Silent())
    return folder / "run"


@pytest.fixture
def tuning(tmp_path, base):
    """A function of settings: the tree of a run that tunes the model on records."""
    (tmp_path / "records.jsonl").write_text(
        "".join(json.dumps({"prompt": a, "completion": b}) + "\n" for a, b in PAIRS)
    )
    tree = {
        "data": {"kind": "conversations", "source": str(tmp_path / "records.jsonl"), "batch_tokens": 192},
        "model": {"weights": str(base)},
        "train": {
            "epochs": 2,
            "log_every": 1,
            "save_every": 1,
            "threads": 1,
            "precision": "fp32",
            "sample_every": 1000,
        },
    }
    recipe = write_recipe(tmp_path, tree)
    return lambda *settings: config.load(recipe, [f"run.dir={tmp_path / 'run'}", *settings])


def test_a_tuned_model_has_a_template_and_the_run_says_where_it_came_from(tuning, base, tmp_path):
    summary = execute(tuning(), show=Silent())
    stored = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert stored["model"]["weights"] == str(base)
    assert len(stored["model"]["weights_sha256"]) == 64
    assert stored["tokenizer"] == "weights"
    assert stored["model"]["d_model"] == 32
    opened, before = open_model(tmp_path / "run"), open_model(base)
    assert opened.chat is not None
    assert opened.vocab_size == before.vocab_size + 2
    data = json.loads((tmp_path / "run" / "data" / "summary.json").read_text())
    assert data["train_conversations"] + data["validation_conversations"] == len(PAIRS)
    samples = (tmp_path / "run" / "samples.md").read_text()
    held_out = data["prompts"][0][0]["content"]
    assert f"user: {held_out}\nassistant:" in samples
    assert summary["steps"] == -(-2 * data["train_conversations"] // 4)  # 4 rows a step, each full with one of them
    assert answer(opened.model, opened.chat, [Message("user", held_out)], max_tokens=5) is not None


def test_the_validation_loss_is_that_of_the_answers_alone(tuning, tmp_path):
    """Recomputed from the loaded model, one conversation at a time."""
    summary = execute(tuning("train.steps=2"), show=Silent())
    opened = open_model(tmp_path / "run")
    data = json.loads((tmp_path / "run" / "data" / "summary.json").read_text())
    prompts = {prompt[0]["content"] for prompt in data["prompts"]}
    nats, count, size, seen = 0.0, 0, 0, set()
    held_out = [pair for pair in PAIRS if pair not in _learnt(tmp_path / "run", opened)]
    for asked, said in held_out:
        encoded = opened.chat.encode([Message("user", asked), Message("assistant", said)])
        ids, learn = torch.tensor(encoded.ids), torch.tensor(encoded.learn)
        with torch.no_grad():
            each = torch.nn.functional.cross_entropy(opened.model(ids[None, :-1])[0], ids[1:], reduction="none")
        nats, count, size = nats + each[learn[1:]].sum().item(), count + int(learn.sum()), size + len(said)
        seen.add(asked)
    assert prompts <= seen
    assert summary["validation_tokens"] == count == sum(len(said) + 1 for _, said in held_out)
    assert summary["validation_loss"] == pytest.approx(nats / count, rel=1e-4)
    assert summary["bits_per_byte"] == pytest.approx(nats / torch.log(torch.tensor(2.0)).item() / size, rel=1e-4)


def _learnt(run, opened):
    from firsthand.data.conversations import Conversations

    train = Conversations.open(run / "data" / "train")
    texts = [opened.tokenizer.decode(train.pair(n)[0].tolist()) for n in range(len(train))]
    return [pair for pair in PAIRS if any(f"{pair[0]}<|im_end|>" in text for text in texts)]


@pytest.mark.parametrize("more", [(), ("adapt.adapter={part: lora, rank: 2}", "adapt.train=all")])
def test_stopped_and_resumed_is_bit_equal(tuning, base, tmp_path, more):
    settings = ("train.steps=4", *more)
    execute(tuning(f"run.dir={tmp_path / 'whole'}", *settings), show=Silent())

    class StopAt(Silent):
        def step(self, line, fraction):
            if line["step"] == 2:
                os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped):
        execute(tuning(*settings), show=StopAt())
    execute(tuning(*settings), resume=True, show=Silent())
    whole, again = (dict(firsthand.load(tmp_path / run)[0].named_parameters()) for run in ("whole", "run"))
    assert all(torch.equal(value, again[name]) for name, value in whole.items())


def test_the_model_that_was_begun_with_need_not_be_there_to_go_on(tuning, base, tmp_path):
    copy = tmp_path / "copy"
    (tmp_path / "base").symlink_to(base)
    execute(tuning(f"model.weights={tmp_path / 'base'}", "train.steps=2"), show=Silent())
    (tmp_path / "base").rename(copy)
    summary = execute(tuning(f"model.weights={tmp_path / 'base'}", "train.steps=3"), resume=True, show=Silent())
    assert summary["steps"] == 3


def test_a_tuned_model_is_tuned_again_with_an_adapter(tuning, tmp_path):
    execute(tuning("train.steps=2"), show=Silent())
    more = [f"run.dir={tmp_path / 'again'}", f"model.weights={tmp_path / 'run'}", "adapt.adapter={part: lora, rank: 2}"]
    summary = execute(tuning(*more, "train.steps=2"), show=Silent())
    first, second = open_model(tmp_path / "run"), open_model(tmp_path / "again")
    assert torch.equal(first.model.embedding.weight, second.model.embedding.weight)
    assert not torch.equal(*(o.model.blocks[0].mixer.query.weight for o in (first, second)))
    assert second.chat.stop_ids == first.chat.stop_ids
    assert summary["steps"] == 2


def test_plain_text_goes_on_from_a_model_too(tuning, base, tmp_path):
    more = ["data.kind=text", f"data.source={base.parent / 'text.txt'}", "data.validation=tail:0.1", "train.epochs=1"]
    summary = execute(tuning(*more, "model.dropout=0.1"), show=Silent())
    before = [json.loads(line) for line in (base / "metrics.jsonl").read_text().splitlines()][-1]
    assert summary["validation_loss"] < before["validation_loss"]
    corpus = open_model(tmp_path / "run")
    assert corpus.vocab_size == open_model(base).vocab_size
    assert corpus.fields["dropout"] == 0.1


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["model.d_model=64"], r"model\.d_model = 64, but the model in model\.weights = .* has 32"),
        (["model.preset=llama"], r"model\.preset = 'llama'"),
        (["tokenizer=byte"], "brings the tokenizer"),
        (["model.weights=no/such"], "no/such"),
        (["model.weights=null", "tokenizer=weights"], "names no such model"),
        ([f"model.weights_sha256={'a' * 64}"], "is not the model that model.weights_sha256 names"),
        (["data.validation=tail:0.1"], r"documents:0\.1"),
        (["data.row_tokens=64"], r"more than the model reads at once, which is model\.context_length=48"),
        (["data.row_tokens=8"], "None of the .* conversations to train on fits"),
        (["data.source=no-such"], "no records"),
        (["adapt.adapter=lora"], "has never seen the 2 marks.*adapt.train=all"),
    ],
)
def test_what_cannot_be_is_refused(tuning, settings, says):
    with pytest.raises(UserError, match=says):
        execute(tuning(*settings), show=Silent())


def test_bad_rows_stop_the_run_unless_they_are_to_be_left_out(tuning, tmp_path):
    records = tmp_path / "records.jsonl"
    records.write_text(records.read_text() + '{"messages": [{"role": "user", "content": "?"}]}\n{"prompt": 1}\n')
    with pytest.raises(UserError, match=rf"line {len(PAIRS) + 1}: .*skip_bad=true"):
        execute(tuning(), show=Silent())
    notes = []

    class Listening(Silent):
        def note(self, text):
            notes.append(text)

    execute(tuning("data.skip_bad=true", "train.steps=1"), show=Listening(), fresh=True)
    assert any(f"2 bad rows left out: {records}, line" in note for note in notes)


def test_conversations_from_nothing(tuning):
    """No model to begin with: the tokenizer is trained on the conversations."""
    small = ["n_layers=1", "d_model=16", "n_heads=1", "context_length=48"]
    settings = ["model.weights=null", "tokenizer=byte", "train.steps=1", *(f"model.{one}" for one in small)]
    assert execute(tuning(*settings), show=Silent())["steps"] == 1


def test_rows_of_new_tokens_are_the_mean_of_the_known():
    weights = {"embedding.weight": torch.arange(12.0).view(4, 3), "norm.weight": torch.ones(3)}
    larger = grown(weights, known=4, tokens=6)
    assert torch.equal(larger["embedding.weight"][:4], weights["embedding.weight"])
    assert torch.equal(larger["embedding.weight"][4:], weights["embedding.weight"].mean(0).expand(2, 3))
    spare = grown(weights, known=2, tokens=3)["embedding.weight"]
    assert torch.equal(spare[2], weights["embedding.weight"][:2].mean(0))
    assert torch.equal(spare[3], weights["embedding.weight"][3])
    assert grown(weights, 4, 4)["norm.weight"] is weights["norm.weight"]

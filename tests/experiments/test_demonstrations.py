"""Demonstrations of fine-tuning on few records: everybody is judged alike, and finished runs are not done again."""

import json
import random

import pytest

from firsthand import config
from firsthand.data.records.schema import Labelled
from firsthand.experiments.demonstrations import answers, classes
from firsthand.experiments.demonstrations.answers import run_answers
from firsthand.experiments.demonstrations.bag_of_words import bag_of_words
from firsthand.experiments.demonstrations.classes import run_classes, summarised
from firsthand.experiments.demonstrations.contestants import OWN, Contestant, pretrained
from firsthand.experiments.watch import Silent
from firsthand.types import Document

WORDS = {
    "sweet": ["honey", "sugar", "cake", "syrup", "candy", "plum"],
    "salt": ["brine", "anchovy", "olive", "ham", "sea", "chips"],
}


class Notes(Silent):
    def __init__(self):
        self.said = []

    def note(self, text):
        self.said.append(text)


def _records(count):
    draw = random.Random(0)
    for i in range(count):
        label = draw.choice(list(WORDS))
        yield {"text": f"number {i}: {' '.join(draw.choices(WORDS[label], k=6))}", "label": label}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Our own GPT, hardly trained, and records."""
    folder = tmp_path_factory.mktemp("demonstrations")
    text = "\n\n".join(" ".join(row["text"].split()) for row in _records(300))
    (folder / "text.txt").write_text(text, encoding="utf-8")
    (folder / "taste.jsonl").write_text("".join(json.dumps(row) + "\n" for row in _records(240)), encoding="utf-8")
    rows = [
        {"prompt": f"What does {word} taste of? ({i})", "completion": taste}
        for i in range(9)
        for taste, words in WORDS.items()
        for word in words
    ]
    (folder / "ask.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    recipe = config.load(None, [
        f"run.dir={folder / 'own'}", f"data.source={folder / 'text.txt'}", "data.validation=tail:0.1",
        "tokenizer={part: bpe, vocab_size: 300}", "model.n_layers=1", "model.d_model=32", "model.context_length=64",
        "data.batch_tokens=512", "train.steps=4",
    ])  # fmt: skip
    return folder, recipe


def test_the_own_gpt_is_trained_once(place):
    folder, recipe = place
    first, second = Notes(), Notes()
    assert pretrained(recipe, first) == pretrained(recipe, second) == str(folder / "own")
    assert any("training our own GPT" in line for line in first.said)
    assert second.said == []


def test_classes_are_named_by_everybody_on_the_same_texts(place):
    folder, recipe = place
    contestant = Contestant(OWN, pretrained(recipe, Silent()), ("data.batch_tokens=512", "train.optimizer.lr=3e-3"))
    out, more = folder / "classes", ["train.epochs=6", "data.row_tokens=32"]
    found = run_classes(str(folder / "taste.jsonl"), [contestant], 2, out, Silent(), more)
    assert found["labels"] == ["salt", "sweet"]
    assert set(found["test"]) == {"majority class", "TF-IDF + logistic regression", OWN}
    assert found["test"]["TF-IDF + logistic regression"]["accuracy"] == 1.0
    assert found["test"]["majority class"]["accuracy"] < 0.8
    assert found["test"][OWN]["accuracy"] > 0.9
    assert "accuracy_sd" in found["test"][OWN]
    assert json.loads((out / "report.json").read_text(encoding="utf-8")) == found
    notes = Notes()
    again = run_classes(str(folder / "taste.jsonl"), [contestant], 2, out, notes, more)
    assert again["test"][OWN]["accuracy"] == found["test"][OWN]["accuracy"]
    assert not any("tuning" in line for line in notes.said)


@pytest.mark.parametrize(
    ("records", "run", "settings"), [("taste", classes, classes.LORA), ("ask", answers, answers.LORA)]
)
def test_a_model_from_elsewhere_takes_part_with_an_adapter(place, tmp_path, records, run, settings):
    folder, recipe = place
    contestant = Contestant("maker/model + LoRA", pretrained(recipe, Silent()), settings)
    # the marks of conversations are new to this one, so its table of tokens has to learn too
    more = ["train.epochs=0.2", "data.row_tokens=64", "data.batch_tokens=512", "adapt.train=all"]
    source, general = str(folder / f"{records}.jsonl"), [Document("honey and brine", "general")]
    run_it = run.run_classes if run is classes else run.run_answers
    found = run_it(source, [contestant], *(general if run is answers else []), 1, tmp_path, Silent(), more)
    assert contestant.name in found["test" if run is classes else "models"]
    assert (tmp_path / "maker-model-LoRA-0" / "checkpoints").is_dir()


def test_answers_are_learnt_and_examined_before_and_after(place):
    folder, recipe = place
    contestant = Contestant(OWN, pretrained(recipe, Silent()), ("data.batch_tokens=512", "train.optimizer.lr=3e-3"))
    general = Document("honey and brine, plum and ham, and so on. " * 20, "general")
    found = run_answers(
        str(folder / "ask.jsonl"), [contestant], general, 1, folder / "answers", Silent(),
        ["train.epochs=12", "data.row_tokens=64"],
    )  # fmt: skip
    both = found["models"][OWN]
    assert both["after"]["answer_loss"] < both["before"]["answer_loss"] / 2
    assert both["before"]["general_bits_per_byte"] > 0
    assert both["after"]["general_bits_per_byte"] != both["before"]["general_bits_per_byte"]
    assert "exact_match" not in both["before"], "it knew no conversations"
    assert 0 <= both["after"]["exact_match"] <= 1
    page = (folder / "answers" / "samples.md").read_text(encoding="utf-8")
    assert page.count("**wanted**") == min(10, found["held_out"])
    assert "own GPT, after" in page


def test_the_bag_of_words_gives_every_class_a_probability():
    rows = [Labelled(row["text"], row["label"]) for row in _records(90)]
    found = bag_of_words(rows[:60], rows[60:75], rows[75:])
    assert found.shape == (15, 2)
    assert found.exp().sum(-1).allclose(found.new_ones(15))


def test_a_mean_over_seeds_has_its_deviation():
    assert summarised([{"a": 1.0}, {"a": 3.0}]) == {"a": 2.0, "a_sd": pytest.approx(2**0.5)}
    assert summarised([{"a": 1.0}]) == {"a": 1.0}

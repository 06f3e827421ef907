"""Tasks: their files, their records, and what a model is asked."""

import json

import pytest
import torch

from firsthand.errors import UserError
from firsthand.evaluate import task
from firsthand.evaluate.ask import Asked, ask, summary
from firsthand.evaluate.likelihood import encode_pairs, log_likelihoods
from firsthand.evaluate.write import write
from firsthand.generate import complete
from firsthand.tokens.chat import CHATML, ChatTemplate

from .small_models import TEXT, model, tokenizer

CHOICE = {
    "kind": "choice",
    "data": "data.jsonl",
    "prompt": "{question}",
    "choices": "{choices}",
    "answer": "{label}",
    "delimiter": " ",
}
RECORDS = [
    {"question": "To be", "choices": ["or not", "that is", "12"], "label": 1, "text": "or not to be"},
    {"question": "Whether 'tis", "choices": ["nobler", "be"], "label": "nobler", "text": "nobler"},
    {"question": "To suffer", "choices": ["slings", "mind"], "label": "B", "text": "12 slings"},
    {"question": "or not", "choices": ["slings", "mind", "to be"], "label": "2", "text": "to be"},
]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, RECORDS)))
    return tmp_path


@pytest.fixture(scope="module")
def asked():
    words = tokenizer()
    own = model(words.vocab_size, context_length=48)
    return Asked(own, own, words)


def loaded(folder, settings, **more):
    (folder / "own.yaml").write_text(json.dumps(settings | more))
    return task.load(folder / "own.yaml")


def test_choices_are_scored_by_their_likelihood(folder, asked):
    samples = list(ask(loaded(folder, CHOICE), asked))
    assert [sample.right for sample in samples] == [["that is"], ["nobler"], ["mind"], ["to be"]]
    for sample, record in zip(samples, RECORDS, strict=True):
        pairs = encode_pairs(asked.tokenizer, [(record["question"], " " + choice) for choice in record["choices"]])
        found = log_likelihoods(asked.model, pairs)
        for choice, one in zip(sample.details["choices"], found, strict=True):
            assert choice["nats"] == pytest.approx(one.nats, abs=1e-4)
        best = max(range(len(found)), key=lambda i: found[i].nats)
        per_token = max(range(len(found)), key=lambda i: found[i].nats / found[i].tokens)
        per_byte = max(range(len(found)), key=lambda i: found[i].nats / len(record["choices"][i]))
        right = record["choices"].index(sample.right[0])
        assert sample.answer == record["choices"][best]
        assert list(sample.scores.values()) == [best == right, per_token == right, per_byte == right]
    figures = summary(samples)
    assert set(figures) == {"accuracy", "accuracy_per_token", "accuracy_per_byte"}
    assert figures["accuracy"].value == sum(sample.scores["accuracy"] for sample in samples) / 4


def test_examples_come_before_the_prompt(folder, asked):
    (folder / "data.jsonl").write_text("\n".join(map(json.dumps, RECORDS[:3])))
    (folder / "solved.jsonl").write_text(json.dumps(RECORDS[1]) + "\n" + json.dumps(RECORDS[2]))
    own = loaded(
        folder, CHOICE, examples="solved.jsonl", shots=1, separator="|", choices=["{choices.0}", "{choices.1}"]
    )
    assert own.text(own.items[0]) == "Whether 'tis nobler|To be"
    two = loaded(folder, CHOICE, examples="solved.jsonl", choices=["{choices.0}", "{choices.1}"], system="Be.")
    assert [(turn.role, turn.content) for turn in two.messages(two.items[0])] == [
        ("system", "Be."),
        ("user", "Whether 'tis"),
        ("assistant", "nobler"),
        ("user", "To suffer"),
        ("assistant", "mind"),
        ("user", "To be"),
    ]


GENERATE = {"kind": "generate", "data": "data.jsonl", "prompt": "{question}", "answer": "{text}", "max_tokens": 9}


def test_answers_are_written_as_alone(folder, asked):
    own = loaded(folder, GENERATE, metrics=["exact", "f1"], stop=["e"])
    samples = list(ask(own, asked))
    for sample, record in zip(samples, RECORDS, strict=True):
        alone = complete(asked.model, asked.tokenizer, record["question"], 9, stop=["e"], temperature=0.0)
        assert sample.answer == alone
        assert set(sample.scores) == {"exact", "f1"}
        assert sample.details["finish"] in ("stop", "length", "end_of_text")
    right = json.loads((folder / "data.jsonl").read_text().splitlines()[0])
    right["text"] = ["nothing", samples[0].answer]
    (folder / "data.jsonl").write_text(json.dumps(right))
    assert next(ask(loaded(folder, GENERATE, stop=["e"]), asked)).scores["exact"] == 1


def test_chat_wraps_prompts_in_the_template(folder):
    words = tokenizer(special_tokens=("<|endoftext|>", "<|im_start|>", "<|im_end|>"))
    own = model(words.vocab_size, context_length=64)
    chat = ChatTemplate(CHATML, words)
    asked = Asked(own, own, words, chat)
    sample = next(ask(loaded(folder, GENERATE), asked))
    assert sample.prompt.startswith("<|im_start|>user\nTo be<|im_end|>")
    assert sample.prompt.endswith("<|im_start|>assistant\n")
    ids = chat.encode(loaded(folder, GENERATE).messages(loaded(folder, GENERATE).items[0]), answer=True).ids
    assert sample.answer == write(own, words, [ids], 9, stop_ids=chat.stop_ids, temperature=0.0)[0].text
    choice = next(ask(loaded(folder, CHOICE), asked))
    found = log_likelihoods(own, [(ids, words.encode(text)) for text in RECORDS[0]["choices"]])
    assert [one["nats"] for one in choice.details["choices"]] == pytest.approx([one.nats for one in found], abs=1e-4)


def test_a_long_prompt_gives_way_to_the_answer(asked):
    ids = asked.tokenizer.encode(TEXT)
    [one] = write(asked.model, asked.tokenizer, [ids], 10, temperature=0.0)
    assert one.dropped == len(ids) - 38
    [same] = write(asked.model, asked.tokenizer, [ids[-38:]], 10, temperature=0.0)
    assert (same.text, same.dropped) == (one.text, 0)
    with pytest.raises(UserError, match="leave no room"):
        write(asked.model, asked.tokenizer, [ids], 48)


def test_code_runs_only_where_it_is_allowed(folder, asked):
    settings = {"kind": "code", "data": "data.jsonl", "prompt": "{question}", "max_tokens": 2, "seconds": 20}
    own = loaded(folder, settings, program="n = len('{text}')")
    with pytest.raises(UserError, match="--allow-code"):
        ask(own, asked)
    allowed = Asked(asked.model, asked.model, asked.tokenizer, allow_code=True)
    samples = list(ask(loaded(folder, settings, program="assert '{question}' == 'To be'", limit=2, seed=1), allowed))
    assert [sample.scores["passed"] for sample in samples] == [
        float(RECORDS[sample.number]["question"] == "To be") for sample in samples
    ]


def test_a_limit_draws_by_the_seed(folder):
    drawn = [tuple(item.number for item in loaded(folder, CHOICE, limit=2, seed=seed).items) for seed in range(9)]
    assert len(set(drawn)) > 1
    assert all(first < second for first, second in drawn)
    own = task.load(folder / "own.yaml", limit=1, seed=5)
    assert (len(own.items), own.count, own.task.seed) == (1, 4, 5)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"promt": "x"}, "Did you mean 'prompt'"),
        ({"kind": "guess"}, "kind"),
        ({"choices": []}, "needs 'choices'"),
        ({"metrics": ["exakt"]}, "Did you mean 'exact'"),
        ({"data": "none.jsonl"}, "There is no file"),
        ({"data": "own.yaml"}, "endings"),
        ({"prompt": "{qestion}"}, "record 1: There is no field 'qestion'"),
        ({"answer": "{text}"}, "none of the 3 choices"),
        ({"choices": "{text}"}, "a list of two or more"),
        ({"shots": 2}, "names no file of `examples`"),
        ({"examples": "data.jsonl", "shots": 9}, "has 4"),
        ({"limit": 0}, "limit"),
    ],
)
def test_what_is_refused(folder, change, says):
    with pytest.raises(UserError, match=says):
        loaded(folder, CHOICE | change)


def test_files_that_are_no_task(folder):
    (folder / "list.yaml").write_text("[1, 2]")
    (folder / "broken.yaml").write_text("a: [")
    (folder / "object.yaml").write_text("!!python/object/apply:os.system ['true']")
    for name, says in (("none", "no task file"), ("list", "settings"), ("broken", "not YAML"), ("object", "not YAML")):
        with pytest.raises(UserError, match=says):
            task.load(folder / f"{name}.yaml")


def test_a_model_with_a_state_answers_the_same(folder):
    words = tokenizer()
    own = model(words.vocab_size, context_length=48, mixer="mamba2")
    [sample, *_] = ask(loaded(folder, CHOICE), Asked(own, own, words))
    row = words.encode("To be or not")
    size = len(words.encode("To be"))
    with torch.no_grad():
        scores = own(torch.tensor([row[:-1]])).log_softmax(-1)[0]
    nats = sum(scores[i - 1, row[i]].item() for i in range(size, len(row)))
    assert sample.details["choices"][0]["nats"] == pytest.approx(nats, abs=1e-4)

"""A model is asked the questions of a task, many at once; one sample after another says what came of each."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from firsthand.errors import UserError
from firsthand.evaluate import code
from firsthand.evaluate.answers import best
from firsthand.evaluate.bootstrap import Figure, bootstrap
from firsthand.evaluate.likelihood import Likelihood, Pair, encode_pairs, log_likelihoods
from firsthand.evaluate.prompts import fill
from firsthand.evaluate.task import Item, Loaded
from firsthand.evaluate.write import Written, write
from firsthand.generate.text import begun
from firsthand.model.language_model import LanguageModel
from firsthand.tokens import Tokenizer, encode_on
from firsthand.tokens.chat import ChatTemplate

T = TypeVar("T")

QUESTIONS = 32
"""That are asked together."""


@dataclass(frozen=True)
class Sample:
    """A question and what came of it. `answer`: what the model wrote, or the choice it finds most probable. `scores`: 0
    to 1 by the name of the metric. `details`: what they were made of."""

    number: int
    prompt: str
    right: list[str]
    answer: str
    scores: dict[str, float]
    details: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Asked:
    """Who is asked. `writer`: the model as it writes fastest (generate.pack). `chat`: prompts become conversations."""

    model: LanguageModel
    writer: LanguageModel
    tokenizer: Tokenizer
    chat: ChatTemplate | None = None
    precision: str = "fp32"
    allow_code: bool = False


def ask(loaded: Loaded, asked: Asked) -> Iterator[Sample]:
    """The samples of a task in the order of its records; they come in batches. UserError for what cannot be asked."""
    if loaded.task.kind == "code" and not asked.allow_code:
        raise UserError(
            f"The task {loaded.task.name} runs programs that the model writes, on this machine and as you. They are "
            "limited in time and memory, but this is no sandbox. If you want that, add --allow-code."
        )
    return _choices(loaded, asked) if loaded.task.kind == "choice" else _texts(loaded, asked)


def summary(samples: Sequence[Sample], seed: int = 0) -> dict[str, Figure]:
    """The mean of every metric."""
    names = samples[0].scores if samples else ()
    return {name: bootstrap([sample.scores[name] for sample in samples], seed=seed) for name in names}


def _choices(loaded: Loaded, asked: Asked) -> Iterator[Sample]:
    """The most probable continuation: as it is, per token, and per byte of its text."""
    items = loaded.items
    prompts = [loaded.text(item) for item in items]
    pairs = iter(_chat_pairs(loaded, asked) if asked.chat else _plain_pairs(loaded, prompts, asked.tokenizer))
    for some in _some(list(zip(items, prompts, strict=True))):
        wanted = [[next(pairs) for _ in item.choices] for item, _ in some]
        flat = [pair for group in wanted for pair in group]
        found = iter(log_likelihoods(asked.model, flat, asked.precision))
        for item, prompt in some:
            yield _choice(item, prompt, [next(found) for _ in item.choices])


def _some(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for first in range(0, len(items), QUESTIONS):
        yield items[first : first + QUESTIONS]


def _plain_pairs(loaded: Loaded, prompts: list[str], tokenizer: Tokenizer) -> list[Pair]:
    delimiter = loaded.task.delimiter
    texts = zip(loaded.items, prompts, strict=True)
    return encode_pairs(tokenizer, [(prompt, delimiter + choice) for item, prompt in texts for choice in item.choices])


def _chat_pairs(loaded: Loaded, asked: Asked) -> Iterator[Pair]:
    assert asked.chat is not None, "asked only with a template"
    for item in loaded.items:
        prompt = asked.chat.encode(loaded.messages(item), answer=True).ids
        yield from ((prompt, encode_on(asked.tokenizer, choice)) for choice in item.choices)


def _choice(item: Item, prompt: str, found: list[Likelihood]) -> Sample:
    sizes = [max(1, len(choice.encode())) for choice in item.choices]
    right = int(item.right[0])
    scores: dict[str, float] = {}
    order = {
        "accuracy": [one.nats for one in found],
        "accuracy_per_token": [one.nats / one.tokens for one in found],
        "accuracy_per_byte": [one.nats / size for one, size in zip(found, sizes, strict=True)],
    }
    for name, values in order.items():
        scores[name] = float(values.index(max(values)) == right)
    likeliest = item.choices[order["accuracy"].index(max(order["accuracy"]))]
    details = {"choices": [{"text": t, **asdict(one)} for t, one in zip(item.choices, found, strict=True)]}
    return Sample(item.number, prompt, [item.choices[right]], likeliest, scores, details)


def _texts(loaded: Loaded, asked: Asked) -> Iterator[Sample]:
    """What the model writes, compared with the right answers or run."""
    task = loaded.task
    judge: Callable[[Loaded, Item, str], tuple[dict[str, float], dict[str, Any]]]
    judge = _run if task.kind == "code" else _compare
    for some in _some(loaded.items):
        if asked.chat is None:
            prompts = [loaded.text(item) for item in some]
            ids = [begun(asked.tokenizer, asked.tokenizer.encode(prompt)) for prompt in prompts]
        else:
            ids = [asked.chat.encode(loaded.messages(item), answer=True).ids for item in some]
            prompts = [asked.tokenizer.decode(row) for row in ids]
        stop_ids = asked.chat.stop_ids if asked.chat else []
        written = write(
            asked.writer,
            asked.tokenizer,
            ids,
            task.max_tokens,
            stop=task.stop,
            stop_ids=stop_ids,
            seed=task.seed,
            temperature=task.temperature,
        )
        for item, prompt, one in zip(some, prompts, written, strict=True):
            scores, more = judge(loaded, item, one.text)
            yield Sample(item.number, prompt, [str(r) for r in item.right], one.text, scores, _facts(one) | more)


def _facts(written: Written) -> dict[str, Any]:
    return {name: value for name, value in asdict(written).items() if name != "text"}


def _compare(loaded: Loaded, item: Item, text: str) -> tuple[dict[str, float], dict[str, Any]]:
    return {name: best(name, text, [str(one) for one in item.right]) for name in loaded.task.metrics}, {}


def _run(loaded: Loaded, item: Item, text: str) -> tuple[dict[str, float], dict[str, Any]]:
    record = {**item.record, "prompt": item.prompt, "completion": code.block(text)}
    outcome = code.run(fill(loaded.task.program, record), loaded.task.seconds)
    return {"passed": float(outcome.passed)}, asdict(outcome)

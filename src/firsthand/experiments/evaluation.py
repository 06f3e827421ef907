"""An opened model is judged: on texts, by tasks of ours, and by tasks of lm-evaluation-harness."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from firsthand.errors import UserError
from firsthand.evaluate import texts
from firsthand.evaluate.ask import Asked, ask, summary
from firsthand.evaluate.bootstrap import Figure
from firsthand.evaluate.harness import Adapter
from firsthand.evaluate.harness import evaluate as run_harness
from firsthand.evaluate.perplexity import perplexity
from firsthand.evaluate.task import Loaded
from firsthand.opened import Opened
from firsthand.types import Document

T = TypeVar("T")
Advance = Callable[[int], None]
"""Told how many more samples are done."""


@dataclass(frozen=True)
class Part:
    """What one data set or task gave. `kind`: "texts", "tasks" or "harness". `facts`: what else is known.

    `samples`: for the log. `of`: how many there would have been; fewer are done if it was interrupted.
    """

    kind: str
    name: str
    figures: dict[str, Figure]
    facts: dict[str, Any]
    samples: list[dict[str, Any]]
    of: int

    @property
    def label(self) -> str:
        """A name that no other part has."""
        return self.name if self.kind == "texts" else f"{self.kind}-{self.name}"

    @property
    def complete(self) -> bool:
        return len(self.samples) == self.of

    def to_json(self) -> dict[str, Any]:
        figures = {name: asdict(figure) for name, figure in self.figures.items()}
        done = {"samples": len(self.samples), "of": self.of, "complete": self.complete}
        return {**self.facts, **done, "figures": figures}


def judge_texts(
    opened: Opened,
    documents: Sequence[Document],
    window: int | None = None,
    stride: int | None = None,
    precision: str = "fp32",
    seed: int = 0,
    advance: Advance = lambda windows: None,
    begin: Advance = lambda windows: None,
) -> Part:
    """Perplexity and bits per byte. `begin` is told the number of windows. UserError if they exceed the context."""
    context = opened.model.context_length
    length = context if window is None else window
    if not 1 <= length <= context:
        raise UserError(
            f"A window of {length} tokens does not fit into the model's context, which is {context} tokens."
        )
    cut = texts.cut(opened.tokenizer, documents, length, stride)
    begin(len(cut.windows))
    found = until_interrupted(texts.read(opened.model, cut, precision), advance)
    report = texts.report(found, seed)
    nats = report.nats_per_token
    figures = {
        "bits_per_byte": report.bits_per_byte,
        "nats_per_token": nats,
        "perplexity": _exponential(nats),
    }
    facts = {
        **{name: figure.value for name, figure in figures.items()},
        "tokens": report.score.targets,
        "bytes": round(report.bytes),
        "documents": report.documents,
        "unknown": cut.unknown,
        "window": length,
        "stride": stride or length,
    }
    return Part("texts", "texts", figures, facts, [asdict(passage) for passage in found], len(cut.windows))


def judge_task(loaded: Loaded, asked: Asked, advance: Advance = lambda samples: None) -> Part:
    """The figures of a task of ours."""
    samples = until_interrupted(ask(loaded, asked), advance)
    task = loaded.task
    facts = {"kind": task.kind, "seed": task.seed, "shots": len(loaded.examples), "chat": asked.chat is not None}
    logged = [sample.to_json() for sample in samples]
    return Part("tasks", task.name, summary(samples, task.seed), facts, logged, len(loaded.items))


def judge_harness(adapter: Adapter, tasks: Sequence[str], **settings: Any) -> list[Part]:
    """The harness's own figures, with its own standard errors; it gives no intervals."""
    found = run_harness(adapter, tasks, **settings)
    parts = []
    for name, results in found["results"].items():
        samples = found["samples"].get(name, [])
        figures = {
            metric.removesuffix(",none"): Figure(value, _error(results, metric), None, None, len(samples))
            for metric, value in results.items()
            if isinstance(value, float) and "_stderr," not in metric
        }
        facts = {"version": found["versions"].get(name)}
        parts.append(Part("harness", name, figures, facts, samples, len(samples)))
    return parts


def until_interrupted(samples: Iterable[T], advance: Advance) -> list[T]:
    """All of them, or those that came before Ctrl-C. KeyboardInterrupt if that is none."""
    found: list[T] = []
    try:
        for sample in samples:
            found.append(sample)
            advance(1)
    except KeyboardInterrupt:
        if not found:
            raise
    return found


def _exponential(figure: Figure) -> Figure:
    """Perplexity from nats per token; the error by its slope."""
    value = perplexity(figure.value)
    error = None if figure.standard_error is None else figure.standard_error * value
    low, high = (None if end is None else perplexity(end) for end in (figure.low, figure.high))
    return Figure(value, error, low, high, figure.samples)


def _error(results: Mapping[str, Any], metric: str) -> float | None:
    name, _, filter_ = metric.partition(",")
    error = results.get(f"{name}_stderr,{filter_}")
    return error if isinstance(error, float) else None

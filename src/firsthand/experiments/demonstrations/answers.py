"""Teach models to answer: what tuning does to held-out answers, and what is forgotten meanwhile."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firsthand import config as config_module
from firsthand.config import Config
from firsthand.data.records.schema import Messages
from firsthand.data.records.sources import Reading
from firsthand.evaluate.answers import normalized
from firsthand.experiments.demonstrations.classes import summarised
from firsthand.experiments.demonstrations.contestants import Contestant, tune
from firsthand.experiments.evaluation import judge_texts
from firsthand.experiments.metrics import Metrics
from firsthand.experiments.tuning import conversation_sides
from firsthand.experiments.watch import Show
from firsthand.generate.text import answer
from firsthand.opened import Opened, open_model
from firsthand.types import Document

DATA = ("data.kind=conversations", "train.evaluate_tokens=null")
FULL: tuple[str, ...] = (
    "data.row_tokens=128",
    "train.epochs=3",
    "data.batch_tokens=4096",
    "train.optimizer={part: adamw, lr: 1.0e-3}",
)
LORA: tuple[str, ...] = (
    "adapt.adapter={part: lora, rank: 16, alpha: 32.0, targets: all}",
    "data.row_tokens=256",
    "train.epochs=2",
    "data.batch_tokens=2048",
    "train.optimizer={part: adamw, lr: 3.0e-4}",
)
SAMPLES = 10
SHORT = 8
"""Answers of so many words at most ("The past tense of 'freeze' is 'froze'.") are right or wrong; longer ones may be
said in many ways."""
ASKED = 60
"""So many of those are asked, from all over the held-out ones."""
LONGEST_ANSWER = 96


@dataclass(frozen=True)
class Exam:
    """Held-out conversations, each up to its first answer, that answer, and a general text."""

    prompts: list[tuple[Messages, str]]
    general: Document

    @property
    def short(self) -> list[tuple[Messages, str]]:
        """Those with one short answer."""
        some = [(prompt, right) for prompt, right in self.prompts if len(right.split()) <= SHORT]
        return some[:: max(1, len(some) // ASKED)][:ASKED]

    @property
    def shown(self) -> list[tuple[Messages, str]]:
        """Those of the page of samples."""
        return self.prompts[:: max(1, len(self.prompts) // SAMPLES)][:SAMPLES]


def run_answers(
    source: str,
    contestants: Sequence[Contestant],
    general: Document,
    seeds: int,
    out: Path,
    show: Show,
    more: Sequence[str] = (),
) -> dict[str, Any]:
    """Tune every contestant with seeds 0, 1, …; figures before and after, samples.md, report.json."""
    settings = (*DATA, f"data.source={source}")
    exam = _exam(config_module.load(None, list(settings)), general)
    rows: dict[str, Any] = {}
    samples: dict[str, list[str]] = {}
    for contestant in contestants:
        before, samples[f"{contestant.name}, before"] = _examined(contestant.weights, exam, show)
        found = []
        for seed in range(seeds):
            config, summary = tune(contestant, settings, seed, out, show, more)
            after, said = _examined(str(config.run.folder), exam, show)
            found.append(_losses(config) | after | {"seconds": summary["seconds"]})
            samples[f"{contestant.name}, after"] = said
        losses = [one.pop("answer_loss_before") for one in found]
        rows[contestant.name] = {"before": before | {"answer_loss": losses[0]}, "after": summarised(found)}
    outcome = {
        "source": source,
        "held_out": len(exam.prompts),
        "short_answers_asked": len(exam.short),
        "general_text": exam.general.name,
        "seeds": seeds,
        "models": rows,
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.json").write_text(json.dumps(outcome, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (out / "samples.md").write_text(_page(exam, samples), encoding="utf-8")
    return outcome


def _exam(config: Config, general: Document) -> Exam:
    held_out = conversation_sides(config, Reading())["validation"]
    prompts = []
    for messages, _ in held_out:
        first = next(i for i, message in enumerate(messages) if message.role == "assistant")
        prompts.append((messages[:first], messages[first].content))
    return Exam(prompts, general)


def _losses(config: Config) -> dict[str, float]:
    """Nats a token of the held-out answers, before the first step and after the last."""
    values = Metrics.read(config.run.folder / "metrics.jsonl").series("validation_loss")[1].tolist()
    return {"answer_loss_before": values[0], "answer_loss": values[-1]}


def _examined(name: str, exam: Exam, show: Show) -> tuple[dict[str, Any], list[str]]:
    """Bits per byte of the general text, the share of short answers that are right, and a few answers in full."""
    opened = open_model(name)
    show.note(f"examining {name}")
    figures: dict[str, Any] = {"general_bits_per_byte": judge_texts(opened, [exam.general]).facts["bits_per_byte"]}
    if opened.chat is None:
        return figures, ["(it knows no conversations)"] * len(exam.shown)
    right = [normalized(_say(opened, prompt), wanted) for prompt, wanted in exam.short]
    if right:
        figures["exact_match"] = sum(right) / len(right)
    return figures, [_say(opened, prompt) for prompt, _ in exam.shown]


def _say(opened: Opened, prompt: Messages) -> str:
    assert opened.chat is not None
    return answer(opened.model, opened.chat, prompt, LONGEST_ANSWER, temperature=0.0)


def _page(exam: Exam, samples: dict[str, list[str]]) -> str:
    """Held-out prompts, what was wanted, and what everybody said."""
    lines = ["# Held-out prompts and what the models said (greedy)", ""]
    for number, (prompt, wanted) in enumerate(exam.shown):
        lines += [f"## {number + 1}", "", *(f"**{message.role}**: {message.content}  " for message in prompt)]
        lines += [f"**wanted**: {wanted}  "]
        lines += [f"**{name}**: {said[number]}  " for name, said in samples.items()] + [""]
    return "\n".join(lines)

"""The data of a classifier: from records with labels to token ids on disk, in the run's own folder, made once."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from firsthand import tokens
from firsthand.adapt.classify import class_logits, classify, encoded
from firsthand.assemble import tokenizer_maker
from firsthand.checkpoint import read_safetensors, write_safetensors
from firsthand.config import Config
from firsthand.data.labelled import Examples
from firsthand.data.records.schema import Labelled, Row, content
from firsthand.data.records.sources import Reading, read
from firsthand.errors import UserError
from firsthand.evaluate.classes import label_map, report
from firsthand.model.language_model import LanguageModel
from firsthand.model.presets import resolve
from firsthand.text.split import SPLITS, fitted, split_of
from firsthand.tokens import Tokenizer

Note = Callable[[str], None]

SHOWN = 3
"""Held-out texts that samples show with what the model takes them for."""


@dataclass(frozen=True)
class LabelledCorpus:
    """Texts with classes to train on, to validate with along the way, and to test at the end."""

    tokenizer: Tokenizer
    train: Examples
    validation: Examples
    test: Examples
    labels: tuple[str, ...]
    summary: dict[str, Any]

    @property
    def class_counts(self) -> list[int]:
        return self.train.labels.bincount(minlength=len(self.labels)).tolist()

    @property
    def positive(self) -> str | None:
        """The rarer of two classes; with more of them none is the one that is looked for."""
        counts = self.class_counts
        return self.labels[counts.index(min(counts))] if len(counts) == 2 else None

    def evaluate(self, model: LanguageModel, side: str, at_most: int | None = None) -> dict[str, Any]:
        """Every figure of evaluate/classes.py on one side. `at_most`: tokens to read, of texts from all over it."""
        examples: Examples = getattr(self, side)
        logits = class_logits(model, examples.some(at_most, model.context_length))
        labels = examples.some(at_most, model.context_length).labels
        return report(logits, labels, self.labels, self.positive)

    def sample(self, model: LanguageModel) -> str:
        """What the model takes a few held-out texts for."""
        texts = self.summary["samples"]
        found = classify(model, self.tokenizer, self.labels, [text for text, _ in texts])
        lines = []
        for (text, label), row in zip(texts, found, strict=True):
            named, chance = next(iter(row.items()))
            lines.append(f"[{named} {chance:.2f}, it is {label}] {text}")
        return "\n\n".join(lines)


def make(config: Config, folder: Path, note: Note, tokenizer: Tokenizer | None) -> None:
    """Read, split and encode the records into `folder`. `tokenizer`: of the model to begin with."""
    kind, _, share = config.data.validation.partition(":")
    if kind != "documents":
        raise UserError(
            f"data.validation={config.data.validation} cuts a text; records are held out whole: documents:{share}."
        )
    folder.mkdir(parents=True, exist_ok=True)
    note(f"reading the records of {config.data.source}")
    reading = Reading()
    rows = [(_labelled(row), row) for row in read(config.data.source, reading, config.data.skip_bad)]
    sides = _sides(rows, float(share))
    labels = label_map(record.label for record, _ in rows)
    if len(labels) < 2:
        raise UserError(
            f"All {len(rows)} records have the label {next(iter(labels))!r}: there is nothing to tell apart."
        )
    tokenizer = tokenizer or tokenizer_maker(config)(record.text for record in sides["train"])
    tokenizer.save(folder)
    at_most = resolve(config.model)["context_length"]
    cut = {}
    for side, records in sides.items():
        ids = [encoded(tokenizer, record.text, at_most + 1) for record in records]
        cut[side] = sum(len(row) > at_most for row in ids)
        examples = Examples.of([row[:at_most] for row in ids], [labels[record.label] for record in records])
        (folder / f"{side}.safetensors").unlink(missing_ok=True)
        write_safetensors(folder / f"{side}.safetensors", vars(examples))
    held = sides["validation"]
    summary = {
        "labels": list(labels),
        "rows": {side: dict(Counter(record.label for record in records)) for side, records in sides.items()},
        "cut": cut,
        "samples": [(record.text[:300], record.label) for record in held[:: max(1, len(held) // SHOWN)][:SHOWN]],
        "records": asdict(reading),
    }
    for side in SPLITS:
        note(f"{side}: " + ", ".join(f"{count:,} {label}" for label, count in summary["rows"][side].items()))
    if any(cut.values()):
        note(f"{sum(cut.values()):,} texts are longer than the model's {at_most} tokens; the rest of them is not read")
    (folder / "summary.json").write_text(json.dumps(summary, ensure_ascii=False, indent=1), encoding="utf-8")


def open_corpus(folder: Path) -> LabelledCorpus:
    """What `make` has made."""
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    sides = [Examples(**read_safetensors(folder / f"{side}.safetensors")) for side in SPLITS]
    return LabelledCorpus(tokens.load(folder), *sides, tuple(summary["labels"]), summary)


def _labelled(row: Row) -> Labelled:
    if not isinstance(row.record, Labelled):
        raise UserError(f"{row.where} has no label. data.kind=labels needs a text and its label in each record.")
    return row.record


def _sides(rows: Sequence[tuple[Labelled, Row]], share: float) -> dict[str, list[Labelled]]:
    """Validation and test are a `share` each, by a hash of the record, or of its group."""
    keys = [row.group or content(record) for record, row in rows]
    fractions = fitted(keys, {"validation": share, "test": share})
    sides: dict[str, list[Labelled]] = {side: [] for side in SPLITS}
    for key, (record, _) in zip(keys, rows, strict=True):
        sides[split_of(key, fractions)].append(record)
    for side, some in sides.items():
        if not some:
            raise UserError(
                f"data.validation=documents:{share} leaves no record for {side}: there are {len(rows)}. Give more."
            )
    return sides

"""The data of a classifier: from records with labels to token ids on disk, in the run's own folder, made once."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from firsthand import tokens
from firsthand.adapt.classify import class_logits, classify, encoded
from firsthand.assemble import row_tokens, tokenizer_maker
from firsthand.checkpoint import read_safetensors, write_safetensors
from firsthand.config import Config
from firsthand.data.labelled import Examples
from firsthand.data.records.schema import Labelled, Row, content
from firsthand.data.records.sources import Reading, read
from firsthand.errors import UserError
from firsthand.evaluate.classes import label_map, report
from firsthand.experiments.labels_plot import plot_labels
from firsthand.interop import Imported
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

    chat: None = None
    prompts: tuple[()] = ()

    @property
    def vocab_size(self) -> int:
        return max(self.tokenizer.vocab_size, int(self.summary.get("vocab_size", 0)))

    @property
    def class_counts(self) -> list[int]:
        return self.train.labels.bincount(minlength=len(self.labels)).tolist()

    @property
    def positive(self) -> str | None:
        """The rarer of two classes; with more of them none is the one that is looked for."""
        counts = self.class_counts
        return self.labels[counts.index(min(counts))] if len(counts) == 2 else None

    def evaluate(self, model: LanguageModel, side: str, row_tokens: int, at_most: int | None = None) -> dict[str, Any]:
        """Every figure of evaluate/classes.py on one side. `at_most`: tokens to read, of texts from all over it."""
        examples: Examples = getattr(self, side).some(at_most, row_tokens)
        logits = class_logits(model, examples, row_tokens)
        return report(logits, examples.labels, self.labels, self.positive)

    def conclude(self, model: LanguageModel, folder: Path, row_tokens: int, first: bool) -> dict[str, Any]:
        """Every figure of what was held out: report.json and pictures in the run's folder, by the `first` rank.

        Returns those of the test texts that a run's summary shows.
        """
        found = {side: self.evaluate(model, side, row_tokens) for side in ("validation", "test")}
        if first:
            partial = folder / "report.json.partial"
            partial.write_text(json.dumps(found, indent=1, ensure_ascii=False), encoding="utf-8")
            partial.replace(folder / "report.json")
            plot_labels(found["test"], folder / "plots")
        keep = ("accuracy", "macro_f1", "positive_f1", "majority")
        return {f"test_{key}": found["test"][key] for key in keep if key in found["test"]}

    def sample(self, model: LanguageModel, row_tokens: int) -> str:
        """What the model takes a few held-out texts for."""
        texts = self.summary["samples"]
        found = classify(model, self.tokenizer, self.labels, [text for text, _ in texts], row_tokens)
        lines = []
        for (text, label), row in zip(texts, found, strict=True):
            named, chance = next(iter(row.items()))
            lines.append(f"[{named} {chance:.2f}, it is {label}] {text}")
        return "\n\n".join(lines)


def make(config: Config, folder: Path, note: Note, found: Imported | None) -> dict[str, Any]:
    """Read, split and encode the records into `folder`; returns the summary. `found`: the model to begin with."""
    folder.mkdir(parents=True, exist_ok=True)
    note(f"reading the records of {config.data.source}")
    reading = Reading()
    sides = labelled_sides(config, reading)
    labels = label_map(record.label for records in sides.values() for record in records)
    if len(labels) < 2:
        raise UserError(
            f"All {len(sides['train'])} records have the label {next(iter(labels))!r}: nothing is to be told apart."
        )
    tokenizer = found.tokenizer if found else tokenizer_maker(config)(record.text for record in sides["train"])
    tokenizer.save(folder)
    at_most = row_tokens(config, resolve(config.model)["context_length"])
    cut = {side: _write(records, labels, tokenizer, at_most, folder / side) for side, records in sides.items()}
    held = sides["validation"]
    summary: dict[str, Any] = {
        "labels": list(labels),
        "rows": {side: dict(Counter(record.label for record in records)) for side, records in sides.items()},
        "cut": cut,
        "samples": [(record.text[:300], record.label) for record in held[:: max(1, len(held) // SHOWN)][:SHOWN]],
        "records": asdict(reading),
    }
    for side in SPLITS:
        note(f"{side}: " + ", ".join(f"{count:,} {label}" for label, count in summary["rows"][side].items()))
    if any(cut.values()):
        note(f"{sum(cut.values()):,} texts are longer than data.row_tokens={at_most}; the rest of them is not read")
    return summary


def labelled_sides(config: Config, reading: Reading) -> dict[str, list[Labelled]]:
    """The records to train on, to validate with and to test, each once."""
    kind, _, share = config.data.validation.partition(":")
    if kind != "documents":
        raise UserError(
            f"data.validation={config.data.validation} cuts a text; records are held out: documents:{share}."
        )
    rows = [(_labelled(row), row) for row in read(config.data.source, reading, config.data.skip_bad)]
    return _sides(rows, float(share))


def _write(
    records: Sequence[Labelled], labels: Mapping[str, int], tokenizer: Tokenizer, at_most: int, path: Path
) -> int:
    """Write one side; returns how many of its texts had to be cut."""
    ids = [encoded(tokenizer, record.text, at_most + 1) for record in records]
    examples = Examples.of([row[:at_most] for row in ids], [labels[record.label] for record in records])
    path.with_suffix(".safetensors").unlink(missing_ok=True)
    write_safetensors(path.with_suffix(".safetensors"), vars(examples))
    return sum(len(row) > at_most for row in ids)


def open_corpus(folder: Path, summary: dict[str, Any]) -> LabelledCorpus:
    """What `make` has made."""
    train, validation, test = (Examples(**read_safetensors(folder / f"{side}.safetensors")) for side in SPLITS)
    return LabelledCorpus(tokens.load(folder), train, validation, test, tuple(summary["labels"]), summary)


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

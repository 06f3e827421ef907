"""Comparing variants fairly: the same seeds and data, run in turns, with a report that claims no more than is known."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from firsthand import assemble
from firsthand.errors import UserError, suggest
from firsthand.experiments.amount import BOUNDS
from firsthand.experiments.compare import match as match_module
from firsthand.experiments.compare.findings import findings
from firsthand.experiments.compare.match import MEASURES, size_of
from firsthand.experiments.compare.page import Page
from firsthand.experiments.compare.pictures import draw
from firsthand.experiments.compare.variants import Variant
from firsthand.experiments.corpus import Corpus
from firsthand.experiments.publication import PLOTS, write_report
from firsthand.experiments.series import DATA, Outcome, Series, SeriesShow, Trial, changed
from firsthand.experiments.statistics import need_scipy
from firsthand.experiments.words import distinct, slug
from firsthand.ops.roof import measure_peak


@dataclass(frozen=True)
class Question:
    """What is asked. `match`: params, flops or None; `baseline`: a variant's label, None for the first."""

    variants: Sequence[Variant]
    seeds: int = 3
    match: str | None = None
    baseline: str | None = None
    title: str | None = None
    command: str = ""

    def place(self) -> int:
        """The place of the baseline among the variants."""
        labels = [variant.label for variant in self.variants]
        if self.baseline is not None and self.baseline not in labels:
            raise UserError(f"--baseline: there is no variant {self.baseline!r}. {suggest(self.baseline, labels)}")
        return labels.index(self.baseline) if self.baseline is not None else 0


def compare(question: Question, folder: Path, resume: bool, show: SeriesShow, publish: Path | None = None) -> Page:
    """Make all runs, or those that are missing, and the report: report.md, report.json and plots/ in `folder`.

    All variants have the seeds of the first: its train.seed and those after it. Every part is made once without memory
    before any data is read, so that a mistake in the last recipe does not cost a night. `publish` gets a copy of the
    page and its pictures. Raises Stopped if a signal asked for it, after saving; UserError for what the user can put
    right.
    """
    need_scipy()
    baseline = question.place()
    series = Series(folder, "compare", resume, show)
    pinned = [replace(each, config=series.pinned(each.config)) for each in question.variants]
    for variant in pinned:
        assemble.check(variant.config)
    corpora = [series.corpus(variant.config) for variant in pinned]
    variants = alike(pinned, corpora, question.match)
    sizes = [
        size_of(variant.config, corpus.tokenizer.vocab_size) for variant, corpus in zip(variants, corpora, strict=True)
    ]
    measure_peak()  # now, so that no run pays for the first products of this process
    outcomes = _in_turns(series, variants, question.seeds)
    page = Page(
        question.title or "Comparison: " + ", ".join(variant.label for variant in variants),
        question.command,
        series.notes["started"],
        series.machine(outcomes[0][0]),
        findings(variants, sizes, outcomes, baseline),
        baseline,
        _notes(variants, corpora),
    )
    pictures = draw(page.found, page.baseline, folder / PLOTS)
    write_report(folder, page.text, page.to_json(), pictures, publish)
    return page


def alike(variants: Sequence[Variant], corpora: Sequence[Corpus], measure: str | None) -> list[Variant]:
    """The variants with the size of the first, by `measure`; as they are if that is None."""
    if measure is None:
        return list(variants)
    if measure not in MEASURES:
        raise UserError(f"--match: there is no measure {measure!r}. {suggest(measure, MEASURES)}")
    vocabularies = [corpus.tokenizer.vocab_size for corpus in corpora]
    target = size_of(variants[0].config, vocabularies[0]).by(measure)
    others = zip(variants[1:], vocabularies[1:], strict=True)
    return [variants[0], *(match_module.match(variant, vocab, measure, target) for variant, vocab in others)]


def command(verb: str, words: Sequence[str], options: dict[str, Any]) -> str:
    """The command that makes a report, as it stands on the report's page; options that are None or empty stay away."""
    typed = ["firsthand", verb, *words]
    for name, value in options.items():
        for each in value if isinstance(value, list) else [value]:
            typed += [f"--{name}", str(each)] if each is not None else []
    return shlex.join(typed)


def _in_turns(series: Series, variants: Sequence[Variant], seeds: int) -> list[list[Outcome]]:
    """The outcomes of each variant by seed; all variants with one seed, then with the next: drift hits all alike."""
    folders = distinct((slug(variant.label) for variant in variants), "{}-{}")
    first = variants[0].config.train.seed
    outcomes: list[list[Outcome]] = [[] for _ in variants]
    for seed in range(first, first + seeds):
        for place, (variant, name) in enumerate(zip(variants, folders, strict=True)):
            config = changed(variant.config, {"train.seed": seed})
            trial = Trial(f"{name}-seed-{seed}", f"{variant.label}, seed {seed}", config)
            number = (seed - first) * len(variants) + place + 1
            outcomes[place].append(series.run(trial, number, seeds * len(variants)))
    return outcomes


def _notes(variants: Sequence[Variant], corpora: Sequence[Corpus]) -> list[str]:
    """What holds for the whole comparison and should not be overlooked."""
    notes = []
    held_out = {
        json.dumps(variant.config.model_dump(mode="json", include={"data": set(DATA)}), sort_keys=True)
        for variant in variants
    }
    if len(held_out) > 1 or len({corpus.validation_bytes for corpus in corpora}) > 1:
        notes.append("The variants are validated on different texts, so their bits per byte do not compare.")
    if len({tuple(getattr(variant.config.train, bound) for bound in BOUNDS) for variant in variants}) > 1:
        notes.append("The variants do not have the same budget; `--budget` sets one for all.")
    return notes

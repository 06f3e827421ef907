"""What is done to each document alone, so that it can be done in any process: clean it, judge it, hash it."""

import functools
import json
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import UInt

from firsthand import parts
from firsthand.errors import UserError, suggest
from firsthand.parts import PartSpec
from firsthand.text.clean import CLEANERS, STANDARD
from firsthand.text.deduplicate import digest, signature
from firsthand.text.filters import FILTERS, Filter
from firsthand.text.prepared import size_of
from firsthand.text.report import Report
from firsthand.text.sources import SOURCES
from firsthand.types import Document


@dataclass(frozen=True)
class Plan:
    """What to do, as plain data that travels to other processes.

    `clean`: names in CLEANERS in order, None for the source's own and then STANDARD. `filters`: JSON of their specs.
    """

    clean: tuple[str, ...] | None
    filters: str
    deduplicate: str

    @staticmethod
    def of(clean: list[str] | None, filters: list[PartSpec], deduplicate: str) -> "Plan":
        """Raises UserError for a name or argument that does not exist."""
        for name in clean or []:
            if name not in CLEANERS:
                raise UserError(f"data.clean: there is no step {name!r}. {suggest(name, CLEANERS)}")
        if deduplicate not in ("none", "exact", "near"):
            raise UserError(f"deduplicate: {deduplicate!r} is none of: none, exact, near.")
        plan = Plan(None if clean is None else tuple(clean), json.dumps(filters), deduplicate)
        built_filters(plan.filters)
        if deduplicate == "near":
            signature("")  # says at once if the library is missing
        return plan

    def steps_for(self, source: str) -> tuple[str, ...]:
        """The cleaning steps for documents of `source`."""
        if self.clean is not None:
            return self.clean
        return (*(SOURCES[source].clean if source in SOURCES else ()), *STANDARD)


@dataclass(frozen=True)
class Kept:
    """A document that came through, with the hashes that duplicates are found by."""

    document: Document
    digest: int = 0
    signature: UInt[np.ndarray, " permutations"] | None = None


@dataclass
class Done:
    """What became of a batch of documents."""

    kept: list[Kept] = field(default_factory=list)
    report: Report = field(default_factory=Report)


def process(plan: Plan, batch: list[Document]) -> Done:
    """Clean the documents and drop those that are empty or that a filter refuses."""
    done = Done()
    filters = built_filters(plan.filters)
    for document in batch:
        done.report.step("read").enter(size_of(document.text))
        document = _cleaned(plan, document, done.report)
        if _passes(document, "empty", lambda document: bool(document.text.strip()), done.report) and all(
            _passes(document, name, keep, done.report) for name, keep in filters
        ):
            text, exact, near = document.text, plan.deduplicate != "none", plan.deduplicate == "near"
            done.kept.append(Kept(document, digest(text) if exact else 0, signature(text) if near else None))
    return done


@functools.lru_cache(maxsize=8)
def built_filters(specs: str) -> tuple[tuple[str, Filter], ...]:
    """The filters that `specs` (JSON) names, each with the name of its step; those used twice are numbered."""
    built: list[tuple[str, Filter]] = []
    for spec in json.loads(specs):
        name = f"filter: {parts.split(spec)[0]}"
        taken = sum(other == name or other.startswith(f"{name} (") for other, _ in built)
        step = f"{name} ({taken + 1})" if taken else name
        built.append((step, parts.build("data.filters", FILTERS, spec)))
    return tuple(built)


def _cleaned(plan: Plan, document: Document, report: Report) -> Document:
    text = document.text
    for name in plan.steps_for(document.source):
        step = report.step(f"clean: {name}")
        before, size = text, size_of(text)
        step.enter(size)
        text = CLEANERS[name](before)
        if text != before:
            step.change(document.name, before, text, size - size_of(text))
    return document if text is document.text else replace(document, text=text)


def _passes(document: Document, name: str, keep: Filter, report: Report) -> bool:
    step, size = report.step(name), size_of(document.text)
    step.enter(size)
    verdict = keep(document)
    if verdict is True:
        return True
    if not isinstance(verdict, bool | str):
        raise UserError(f"{name} answered {verdict!r}. A filter answers True (keep), False (drop) or why it drops.")
    step.drop(document.name, document.text, size, verdict or name.removeprefix("filter: "))
    return False

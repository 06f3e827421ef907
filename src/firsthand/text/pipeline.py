"""Documents through cleaning, filters and the removal of duplicates; and `prepare`, which writes what comes out."""

import functools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from firsthand.errors import UserError
from firsthand.parts import PartSpec
from firsthand.text.deduplicate import ExactDuplicates, NearDuplicates
from firsthand.text.pool import ordered_map
from firsthand.text.prepared import Target, Writer, is_prepared, read_split, size_of
from firsthand.text.report import Report, human
from firsthand.text.sources import read
from firsthand.text.split import SPLITS, fitted, split_of
from firsthand.text.work import Kept, Plan, process
from firsthand.types import Document

__all__ = ["Pipeline", "is_prepared", "prepare", "read_split"]

_BATCH_CHARACTERS = 1 << 20
_BATCH_DOCUMENTS = 1024
_FEW = 64


class Pipeline:
    """Cleans, filters and deduplicates a stream of documents, in order, and counts everything in `report`.

    `clean`: names in CLEANERS in order; None for the usual (the source's own steps, then STANDARD), [] for none.
    `filters`: parts in FILTERS or "file.py:Name". `deduplicate`: "none", "exact" or "near" (which includes exact).
    `workers`: processes; None for all cores where that pays, 1 for this one alone. The outcome is the same.
    Raises UserError for an unknown name or argument, and when the library for "near" is missing.
    """

    def __init__(
        self,
        clean: list[str] | None = None,
        filters: Iterable[PartSpec] = (),
        deduplicate: str = "exact",
        workers: int | None = None,
    ) -> None:
        self._plan = Plan.of(clean, list(filters), deduplicate)
        self._workers = workers
        self.report = Report()

    def run(self, documents: Iterable[Document]) -> Iterator[Document]:
        """The documents that come through, as they come; memory stays flat. `report` counts what was run so far."""
        exact, near = ExactDuplicates(), NearDuplicates() if self._plan.deduplicate == "near" else None
        work = functools.partial(process, self._plan)
        for done in ordered_map(work, _batches(documents), self._workers, self.report.notes.append):
            self.report.add(done.report)
            for kept in done.kept:
                if self._plan.deduplicate == "none" or self._is_new(kept, exact, near):
                    self.report.step("kept").enter(size_of(kept.document.text))
                    yield kept.document

    def _is_new(self, kept: Kept, exact: ExactDuplicates, near: NearDuplicates | None) -> bool:
        document, size = kept.document, size_of(kept.document.text)
        step = self.report.step("duplicates: exact")
        step.enter(size)
        if exact.seen(kept.digest):
            step.drop(document.name, document.text, size, "the same text came before")
            return False
        if near is None or kept.signature is None:
            return True
        step = self.report.step("duplicates: near")
        step.enter(size)
        earlier = near.seen(document.name, kept.signature)
        if earlier is not None:
            step.drop(document.name, document.text, size, f"nearly the text of {earlier}")
        return earlier is None


def prepare(
    source: str | list[str],
    out: str | Path,
    *,
    field: str = "text",
    clean: list[str] | None = None,
    filters: Iterable[PartSpec] = (),
    deduplicate: str = "exact",
    validation: float = 0.1,
    test: float = 0.0,
    limit: int | None = None,
    limit_bytes: int | None = None,
    workers: int | None = None,
    zstd: bool = False,
    overwrite: bool = False,
    target: Callable[[Path, list[str], bool], Target] | None = None,
    progress: Callable[[int, int], None] = lambda documents, size: None,
) -> dict[str, Any]:
    """Read `source`, run the pipeline and write the folder `out`: the splits, report.json and report.md.

    `validation` and `test` are shares of the documents, chosen by `split_of`. `limit` and `limit_bytes` stop reading
    after so many documents or bytes. `progress` is told the documents and bytes kept so far. `target` makes what the
    documents are written to, from `out`, the names of the splits and `overwrite`; absent: JSON lines.
    Returns the report.
    Raises UserError (unusable source, settings or folder) and OSError; then nothing is left behind.
    """
    fractions = _fractions(validation, test)
    pipeline = Pipeline(clean, filters, deduplicate, workers)
    started = time.perf_counter()
    names = [split for split in SPLITS if split == "train" or fractions[split] > 0]
    documents = pipeline.run(_limited(read(source, field), limit, limit_bytes))
    with (target or functools.partial(Writer, zstd=zstd))(Path(out), names, overwrite) as writer:
        documents, fractions = _fitted(documents, fractions, pipeline.report.notes)
        counted = _counted(documents, progress)
        writer.write((split_of(document.text, fractions), document) for document in counted)
        _check_splits(writer.splits)
        report = {
            "source": source,
            "settings": {"field": field, "clean": clean, "filters": list(filters), "deduplicate": deduplicate}
            | {"validation": validation, "test": test, "limit": limit, "limit_bytes": limit_bytes},
            "splits": writer.splits,
            **pipeline.report.to_json(),
            "seconds": round(time.perf_counter() - started, 3),
        }
        writer.commit(report, _markdown(report, pipeline.report))
    return report


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    batch: list[Document] = []
    characters = 0
    for document in documents:
        batch.append(document)
        characters += len(document.text)
        if characters >= _BATCH_CHARACTERS or len(batch) == _BATCH_DOCUMENTS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _limited(documents: Iterator[Document], limit: int | None, limit_bytes: int | None) -> Iterator[Document]:
    """The documents before the limits; the one across the limit of bytes is shortened."""
    left = limit_bytes
    for document in islice(documents, limit):
        if left is not None and size_of(document.text) > left:
            text = document.text.encode("utf-8", "surrogatepass")[:left].decode("utf-8", "ignore")
            yield replace(document, text=text)
            return
        if left is not None:
            left -= size_of(document.text)
        yield document


def _fitted(
    documents: Iterator[Document], fractions: dict[str, float], notes: list[str]
) -> tuple[Iterator[Document], dict[str, float]]:
    """The documents, and the fractions; of a handful, such fractions that no split is empty."""
    few = list(islice(documents, _FEW + 1))
    if len(few) > _FEW:
        return chain(few, documents), fractions
    fits = fitted((document.text for document in few), fractions)
    if any(abs(fits[split] - fractions[split]) > 1e-9 for split in fits):
        notes.append(f"With {len(few)} documents the shares could not be kept: no split may be empty.")
    return iter(few), fits


def _fractions(validation: float, test: float) -> dict[str, float]:
    if min(validation, test) < 0 or validation + test >= 1:
        raise UserError(f"--validation {validation} and --test {test} are shares: at least 0, together below 1.")
    return {"validation": validation, "test": test}


def _counted(documents: Iterable[Document], progress: Callable[[int, int], None]) -> Iterator[Document]:
    size = 0
    for count, document in enumerate(documents, start=1):
        size += size_of(document.text)
        yield document
        progress(count, size)


def _check_splits(splits: dict[str, dict[str, Any]]) -> None:
    count = sum(split["documents"] for split in splits.values())
    if not count:
        raise UserError("No document is left: every one was dropped. Relax the filters, or look at the source.")
    empty = [name for name, split in splits.items() if not split["documents"]]
    if empty:
        raise UserError(
            f"No document fell into {' or '.join(empty)}: of {count:,} in all, each goes where its hash says. "
            "Give more documents or other shares (--validation 0 for none). One long text is better trained on "
            "directly, with data.validation=tail:0.1."
        )


def _markdown(report: dict[str, Any], steps: Report) -> str:
    splits = [f"- {k}: {v['documents']:,} documents, {human(v['bytes'])}" for k, v in report["splits"].items()]
    source = report["source"] if isinstance(report["source"], str) else ", ".join(report["source"])
    heading = f"# Prepared text\n\nSource: {source}\n\n" + "\n".join(splits)
    return f"{heading}\n\n{steps.to_markdown()}"

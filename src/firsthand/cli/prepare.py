"""firsthand prepare: text from anywhere, cleaned, filtered, without duplicates, split, with a report."""

import re
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firsthand.cli.output import Json, console, emit
from firsthand.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from firsthand.text.prepared import Target

_UNITS = {"": 0, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}


def prepare(
    source: Annotated[list[str], typer.Argument(help="Names (shakespeare …), files, folders, globs, URLs, hf:NAME.")],
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    field: Annotated[str, typer.Option(help="The field that holds the text in .jsonl and .parquet.")] = "text",
    clean: Annotated[
        str | None, typer.Option(help="Cleaning steps in order, with commas; 'none' for none; absent: the usual.")
    ] = None,
    filters: Annotated[
        str, typer.Option(help="Filters in order: 'gopher', or '{part: words, minimum: 20}, letters'.")
    ] = "",
    deduplicate: Annotated[str, typer.Option(help="none, exact or near.")] = "exact",
    validation: Annotated[float, typer.Option(help="The share of the documents held out for validation.")] = 0.1,
    test: Annotated[float, typer.Option(help="The share of the documents held out for a final test.")] = 0.0,
    limit: Annotated[str | None, typer.Option(help="Read only so many documents (1000) or bytes (10MB).")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; absent: all cores where that pays.")] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="Write token ids, not text: of this run or folder with a tokenizer.json.")
    ] = None,
    compress: Annotated[bool, typer.Option("--zstd", help="Write .jsonl.zst.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what prepare wrote there before.")] = False,
    json: Json = False,
) -> None:
    """Turn raw text into a folder to train on: train, validation and test documents, and a report of every step."""
    from firsthand.text import pipeline

    if tokenizer and compress:
        raise UserError("--zstd is for text; token shards are read where they lie. Leave out one of the two options.")
    documents, size = _limit(limit)
    with _progress() as progress:
        report = pipeline.prepare(
            source if len(source) > 1 else source[0],
            out,
            field=field,
            clean=None if clean is None else [str(name) for name in _list(clean, "--clean")],
            filters=_list(filters, "--filters"),
            deduplicate=deduplicate,
            validation=validation,
            test=test,
            limit=documents,
            limit_bytes=size,
            workers=workers,
            zstd=compress,
            overwrite=overwrite,
            target=_shards(tokenizer, workers) if tokenizer else None,
            progress=progress,
        )
    if json:
        emit({"out": str(out), **report})
    else:
        _show(out, report)


def _shards(tokenizer: str, workers: int | None) -> "Callable[[Path, list[str], bool], Target]":
    """What writes token shards instead of text."""
    from functools import partial

    from firsthand.cli.tokenizer import opened
    from firsthand.experiments.bulk import ShardWriter

    return partial(ShardWriter, opened(tokenizer), workers)


def _list(text: str, option: str) -> list[Any]:
    """`text` as the inside of a YAML list, which is how recipes write it; "none" is the empty list."""
    import yaml

    try:
        return [] if text.strip() in ("", "none") else list(yaml.safe_load(f"[{text}]"))
    except yaml.YAMLError as error:
        raise UserError(
            f"{option} {text!r} is not a list. Write names with commas between them; with arguments: "
            "'{part: words, minimum: 20}, letters'."
        ) from error


def _limit(text: str | None) -> tuple[int | None, int | None]:
    """(documents, bytes), of which one is None."""
    if text is None:
        return None, None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]?B|)", text.strip().upper())
    if not found or not float(found[1]) or (not found[2] and "." in found[1]):
        raise UserError(
            f"--limit {text!r} is no limit. Write a number of documents (1000) or a size (500kB, 10MB, 1GB)."
        )
    if not found[2]:
        return int(found[1]), None
    return None, int(float(found[1]) * _UNITS[found[2]])


@contextmanager
def _progress() -> "Iterator[Callable[[int, int], None]]":
    """One line on standard error, while it lasts and where somebody sees it."""
    terminal = console(json=True)
    if not terminal.is_terminal:
        yield lambda documents, size: None
        return
    start = time.perf_counter()
    with terminal.status("Reading …") as status:

        def show(documents: int, size: int) -> None:
            rate = size / 1e6 / (time.perf_counter() - start)
            status.update(f"{documents:,} documents, {size / 1e6:,.1f} MB kept, {rate:.1f} MB/s")

        yield show


def _show(out: Path, report: dict[str, Any]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from firsthand.text.report import HEADINGS, human, rows

    source = report["source"] if isinstance(report["source"], str) else ", ".join(report["source"])
    table = Table(
        title=f"{source}, prepared in {report['seconds']:.1f} s", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True
    )
    for i, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="right" if i else "left", no_wrap=not i)
    for row in rows(report["steps"]):
        table.add_row(*row)
    terminal = console()
    terminal.print(table)
    for name, split in report["splits"].items():
        made = f", {split['tokens']:,} tokens" if "tokens" in split else ""
        terminal.print(f"{name:>10}: {split['documents']:,} documents, {human(split['bytes'])}{made}")
    for note in report["notes"]:
        terminal.print(note)
    use = f"data.source={out}" + (f" tokenizer={out}" if "tokens" in report["splits"]["train"] else "")
    terminal.print(f"\n{out / 'report.md'} shows examples. Train on it: {use}", soft_wrap=True)

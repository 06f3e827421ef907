"""`firsthand eval`: how good is a model?"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firsthand.cli.output import Json, console, emit
from firsthand.errors import UserError

if TYPE_CHECKING:
    from rich.progress import Progress
    from rich.table import Table

    from firsthand.evaluate.task import Loaded
    from firsthand.experiments.evaluation import Part
    from firsthand.opened import Opened
    from firsthand.types import Document


def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A run, a checkpoint, or a model from elsewhere.")],
    parts: Annotated[
        list[str] | None,
        typer.Argument(help="Parts that the model has from files, named again: model.mixer=my_idea.py:MyMixer."),
    ] = None,
    data: Annotated[str | None, typer.Option(help="Texts: a .txt, .md, .jsonl or .parquet file, a folder, ...")] = None,
    field: Annotated[str, typer.Option(help="The field with the text in .jsonl and .parquet.")] = "text",
    window: Annotated[int | None, typer.Option(help="Tokens read at once. Absent: the model's context.")] = None,
    stride: Annotated[int | None, typer.Option(help="Tokens from window to window. Absent: no overlap.")] = None,
    task: Annotated[list[Path] | None, typer.Option(help="A task's .yaml or .json file. May be repeated.")] = None,
    harness: Annotated[
        str | None, typer.Option(help="Tasks of lm-evaluation-harness: names or .yaml files, with commas.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many documents, or records of a task.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of intervals, draws and limits. Absent: the task's, else 0.")
    ] = None,
    chat: Annotated[bool, typer.Option("--chat", help="Ask by the model's chat template.")] = False,
    allow_code: Annotated[bool, typer.Option("--allow-code", help="Run what the model writes. No sandbox!")] = False,
    device: Annotated[str, typer.Option(help="Where to compute: cpu, cuda, mps.")] = "cpu",
    precision: Annotated[str, typer.Option(help="fp32; bf16; auto: bf16 for large models.")] = "fp32",
    out: Annotated[Path | None, typer.Option(help="A folder for results.json and all samples.")] = None,
    json: Json = False,
) -> None:
    """Perplexity, multiple choice and written answers, with 95 % intervals."""
    from firsthand.evaluate.task import load
    from firsthand.generate.packed import check_precision, choose
    from firsthand.opened import open_model

    if not (data or task or harness):
        raise UserError("Nothing to evaluate on: give --data FILE, --task FILE or --harness TASKS.")
    check_precision(precision)
    tasks = [load(path, limit, seed) for path in task or []]  # before the model, which takes longer
    _different([each.task.name for each in tasks])
    documents = _documents(data, field, limit) if data else []
    opened = open_model(model, device, parts or [])
    if chat and opened.chat is None:
        raise UserError(f"{model} has no chat template: it only continues texts. Leave out --chat.")
    settings: dict[str, Any] = {"precision": choose(precision, opened.model), "chat": chat, "allow_code": allow_code}
    found: list[Part] = []
    with _progress() as bar:
        done = _texts(opened, documents, window, stride, settings, seed or 0, bar, found) if documents else True
        done = done and _tasks(opened, tasks, settings, bar, found)
        done = done and _harness(opened, harness, limit, seed or 0, settings, bar, found)
    if not found:
        raise KeyboardInterrupt
    _report(found, {"model": model, "seed": seed or 0, **settings, "complete": done}, out, json)
    if not done:
        raise typer.Exit(130)


def _documents(data: str, field: str, limit: int | None) -> "list[Document]":
    from itertools import islice

    from firsthand.text.sources import read

    return list(islice(read(data, field), limit))


def _different(names: list[str]) -> None:
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UserError(f"Two tasks are called {twice[0]!r}. Give each file a `name` of its own.")


@contextmanager
def _progress() -> "Iterator[Progress]":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(json=True), transient=True) as bar:
        yield bar


def _texts(
    opened: "Opened",
    documents: "list[Document]",
    window: int | None,
    stride: int | None,
    settings: dict[str, Any],
    seed: int,
    bar: "Progress",
    found: "list[Part]",
) -> bool:
    from firsthand.experiments.evaluation import judge_texts

    row = bar.add_task("texts", total=None)
    part = judge_texts(
        opened,
        documents,
        window,
        stride,
        settings["precision"],
        seed,
        lambda windows: bar.advance(row, windows),
        lambda windows: bar.update(row, total=windows),
    )
    found.append(part)
    return part.complete


def _tasks(
    opened: "Opened", tasks: "list[Loaded]", settings: dict[str, Any], bar: "Progress", found: "list[Part]"
) -> bool:
    from firsthand.evaluate.ask import Asked
    from firsthand.experiments.evaluation import judge_task
    from firsthand.generate.packed import pack

    precision = settings["precision"]
    writes = any(each.task.kind != "choice" for each in tasks)
    writer = pack(opened.model, precision) if writes else opened.model
    chat = opened.chat if settings["chat"] else None
    asked = Asked(opened.model, writer, opened.tokenizer, chat, precision, settings["allow_code"])
    for each in tasks:
        row = bar.add_task(each.task.name, total=len(each.items))
        try:
            part = judge_task(each, asked, lambda samples, row=row: bar.advance(row, samples))  # type: ignore[misc]
        except KeyboardInterrupt:
            return False
        found.append(part)
        if not part.complete:
            return False
    return True


def _harness(
    opened: "Opened",
    names: str | None,
    limit: int | None,
    seed: int,
    settings: dict[str, Any],
    bar: "Progress",
    found: "list[Part]",
) -> bool:
    if not names:
        return True
    from firsthand.evaluate.harness import Adapter
    from firsthand.experiments.evaluation import judge_harness

    row = bar.add_task("lm-evaluation-harness", total=None)
    chat = opened.chat if settings["chat"] else None
    adapter = Adapter(
        opened.model, opened.tokenizer, chat, settings["precision"], lambda asked: bar.advance(row, asked)
    )
    tasks = [name.strip() for name in names.split(",") if name.strip()]
    try:
        found += judge_harness(adapter, tasks, limit=limit, seed=seed, allow_code=settings["allow_code"])
    except KeyboardInterrupt:
        return False
    return True


def _report(found: "list[Part]", facts: dict[str, Any], out: Path | None, json: bool) -> None:
    from firsthand.evaluate.log import write_results, write_samples

    results: dict[str, Any] = dict(facts)
    for part in found:
        if part.kind == "texts":
            results |= part.to_json() | {"complete": facts["complete"]}
        else:
            results.setdefault(part.kind, {})[part.name] = part.to_json()
    if out is not None:
        files = [write_samples(out, part.label, part.samples) for part in found]
        results["files"] = [str(path) for path in [out / "results.json", *files]]
        write_results(out, results)
    if json:
        emit(results)
        return
    console().print(_table(found))
    if not facts["complete"]:
        console().print("Interrupted: the figures are of what was done until then.", style="yellow")
    for path in results.get("files", []):
        console().print(f"wrote {path}", markup=False, soft_wrap=True)


def _table(found: "list[Part]") -> "Table":
    from rich.table import Table

    grid = Table("", "figure", "value", "95 % interval", "standard error", "samples", box=None, header_style="bold")
    for part in found:
        for number, (name, figure) in enumerate(part.figures.items()):
            between = "" if figure.low is None else f"{figure.low:.4g} to {figure.high:.4g}"
            error = "" if figure.standard_error is None else f"{figure.standard_error:.2g}"
            count = f"{len(part.samples):,}" + ("" if part.complete else f" of {part.of:,}")
            title = "" if number else part.name
            grid.add_row(title, name.replace("_", " "), f"{figure.value:.4g}", between, error, "" if number else count)
    return grid

"""firsthand data: a look at records before anything is trained on them, and what a teacher makes of texts."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from firsthand.cli import lecture
from firsthand.cli.output import Json, console, emit

if TYPE_CHECKING:
    from rich.text import Text

    from firsthand.experiments.records import Look, Shown
    from firsthand.tokens.chat import ChatTemplate

app = typer.Typer(help="Look at records for tuning; let a teacher prepare texts.", no_args_is_help=True)
app.command()(lecture.teach)
app.command()(lecture.write)

LEARNT, READ, MARK = "bold green", "default", "dim"


@app.callback()
def data() -> None:
    """Look at records for tuning; let a teacher prepare texts."""


@app.command()
def show(
    source: Annotated[list[str], typer.Argument(help="Names (dialogues …), files, folders, globs, hf:NAME.")],
    model: Annotated[
        str | None, typer.Option(help="The model to tune: its tokenizer and template. Absent: ChatML over bytes.")
    ] = None,
    mask: Annotated[
        bool, typer.Option("--mask", help="Show records as the model reads them, what is learnt marked.")
    ] = False,
    limit: Annotated[int, typer.Option(min=0, help="How many records to show.")] = 3,
    row_tokens: Annotated[
        int | None, typer.Option(min=1, help="Tokens of a row, data.row_tokens. Absent: what the model can read.")
    ] = None,
    json: Json = False,
) -> None:
    """Say what the records are, how long, and what is wrong with which; with --mask, which tokens are learnt."""
    from firsthand.experiments.records import look

    found = look(source if len(source) > 1 else source[0], model, limit if mask or json else 0, row_tokens)
    if json:
        emit(found.summary | {"records": [_record(one, found.template) for one in found.shown]})
        return
    terminal = console()
    if mask:
        terminal.print(_legend(terminal.color_system is not None))
        for one in found.shown:
            terminal.print(_heading(one), style="dim")
            terminal.print(_masked(one, found.template, terminal.color_system is not None), soft_wrap=True)
    else:
        _table(found)
    for complaint in found.summary["bad"]:
        terminal.print(f"bad row: {complaint}", soft_wrap=True, markup=False)


def _record(one: "Shown", template: "ChatTemplate") -> dict[str, Any]:
    from firsthand.tokens import decode_on

    tokens = [decode_on(template.tokenizer, [id]) for id in one.encoded.ids]
    return {
        "where": one.row.where,
        "layout": one.row.layout,
        "cut": one.cut,
        "ids": one.encoded.ids,
        "learn": one.encoded.learn,
        "tokens": tokens,
    }


def _legend(colours: bool) -> "Text":
    from rich.text import Text

    if not colours:
        return Text("«learnt»  read only  <|mark|>")
    return Text.assemble(("learnt", LEARNT), "  ", ("read only", READ), "  ", ("<|mark|>", MARK))


def _heading(one: "Shown") -> "Text":
    from rich.text import Text

    cut = {"turns": ", without its oldest turns", "prompt": ", without the beginning of its prompt"}.get(one.cut, "")
    counts = f"{len(one.encoded.ids)} tokens, {sum(one.encoded.learn)} learnt"
    return Text(f"\n── {one.row.where} ({one.row.layout}): {counts}{cut}")


def _masked(one: "Shown", template: "ChatTemplate", colours: bool) -> "Text":
    """The record token by token; neighbours that are alike are decoded together, so that characters stay whole."""
    from itertools import groupby

    from rich.text import Text

    from firsthand.generate.stream import printable
    from firsthand.tokens import decode_on

    special = set(template.tokenizer.special_tokens.values())
    pairs = zip(one.encoded.ids, one.encoded.learn, strict=True)
    text = Text()
    for (learnt, is_mark), group in groupby(pairs, lambda pair: (pair[1], pair[0] in special)):
        part = printable(decode_on(template.tokenizer, [id for id, _ in group]))
        if not colours:
            part = f"«{part}»" if learnt else part
        text.append(part, style=(LEARNT if learnt else READ) if not is_mark else f"{MARK} green" if learnt else MARK)
    return text


def _table(found: "Look") -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    summary = found.summary
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _facts(summary):
        table.add_row(name, value)
    console().print(table)


def _facts(summary: dict[str, Any]) -> list[tuple[str, str]]:
    def counts(name: str) -> str:
        return ", ".join(f"{key} {n:,}" for key, n in summary[name].items())

    facts = [
        (
            "rows",
            f"{summary['rows']:,}, of which {summary['duplicates']:,} came before and {summary['skipped']:,} are bad",
        ),
        ("layout", counts("layouts")),
        ("records", counts("kinds")),
    ]
    if summary["labels"]:
        facts.append(("labels", counts("labels")))
    if summary["tokens"]:
        facts += [
            (
                "tokens",
                f"{summary['tokens']:,}, of which {summary['learnt_tokens'] / summary['tokens']:.0%} are learnt",
            ),
            (
                "a record",
                f"{summary['median_tokens']:,} tokens in the middle, 95 % up to {summary['p95_tokens']:,}, "
                f"the longest {summary['longest_tokens']:,}",
            ),
            (
                "packed",
                f"{summary['packed_rows']:,} rows of {summary['row_tokens']:,}; {summary['padding']:.1%} padding",
            ),
        ]
    if summary["cut"]:
        facts.append(("too long", counts("cut")))
    return facts

"""firsthand tokenizer: train one, look at what it makes of a text, set several side by side."""

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firsthand.cli.output import Json, console, emit
from firsthand.errors import UserError, suggest

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from firsthand.tokens import TableTokenizer
    from firsthand.types import Document

app = typer.Typer(help="Train a tokenizer, see its tokens, compare kinds.", no_args_is_help=True)

COLOURS = ("black on bright_cyan", "black on bright_yellow", "black on bright_green", "black on bright_magenta")
_SIGNS = str.maketrans({"\n": "↵", "\t": "→"})


@app.command()
def train(
    source: Annotated[str, typer.Argument(help="A name (shakespeare, python …), file, folder, glob or URL.")],
    out: Annotated[Path, typer.Option(help="The folder that tokenizer.json is written to.")],
    kind: Annotated[str, typer.Option(help="char, byte, word, bpe or wordpiece.")] = "bpe",
    vocab_size: Annotated[
        int | None, typer.Option(min=1, help="All tokens, special ones too; absent: at most 8192.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="How bpe cuts text: gpt2 (the default), cl100k, o200k or tekken.")
    ] = None,
    special: Annotated[
        list[str] | None, typer.Option(help="A special token besides <|endoftext|>; may be repeated.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the tokenizer that lies there.")] = False,
    json: Json = False,
) -> None:
    """Train a tokenizer on text and write tokenizer.json, which Hugging Face's tokenizers reads too."""
    from firsthand.tokens import END_OF_TEXT, fingerprint

    if (out / "tokenizer.json").exists() and not overwrite:
        raise UserError(f"{out} holds a tokenizer already. Name another folder, or replace it with --overwrite.")
    arguments: dict[str, Any] = {"split": split} if split else {}
    if split and kind != "bpe":
        raise UserError(f"--split is for bpe; {kind} cuts text in its own way. Leave it out.")
    start = time.perf_counter()
    sizes: list[int] = []
    texts = _counted(_documents(source), sizes)
    trained = _kind(kind).train(texts, vocab_size, special_tokens=(END_OF_TEXT, *(special or [])), **arguments)
    size = sum(sizes)
    seconds = time.perf_counter() - start
    trained.save(out)
    report = {
        "out": str(out),
        "kind": kind,
        "vocab_size": trained.vocab_size,
        "special_tokens": trained.special_tokens,
        "fingerprint": fingerprint(trained),
        "bytes": size,
        "seconds": seconds,
    }
    if json:
        emit(report)
        return
    console().print(
        f"{kind}: {trained.vocab_size:,} tokens from {size / 1e6:.1f} MB in {seconds:.1f} s, written to {out}\n"
        f'See it: firsthand tokenizer encode {out} "To be, or not to be"',
        markup=False,
        soft_wrap=True,
    )


def _counted(documents: Iterable["Document"], sizes: list[int]) -> Iterator[str]:
    """The texts; the number of bytes of each is added to `sizes` as it passes."""
    for document in documents:
        sizes.append(len(document.text.encode(errors="replace")))
        yield document.text


@app.command()
def encode(
    tokenizer: Annotated[str, typer.Argument(help="A folder with tokenizer.json, that file, or a run.")],
    text: Annotated[str, typer.Argument(help="The text; - reads standard input.")] = "-",
    json: Json = False,
) -> None:
    """Show the tokens of a text in colours, each with its id."""
    from firsthand.tokens import decode_on
    from firsthand.tokens.base import to_bytes

    found = opened(tokenizer)
    text = sys.stdin.buffer.read().decode(errors="surrogateescape") if text == "-" else text
    raw = to_bytes(found.before(text) + text)
    ids = found.encode(text)
    if json:
        tokens = [decode_on(found, [id]) for id in ids]
        emit({"kind": found.kind, "ids": ids, "tokens": tokens, "round_trip": found.decode_bytes(ids) == raw})
        return
    size = len(to_bytes(text))
    console().print(_coloured(found, ids, numbers=True))
    console().print(f"\n{len(ids):,} tokens for {size:,} bytes: {size / max(len(ids), 1):.2f} bytes per token")


@app.command()
def compare(
    tokenizers: Annotated[
        list[str] | None, typer.Argument(help="Folders, runs, or kinds to train now; absent: all five kinds.")
    ] = None,
    source: Annotated[str, typer.Option(help="The text: a name, file, folder, glob or URL.")] = "shakespeare",
    vocab_size: Annotated[int, typer.Option(min=1, help="For word, bpe and wordpiece trained now, at most.")] = 2048,
    megabytes: Annotated[float, typer.Option(min=0.001, help="How much text is read.")] = 2.0,
    json: Json = False,
) -> None:
    """Set tokenizers side by side on text held out from training: size, speed, what is lost, coloured tokens."""
    from firsthand.text.split import holdout
    from firsthand.tokens import TOKENIZERS
    from firsthand.tokens.compare import measure

    documents = list(_first(_documents(source), int(megabytes * 1e6)))
    learn, held = holdout(documents, "tail:0.1")
    texts = [document.text for document in held]
    made: dict[str, TableTokenizer] = {}
    for name in tokenizers or list(TOKENIZERS):
        made[name] = _at_most(name, learn, vocab_size) if name in TOKENIZERS else opened(name)
    figures = {name: measure(tokenizer, texts) for name, tokenizer in made.items()}
    if json:
        emit({"source": source, "held_out_bytes": sum(len(text.encode()) for text in texts), "tokenizers": figures})
    else:
        _show(figures, made, texts[0][:160])


def _documents(source: str) -> "Iterable[Document]":
    """The cleaned documents that a training run would read."""
    from firsthand.text.pipeline import Pipeline
    from firsthand.text.sources import read

    return Pipeline().run(read(source))


def _at_most(kind: str, documents: "Sequence[Document]", vocab_size: int) -> "TableTokenizer":
    """One of `vocab_size` tokens, or of as many as the documents support or the kind always has."""
    texts = [document.text for document in documents]
    if kind in ("char", "byte"):
        return _kind(kind).train(texts)
    try:
        return _kind(kind).train(texts, vocab_size)
    except UserError:
        return _kind(kind).train(texts)


def _first(documents: "Iterable[Document]", limit: int) -> "Iterator[Document]":
    """Documents up to `limit` characters, the last one cut."""
    from dataclasses import replace

    for document in documents:
        if limit <= 0:
            return
        yield replace(document, text=document.text[:limit])
        limit -= len(document.text)


def _kind(name: str) -> "type[TableTokenizer]":
    from firsthand.tokens import TOKENIZERS

    if name not in TOKENIZERS:
        raise UserError(f"There is no kind of tokenizer called {name!r}. {suggest(name, TOKENIZERS)}")
    return TOKENIZERS[name]


def opened(name: str) -> "TableTokenizer":
    """The tokenizer in a folder, a file, or a run's newest checkpoint."""
    from firsthand.tokens import load

    path = Path(name)
    kept = sorted(path.glob("checkpoints/*/tokenizer.json"))
    return load(kept[-1] if kept and not (path / "tokenizer.json").is_file() else path)


def _coloured(tokenizer: "TableTokenizer", ids: list[int], numbers: bool = False) -> "Text":
    """The tokens one after another in changing colours; where there are none, with a bar between."""
    from rich.text import Text

    bar = "" if console().color_system else "|"
    drawn = Text(overflow="fold")
    for place, id in enumerate(ids):
        token = tokenizer.decode_bytes([id])
        drawn.append(_visible(token), COLOURS[place % len(COLOURS)])
        drawn.append(f"{id} " if numbers else bar, "dim")
        if token.endswith(b"\n"):
            drawn.append("\n")
    return drawn


def _visible(token: bytes) -> str:
    """A token's text with nothing in it that moves or commands the terminal; bytes of a cut character as \\xNN."""
    text = token.decode(errors="backslashreplace").translate(_SIGNS)
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _show(figures: dict[str, dict[str, Any]], made: "dict[str, TableTokenizer]", sample: str) -> None:
    from rich.text import Text

    terminal = console()
    terminal.print(Text("On text held out from training", "bold"))
    headings = ("", "tokens", "bytes/token", "unknown", "comes back", "MB/s new", "again")
    rows = [
        (
            name,
            f"{row['vocab_size']:,}",
            f"{row['bytes_per_token']:.2f}",
            f"{row['unknown']:.2%}" if row["unknown"] else "none",
            "not all" if not row["round_trip"] else "this text" if row["lost"] else "any text",
            f"{row['cold']:.1f}",
            f"{row['warm']:.1f}",
        )
        for name, row in figures.items()
    ]
    terminal.print(_table(headings, rows))
    terminal.print(Text("\nTokens per word, or per character in Thai, Han, Kana, emoji (?: not given back)", "bold"))
    scripts = [
        (
            script,
            *(f"{row['fertility'][script]:.1f}{'?' if script in row['lost'] else ' '}" for row in figures.values()),
        )
        for script in next(iter(figures.values()))["fertility"]
    ]
    terminal.print(_table(("", *figures), scripts))
    for name, tokenizer in made.items():
        terminal.print(Text(f"\n{name}", "bold"))
        terminal.print(_coloured(tokenizer, tokenizer.encode(sample)))


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for place, heading in enumerate(headings):
        table.add_column(Text(heading), justify="right" if place else "left")
    for row in rows:
        table.add_row(*map(Text, row))
    return table

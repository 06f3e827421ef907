"""`firsthand classify`: a model that has learnt classes names that of a text."""

import sys
from typing import Annotated

import typer

from firsthand.cli.output import Json, emit


def classify(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run with data.kind=labels, or one of its checkpoints.")],
    text: Annotated[
        list[str] | None, typer.Option(help="The text; - reads standard input, a text a line. May be repeated.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where to compute: cpu, cuda, mps.")] = "cpu",
    json: Json = False,
) -> None:
    """Name the class of each text, with its probability."""
    from firsthand.adapt.classify import classify as ask
    from firsthand.errors import UserError
    from firsthand.generate.stream import printable
    from firsthand.opened import open_model

    texts = [line for one in text or [] for line in (_lines() if one == "-" else [one])]
    if not texts:
        raise UserError('There is no text to classify. Give --text "…", or --text - and texts on standard input.')
    opened = open_model(run, device)
    if not opened.labels:
        raise UserError(f"{run} writes text and knows no classes. Train one that does with data.kind=labels.")
    found = ask(opened.model, opened.tokenizer, opened.labels, texts, opened.row_tokens or opened.model.context_length)
    if json:
        emit(
            [
                {"text": one, "label": next(iter(row)), "probabilities": row}
                for one, row in zip(texts, found, strict=True)
            ]
        )
        return
    for one, row in zip(texts, found, strict=True):
        label, chance = next(iter(row.items()))
        shown = one if len(one) <= 60 else one[:59] + "…"
        sys.stdout.write(printable(f"{label}\t{chance:.3f}\t{' '.join(shown.split())}\n"))


def _lines() -> list[str]:
    """The texts on standard input; empty lines are none."""
    text = sys.stdin.buffer.read().decode("utf-8", "replace")
    return [line for line in text.splitlines() if line.strip()]

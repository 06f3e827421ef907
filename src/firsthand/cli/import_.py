"""`firsthand import`: a model from elsewhere becomes a checkpoint of ours."""

from pathlib import Path
from typing import Annotated

import typer

from firsthand.cli.output import Json, console, emit


def import_(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A Hugging Face folder, a GGUF file, or org/name on the hub.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="The folder to make; it must not exist yet. Absent: runs/NAME.")
    ] = None,
    hub: Annotated[
        str | None, typer.Option(help="The hub's address. Absent: HF_ENDPOINT in the environment, or huggingface.co.")
    ] = None,
    json: Json = False,
) -> None:
    """Make a checkpoint of ours from a model that was trained elsewhere: train, generate and chat take it.

    They take SOURCE itself too, if it is on this machine. Nothing in it is ever run.
    """
    from firsthand.experiments.convert import convert

    report = convert(source, out, hub)
    if json:
        emit(report)
        return
    out = report["out"]
    chat = "with a chat template" if report["chat"] else "without a chat template"
    console().print(
        f"{out}: {report['parameters']:,} parameters in {report['n_layers']} layers, a vocabulary of "
        f"{report['vocab_size']:,}, {report['context_length']:,} tokens of context, {chat}."
    )
    console().print(f'Try: firsthand generate {out} --prompt "Once"')

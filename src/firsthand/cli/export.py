"""`firsthand export`: a model of ours for other programs."""

from pathlib import Path
from typing import Annotated

import typer

from firsthand.cli.output import Json, console, emit


def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, a checkpoint, or a model from elsewhere.")],
    out: Annotated[Path, typer.Option(help="Where to write; it must not exist yet.")],
    format: Annotated[str, typer.Option(help="hf: a Hugging Face folder; gguf: a file for llama.cpp.")] = "hf",
    dtype: Annotated[
        str | None, typer.Option(help="What the weights are stored in. Absent: the format's usual.")
    ] = None,
    json: Json = False,
) -> None:
    """Write a model in a format that other programs read. What the format cannot express is refused, by name."""
    from firsthand.errors import UserError, suggest
    from firsthand.interop import EXPORTS, Imported
    from firsthand.opened import open_model

    if format not in EXPORTS:
        raise UserError(f"There is no format {format!r}. {suggest(format, EXPORTS)}")
    chosen = EXPORTS[format]
    dtype = dtype or chosen.dtypes[0]
    if dtype not in chosen.dtypes:
        raise UserError(f"{format} has no dtype {dtype!r}. {suggest(dtype, chosen.dtypes)}")
    if out.exists():
        raise UserError(f"{out} is there already. Give another --out, or move it away.")
    opened = open_model(run)
    weights = {name: parameter.detach() for name, parameter in opened.model.named_parameters()}
    model = Imported(opened.fields, opened.vocab_size, weights, opened.tokenizer, opened.chat)
    written = chosen.write(model, out, dtype)
    sizes = {str(path): path.stat().st_size for path in written}
    if json:
        emit({"out": str(out), "format": format, "dtype": dtype, "files": sizes})
        return
    for name, size in sizes.items():
        console().print(f"{name}  {size:,} bytes")
    console().print(f"{out} is {chosen.what}, weights in {dtype}.")

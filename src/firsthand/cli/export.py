"""`firsthand export`: a model of ours for other programs."""

from pathlib import Path
from typing import Annotated

import typer

from firsthand.cli.output import Json, console, emit


def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, a checkpoint, or a model from elsewhere.")],
    out: Annotated[Path, typer.Option(help="Where to write; it must not exist yet.")],
    format: Annotated[
        str,
        typer.Option(
            help="hf: a Hugging Face folder; gguf: a file for llama.cpp; peft: the adapter alone; firsthand: a run "
            "that needs no base."
        ),
    ] = "hf",
    dtype: Annotated[
        str | None, typer.Option(help="What the weights are stored in. Absent: the format's usual.")
    ] = None,
    json: Json = False,
) -> None:
    """Write a model in a format that other programs read. What the format cannot express is refused, by name."""
    from firsthand.errors import UserError, suggest
    from firsthand.experiments.handing_over import OURS
    from firsthand.interop import EXPORTS
    from firsthand.opened import find

    if format not in {*EXPORTS, *OURS}:
        raise UserError(f"There is no format {format!r}. {suggest(format, {*EXPORTS, *OURS})}")
    dtypes = EXPORTS[format].dtypes if format in EXPORTS else ("fp32",)
    dtype = dtype or dtypes[0]
    if dtype not in dtypes:
        raise UserError(f"{format} has no dtype {dtype!r}. {suggest(dtype, dtypes)}")
    if out.exists():
        raise UserError(f"{out} is there already. Give another --out, or move it away.")
    if format in EXPORTS:
        written, what = EXPORTS[format].write(find(run), out, dtype), EXPORTS[format].what
    else:
        write, what = OURS[format]
        written = write(run, out)
    sizes = {str(path): path.stat().st_size for path in written}
    if json:
        emit({"out": str(out), "format": format, "dtype": dtype, "files": sizes})
        return
    for name, size in sizes.items():
        console().print(f"{name}  {size:,} bytes")
    console().print(f"{out} is {what}, weights in {dtype}.")

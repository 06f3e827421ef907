"""firsthand growth: what each mixer costs as the context grows."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firsthand.cli.output import Json, console, emit
from firsthand.errors import UserError

if TYPE_CHECKING:
    from firsthand.experiments.growth import Cost


def growth(
    mixers: Annotated[
        list[str] | None, typer.Argument(help="names, or specs such as '{part: attention, window: 256}'; default: all")
    ] = None,
    lengths: Annotated[str, typer.Option(help="64..16384 (doubling), or a list: 100,1000,5000")] = "64..16384",
    d_model: Annotated[int, typer.Option(min=1)] = 256,
    n_heads: Annotated[int, typer.Option(min=1)] = 4,
    seconds: Annotated[float, typer.Option(min=0, help="Leave out steps that would take longer.")] = 10.0,
    rounds: Annotated[int, typer.Option(min=1, help="Measurements of each; the best counts.")] = 3,
    threads: Annotated[int | None, typer.Option(min=1)] = None,
    out: Annotated[Path, typer.Option(help="Where the page, the figures and the picture go.")] = Path("runs/growth"),
    json: Json = False,
) -> None:
    """Time and memory of a training step and of a decode step against the context length, mixer by mixer."""
    import yaml

    from firsthand.experiments.growth import Sizes
    from firsthand.experiments.growth import growth as measure
    from firsthand.experiments.growth_page import write_page
    from firsthand.model.mixers import MIXERS
    from firsthand.train import host

    host.use_threads(threads)
    specs = {word: yaml.safe_load(word) for word in mixers or MIXERS}
    terminal = console(json)
    costs = measure(
        specs,
        doubling(lengths),
        Sizes(d_model, n_heads),
        seconds,
        rounds,
        lambda cost: terminal.print(_line(cost), soft_wrap=True),
    )
    command = shlex.join(["firsthand", *sys.argv[1:]])
    files = write_page(out, costs, {"d_model": d_model, "n_heads": n_heads}, command)
    if json:
        emit({"costs": [vars(cost) for cost in costs], "files": [str(path) for path in files]})
    else:
        terminal.print("\n".join(f"wrote {path}" for path in files), markup=False)


def doubling(text: str) -> list[int]:
    """64..1024 as 64, 128 … 1024 (the end always included); or the numbers of a list."""
    try:
        if ".." in text:
            first, last = (int(part) for part in text.split(".."))
            found = [first]
            while 0 < found[-1] < last:
                found.append(min(2 * found[-1], last))
        else:
            found = [int(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"--lengths {text!r} is neither a range such as 64..16384 nor a list such as 64,256.") from None
    return found


def _line(cost: "Cost") -> str:
    def shown(value: float | int | None, scale: float, unit: str) -> str:
        return f"{'-':>9} {unit}" if value is None else f"{value * scale:9.2f} {unit}"

    columns: list[Any] = [
        shown(cost.train_seconds, 1e3, "ms"),
        shown(cost.train_bytes, 1e-6, "MB"),
        shown(cost.decode_seconds, 1e6, "µs a token"),
    ]
    return f"{cost.length:>7,}  {cost.mixer:<24} " + "  ".join(columns)

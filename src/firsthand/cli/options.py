"""Options that several commands share, each with its help."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from firsthand.generate.sampling import Sampling

Parts = Annotated[
    list[str] | None,
    typer.Argument(help="Parts that the model has from files, named again: model.mixer=my_idea.py:MyMixer."),
]
Temperature = Annotated[float, typer.Option(help="0: always the most probable token; 1: as the model thinks.")]
TopK = Annotated[int | None, typer.Option(help="Only the k most probable tokens.")]
TopP = Annotated[float | None, typer.Option(help="Only the most probable tokens that together reach p.")]
MinP = Annotated[float | None, typer.Option(help="Only tokens at least so probable, relative to the best.")]
RepetitionPenalty = Annotated[float, typer.Option(help="Above 1: tokens seen before become less probable.")]
Stop = Annotated[list[str] | None, typer.Option(help="End before this text. May be repeated.")]
Seed = Annotated[int | None, typer.Option(help="The same seed gives the same text. Absent: another each time.")]
Device = Annotated[str, typer.Option(help="Where to compute: cpu, cuda, mps.")]
Precision = Annotated[str, typer.Option(help="fp32; bf16: twice as fast for large models; auto: bf16 for these.")]
Engine = Annotated[str, typer.Option(help="native: compiled steps; torch; auto: native where it can be.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads. Absent: what a short trial likes best.")]


def check_options(max_tokens: int, sampling: "Sampling", precision: str, engine: str, threads: int | None) -> None:
    """UserError for one of them that is out of its range, before the model is loaded."""
    from firsthand.generate.packed import check_engine, check_precision
    from firsthand.generate.sampling import check
    from firsthand.generate.threads import check_threads

    check(max_tokens=max_tokens, **sampling)
    check_precision(precision)
    check_engine(engine)
    check_threads(threads)

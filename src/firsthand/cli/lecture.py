"""firsthand data teach and firsthand data write: what a teacher leaves for its students."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from firsthand.cli.output import Json, console, emit
from firsthand.cli.train import find_recipe

Text = Annotated[str, typer.Argument(metavar="RUN-OR-RECIPE", help="Whose training text: a run, or a recipe.")]
Settings = Annotated[list[str] | None, typer.Argument(help="Overrides of the recipe: data.source=my.txt ...")]
TeacherModel = Annotated[str, typer.Option(help="The model that is asked: a run, a folder, a GGUF file, a name.")]


def teach(
    text: Text,
    settings: Settings = None,
    teacher: TeacherModel = "runs/demo",
    out: Annotated[Path, typer.Option(help="The folder, for train.objective.logits.")] = Path("runs/taught"),
    top_k: Annotated[int, typer.Option(min=1, help="So many likeliest next words are kept of each place.")] = 32,
    temperature: Annotated[float, typer.Option(min=0.01, help="The temperature of train.objective.")] = 1.0,
    json: Json = False,
) -> None:
    """Write what a teacher says of every token of a training text, so that students need not ask it again."""
    from firsthand.experiments.lecture import teach as write_down

    told = write_down(_place(text), settings or [], teacher, out, top_k, temperature, *_says(json))
    if json:
        emit(told)
        return
    console().print(
        f"{told['tokens']:,} tokens, the {told['top_k']} likeliest words of each (with {told['covered']:.1%} of the "
        f"probability): {told['bytes'] / 1e6:.0f} MB, {told['seconds']:.0f} s. Train with train.objective.logits={out}",
        markup=False,
        soft_wrap=True,
    )


def write(
    text: Text,
    settings: Settings = None,
    teacher: TeacherModel = "runs/demo",
    out: Annotated[Path, typer.Option(help="The JSON lines, for data.source.")] = Path("runs/written.jsonl"),
    texts: Annotated[int, typer.Option(min=1, help="How many texts.")] = 1000,
    prompt_tokens: Annotated[int, typer.Option(min=1, help="Tokens of the training text that each begins with.")] = 32,
    max_tokens: Annotated[int, typer.Option(min=1, help="Tokens that are written after these.")] = 256,
    temperature: Annotated[float, typer.Option(min=0.0, help="0: always the likeliest word.")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the order of the beginnings, and of what is drawn.")] = 0,
    json: Json = False,
) -> None:
    """Let a teacher write the texts that students learn from."""
    from firsthand.experiments.lecture import write as write_down

    lengths = (prompt_tokens, max_tokens)
    told = write_down(_place(text), settings or [], teacher, out, texts, lengths, temperature, seed, *_says(json))
    if json:
        emit(told)
    else:
        console().print(f"{told['texts']:,} texts in {told['seconds']:.0f} s: data.source={out}", markup=False)


def _place(text: str) -> Path:
    return Path(text) if Path(text).is_dir() else find_recipe(text)


def _says(json: bool) -> tuple[Callable[[str], None], Callable[[float], None]]:
    """What is told on the way: notes, and every tenth that is done."""
    terminal, tenths = console(json), [0]

    def note(line: str) -> None:
        terminal.print(line, markup=False, soft_wrap=True)

    def done(share: float) -> None:
        if int(share * 10) > tenths[0]:
            tenths[0] = int(share * 10)
            terminal.print(f"{tenths[0] * 10} % done", markup=False)

    return note, done

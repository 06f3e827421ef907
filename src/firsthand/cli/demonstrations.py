"""What `firsthand demo` shows of fine-tuning, as tables."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from firsthand.cli.output import console, emit
from firsthand.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table

    from firsthand.config import Config

NAMES = ("classes", "instructions", "dialogue")
GENERAL = 30_000
"""Characters of a held-out play on which forgetting is measured."""

HEADS = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "positive_f1": "F1 of the rarer class",
    "expected_calibration_error": "calibration error",
    "answer_loss": "nats/token of answers",
    "exact_match": "short answers right",
    "general_bits_per_byte": "bits/byte of a play",
    "seconds": "seconds",
}


def demonstrate(
    what: str,
    recipe: "Config",
    out: Path,
    data: str | None,
    models: list[str],
    seeds: int,
    epochs: float | None,
    json: bool,
) -> None:
    """Run the demonstration `what` and show its table. `recipe`: of our own GPT, for when it is not there."""
    from firsthand.experiments.demonstrations.contestants import OWN, Contestant, pretrained
    from firsthand.experiments.display import Display

    if what == "dialogue" and (data or models):
        raise UserError("Our own GPT speaks as the plays' characters: leave out --data and --model.")
    more = [f"train.epochs={epochs}"] if epochs else []
    with Display(title=f"demo {what}", json=json) as display:
        own = pretrained(recipe, display)
        if what == "classes":
            from firsthand.experiments.demonstrations.classes import FULL, LORA, run_classes

            contestants = [Contestant(OWN, own, FULL), *(Contestant(f"{name} + LoRA", name, LORA) for name in models)]
            outcome = run_classes(data or "genres", contestants, seeds, out, display, more)
        else:
            from firsthand.experiments.demonstrations.answers import FULL, LORA, run_answers

            contestants = [Contestant(OWN, own, FULL), *(Contestant(f"{name} + LoRA", name, LORA) for name in models)]
            source = data or ("shakespeare" if what == "dialogue" else "dialogues")
            outcome = run_answers(source, contestants, _general(Path(own)), seeds, out, display, more)
    if json:
        emit(outcome)
        return
    terminal = console()
    terminal.print(_table(outcome))
    terminal.print(f"All of it lies in {out}: report.json, a folder for each run.", markup=False)


def _general(own: Path) -> Any:
    """The beginning of a play that our own GPT has not been trained on."""
    from dataclasses import replace

    from firsthand.experiments.folder import RunFolder
    from firsthand.text.pipeline import read_split

    play = next(iter(read_split(RunFolder(own).data / "text", "validation")))
    return replace(play, text=play.text[:GENERAL])


def _table(outcome: dict[str, Any]) -> "Table":
    """A row for each model (before and after tuning), a column for each figure that anybody has."""
    from rich.table import Table

    rows = outcome.get("test") or {
        f"{name}, {when}": row for name, both in outcome["models"].items() for when, row in both.items()
    }
    keys = [key for key in HEADS if any(key in row for row in rows.values())]
    grid = Table(title=f"{outcome['source']}, held out", title_justify="left", title_style="bold")
    grid.add_column("")
    for key in keys:
        grid.add_column(HEADS[key], justify="right")
    for name, row in rows.items():
        grid.add_row(name, *(_cell(row, key) for key in keys))
    return grid


def _cell(row: dict[str, Any], key: str) -> str:
    if key not in row:
        return "–"
    text = f"{row[key]:.0f}" if key == "seconds" else f"{row[key]:.4f}"
    return text + (f" ± {row[f'{key}_sd']:.4f}" if f"{key}_sd" in row and key != "seconds" else "")

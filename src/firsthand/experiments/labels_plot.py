"""Pictures of a classifier: who is taken for whom, and whether its probabilities can be believed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from firsthand.experiments.plots import figure, printable, save


def plot_labels(found: Mapping[str, Any], folder: Path) -> list[Path]:
    """confusion and calibration, as .png and .svg, of what evaluate/classes.py reports."""
    pictures = {"confusion": confusion(found["confusion"]), "calibration": calibration(found)}
    return [path for name, picture in pictures.items() for path in save(picture, folder, name)]


def confusion(table: Mapping[str, Any]) -> Any:
    """A row for each true class, a column for each predicted one; shades are shares of the row."""
    names = [printable(name) for name in table["classes"]]
    counts: Sequence[Sequence[int]] = table["true_by_predicted"]
    side = 2.2 + 0.75 * len(names)
    with figure(side + 0.8, side) as picture:
        axes = picture.add_subplot()
        axes.grid(visible=False)
        shares = [[count / max(1, sum(row)) for count in row] for row in counts]
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for i, row in enumerate(counts):
            for j, count in enumerate(row):
                axes.text(
                    j, i, f"{count:,}", ha="center", va="center", color="white" if shares[i][j] > 0.6 else "black"
                )
        axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
        axes.set_yticks(range(len(names)), names)
        axes.set_xlabel("named")
        axes.set_ylabel("true")
    return picture


def calibration(found: Mapping[str, Any]) -> Any:
    """How often the model is right where it is so sure; on the diagonal it can be believed. Dots: their rows."""
    curve = found["calibration"]
    with figure(5.2, 5.0) as picture:
        axes = picture.add_subplot()
        axes.plot([0, 1], [0, 1], color="0.6", linewidth=1)
        sure, right = ([point[key] for point in curve] for key in ("confidence", "accuracy"))
        axes.plot(sure, right)
        axes.scatter(sure, right, s=[12 + 200 * point["rows"] / found["rows"] for point in curve])
        axes.set_xlim(0, 1.02)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("probability of the class that was named")
        axes.set_ylabel("share that was right")
        axes.set_title(f"expected calibration error {found['expected_calibration_error']:.3f}")
    return picture

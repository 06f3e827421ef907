"""How busy each expert was when the model was last evaluated: one row a layer, one cell an expert."""

import json
from pathlib import Path

import numpy as np

from firsthand.experiments.plots import Figure, figure


def last_load(folder: Path) -> dict[str, list[float]]:
    """The shares of visits by layer in the last evaluation of the run in `folder`; empty if it has no experts."""
    load: dict[str, list[float]] = {}
    path = folder / "metrics.jsonl"
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []:
        try:
            line = json.loads(text)
        except ValueError:
            continue  # the half line of a killed run
        if isinstance(line, dict) and isinstance(line.get("expert_load"), dict):
            load = line["expert_load"]
    return load


def expert_load(load: dict[str, list[float]]) -> Figure:
    """A cell is 1 where the expert has the same share as all others, 2 where it has twice that."""
    most = max(map(len, load.values()))
    cells = np.full((len(load), most), np.nan)
    for row, shares in enumerate(load.values()):
        cells[row, : len(shares)] = np.array(shares) * len(shares)
    with figure(1.6 + 0.6 * most, 1.4 + 0.4 * len(load)) as picture:
        axes = picture.add_subplot()
        image = axes.imshow(cells, cmap="viridis", vmin=0, vmax=max(2.0, float(np.nanmax(cells))), aspect="auto")
        for (row, column), value in np.ndenumerate(cells):
            if np.isfinite(value):
                axes.text(column, row, f"{value:.1f}", ha="center", va="center", fontsize=8, color="white")
        axes.set_xticks(range(most))
        axes.set_yticks(range(len(load)), [name.removeprefix("blocks.").removesuffix(".ffn") for name in load])
        axes.set(xlabel="expert", ylabel="layer", title="visits, against an even share")
        axes.grid(False)
        picture.colorbar(image, ax=axes)
    return picture

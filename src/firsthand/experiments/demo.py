"""The demo: one recipe, run like any other, then set beside simpler models on the same held-out bytes."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from firsthand.config import Config
from firsthand.experiments import attention_map, plots, report
from firsthand.experiments.baselines import BASELINES
from firsthand.experiments.folder import RunFolder
from firsthand.experiments.run import execute
from firsthand.experiments.watch import Show
from firsthand.opened import load
from firsthand.text.pipeline import read_split
from firsthand.types import Document

LINE = "To be, or not to be, that is the question:"


def run_demo(config: Config, resume: bool, fresh: bool, show: Show) -> dict[str, Any]:
    """Train, draw, compare; everything lies in the run's folder, the outcome also as report.json."""
    started = time.perf_counter()
    summary = execute(config, resume, fresh, show)
    folder = RunFolder(config.run.folder)
    show.note("drawing where each attention head looks")
    pictures = [str(path) for path in _draw_attention(folder)]
    text = folder.data / "text"
    train, held_out = list(read_split(text, "train")), list(read_split(text, "validation"))
    bits = {"gpt": summary["bits_per_byte"]}
    for name, baseline in BASELINES.items():
        show.note(f"pricing the held-out plays with the baseline {name}")
        bits[name] = baseline(_joined(train), _joined(held_out))
    more = {
        "held_out": [document.name for document in held_out],
        "held_out_bytes": len(_joined(held_out)),
        "trained_on": len(train),
        "pictures": pictures,
    }
    seconds = round(time.perf_counter() - started, 1)
    report.write(folder.path, bits, seconds, **more, training=summary)
    return {"bits_per_byte": bits, "seconds": seconds, **more, "training": summary}


def next_commands(folder: Path, outcome: dict[str, Any]) -> list[tuple[str, str]]:
    """What a newcomer would type next, and why."""
    return [
        (f"firsthand generate {folder} --prompt 'ROMEO:'", "let it write"),
        (f"firsthand runs show {folder}", "what happened, in figures and files"),
        (f"firsthand tokenizer encode {folder} 'To be, or not to be'", "see the text as the model sees it"),
        ("firsthand train recipes/shakespeare-char.yaml train.seconds=60", "a model of characters, in a minute"),
        ("firsthand train recipes/tiny.yaml model.position=learned", "swap one part and compare"),
        (f"open {folder}/plots", "the loss, and where each head looks"),
    ]


def _draw_attention(folder: RunFolder) -> Iterable[Path]:
    model, tokenizer = load(folder.path)
    names, maps = attention_map.attention_maps(model, tokenizer, LINE)
    return plots.save(attention_map.draw(names, maps), folder.plots, "attention")


def _joined(documents: list[Document]) -> bytes:
    return "".join(document.text for document in documents).encode("utf-8")

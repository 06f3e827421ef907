"""Which text methods may look at and learn from, and which text models are judged on: never the same."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from firsthand.compress.calibration import windows_of
from firsthand.compress.plan import Calibration
from firsthand.errors import UserError
from firsthand.evaluate import texts
from firsthand.evaluate.texts import Texts
from firsthand.opened import Opened
from firsthand.text.pipeline import Pipeline
from firsthand.text.sources import read
from firsthand.text.split import holdout
from firsthand.tokens.fast import encode_all
from firsthand.types import Document

CORPUS = "shakespeare"
"""Where nothing else is named: the corpus that comes with the project, and the plays that runs hold out of it."""

RUN = 13
"""Words in a row that two texts do not share by chance (GPT-3, arXiv 2005.14165, appendix C)."""
SHARED = 0.01
"""Of such rows two texts may share so many: quotations, not passages."""

WINDOW = 512
"""Tokens that are read at once when a model is judged, or its context if that is shorter."""


@dataclass(frozen=True)
class Sides:
    """The documents of both sides. `said`: what they are, in a sentence each."""

    calibration: list[Document]
    evaluation: list[Document]
    said: list[str]


def sides(text: str | None, calibration: str | None, enough: Callable[[list[Document]], bool]) -> Sides:
    """The documents that are calibrated with, and those that are judged on.

    Without `text`, models are judged on the held-out documents of CORPUS. Without `calibration`, the first half of
    `text` calibrates and the rest judges, if the half is long enough, which `enough` says; else the other documents of
    CORPUS do. UserError for texts of which one holds passages of the other.
    """
    if text is None:
        others, judged = holdout(Pipeline().run(read(CORPUS)), "documents:0.1")
        said = f"Judged on the held-out documents of {CORPUS}: {', '.join(one.name for one in judged)}."
        return _beside(judged, said, calibration, others)
    judged = list(read(text))
    if calibration is None or _same(text, calibration):
        first, rest = holdout(judged, "tail:0.5")
        if calibration is not None or enough(first):
            return Sides(first, rest, [f"The first half of {text} calibrates.", "Judged on its second half."])
        others, _ = holdout(Pipeline().run(read(CORPUS)), "documents:0.1")
        return _beside(judged, f"Judged on {text}.", None, others)
    return _beside(judged, f"Judged on {text}.", calibration, [])


def _beside(judged: list[Document], said: str, calibration: str | None, others: list[Document]) -> Sides:
    """What calibrates beside documents that judge."""
    known = set(_rows(judged))
    if calibration is None:
        apart = [one for one in others if _share([one], known) < SHARED]
        if not apart:
            raise UserError(f"{said} Every text that could calibrate is in there too. Name another with --calibration.")
        return Sides(apart, judged, [f"{len(apart)} other documents of {CORPUS} calibrate.", said])
    found = list(read(calibration))
    if (share := _share(found, known)) >= SHARED:
        raise UserError(
            f"{share:.0%} of {calibration} stands in the text that models are judged on as well, so the figures would "
            "be too good. Name another text with --calibration, or the same file with both options: then its first "
            "half calibrates."
        )
    return Sides(found, judged, [f"{calibration} calibrates.", said])


def _same(one: str, other: str) -> bool:
    return one == other or Path(one).expanduser().resolve() == Path(other).expanduser().resolve()


def _rows(documents: Iterable[Document]) -> Iterable[int]:
    """A number for each row of RUN words."""
    for document in documents:
        words = re.findall(r"\w+", document.text.lower())
        yield from (hash(" ".join(words[at : at + RUN])) for at in range(len(words) - RUN + 1))


def _share(documents: Iterable[Document], known: set[int]) -> float:
    there = [row in known for row in _rows(documents)]
    return sum(there) / len(there) if there else 0.0


def token_ids(opened: Opened, documents: Sequence[Document]) -> Int[Tensor, " tokens"]:
    """The ids of all documents, each followed by the tokenizer's end of text if it has one."""
    mark = opened.tokenizer.end_of_text
    end = [] if mark is None else [np.array([mark])]
    parts = chain.from_iterable((ids, *end) for ids in encode_all(opened.tokenizer, (one.text for one in documents)))
    return torch.from_numpy(np.concatenate([part.astype(np.int64) for part in parts]))


def calibration_windows(ids: Int[Tensor, " tokens"], asked: Calibration, context_length: int) -> Int[Tensor, "n time"]:
    """As many tokens as were asked for, in windows that the model can read, spread evenly over the text.

    UserError for a text that is too short.
    """
    length = min(asked.length, context_length)
    count = -(-asked.windows * asked.length // length)
    windows_of(ids, count, length)
    every = windows_of(ids, len(ids) // length, length)
    return every[torch.linspace(0, len(every) - 1, count).round().long()]


def judged_texts(opened: Opened, documents: Sequence[Document], tokens: int) -> Texts:
    """At most about so many tokens of the documents, in whole windows, spread evenly. UserError if there are none."""
    window = min(WINDOW, opened.model.context_length)
    whole = texts.cut(opened.tokenizer, documents, window)
    count = max(2, tokens // window)
    if len(whole.windows) <= count:
        return whole
    chosen = np.linspace(0, len(whole.windows) - 1, count).round().astype(int)
    return replace(whole, windows=[whole.windows[number] for number in chosen])

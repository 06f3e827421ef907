"""Which documents are held out: by a hash of their text, so that adding data never moves a document.

The hash is of the text, not of the name: the same text under two names always falls on the same side, so nothing that
the model was trained on can come back as validation.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from firsthand.errors import UserError
from firsthand.types import Document

SPLITS = ("train", "validation", "test")


def split_of(text: str, fractions: Mapping[str, float]) -> str:
    """Which of SPLITS a document belongs to.

    `fractions` has the shares of "validation" and "test", each 0 where absent; the rest is "train".
    """
    place = _place(text)
    validation = fractions.get("validation", 0.0)
    if place < validation:
        return "validation"
    return "test" if place < validation + fractions.get("test", 0.0) else "train"


def fitted(texts: Iterable[str], fractions: Mapping[str, float]) -> dict[str, float]:
    """`fractions`, moved as little as needed so that with these few texts no split is empty.

    Unchanged where all splits have a text already, and where there are fewer texts than splits.
    """
    places = sorted({_place(text) for text in texts})
    wanted = [split for split in ("validation", "test") if fractions.get(split, 0.0) > 0]
    fits: dict[str, float] = {}
    end, taken = 0.0, 0
    for i, split in enumerate(wanted):
        end += fractions[split]
        reach = sum(place < end for place in places)
        enough = min(max(reach, taken + 1), len(places) - len(wanted) + i)
        if len(places) > len(wanted) and enough != reach:
            end = places[enough]
        fits[split] = end - sum(fits.values())
        taken = enough
    return fits


def holdout(documents: Iterable[Document], spec: str) -> tuple[list[Document], list[Document]]:
    """(train, validation).

    "documents:0.1" holds out the documents whose hash falls into the first tenth (of a handful where it takes none or
    all, one document is moved so that neither side is empty). "tail:0.1" joins the texts and cuts at character
    int(n * 0.9), the customary split of single-file corpora; a document across the cut is divided.
    Raises UserError if a side would be empty.
    """
    kind, fraction = _parse(spec)
    everything = list(documents)
    train, validation = _tail(everything, fraction) if kind == "tail" else _by_hash(everything, fraction)
    for side, name in ((train, "train"), (validation, "validate")):
        if not any(document.text for document in side):
            raise UserError(_empty_side(name, spec, len(everything)))
    return train, validation


def _parse(spec: str) -> tuple[str, float]:
    found = re.fullmatch(r"(documents|tail):(0?\.\d+)", spec)
    if not found or not 0 < float(found[2]) < 1:
        raise UserError(f"data.validation={spec!r} is not a split. Write documents:0.1 or tail:0.1 (a share below 1).")
    return found[1], float(found[2])


def _by_hash(documents: list[Document], fraction: float) -> tuple[list[Document], list[Document]]:
    fractions = fitted((document.text for document in documents), {"validation": fraction})
    sides: dict[str, list[Document]] = {"train": [], "validation": []}
    for document in documents:
        sides[split_of(document.text, fractions)].append(document)
    return sides["train"], sides["validation"]


def cut_at(length: int, fraction: float) -> int:
    """Where the tail begins that is held out, `fraction` of `length`: at int(length * (1 - fraction))."""
    return int(length * (1 - fraction))


def _tail(documents: list[Document], fraction: float) -> tuple[list[Document], list[Document]]:
    cut = cut_at(sum(len(document.text) for document in documents), fraction)
    train: list[Document] = []
    validation: list[Document] = []
    for document in documents:
        before, after = document.text[: max(cut, 0)], document.text[max(cut, 0) :]
        cut -= len(document.text)
        if before and after:
            train.append(replace(document, text=before))
            validation.append(replace(document, text=after, name=f"{document.name} (tail)"))
        else:
            (validation if after else train).append(document)
    return train, validation


def _place(text: str) -> float:
    """Where the text falls in [0, 1); blanks around it do not matter."""
    digest = hashlib.blake2b(text.strip().encode("utf-8", "surrogatepass"), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**48


def _empty_side(name: str, spec: str, n: int) -> str:
    count = "1 document" if n == 1 else f"{n} documents"
    advice = "Use data.validation=tail:0.1, which divides a text, or give more text."
    return f"data.validation={spec} leaves nothing to {name} on: the source has {count}. {advice}"

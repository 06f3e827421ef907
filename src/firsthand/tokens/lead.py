"""What a tokenizer of SentencePiece puts before a text: a space, so that its first word is the word that others are."""

from collections.abc import Mapping
from enum import Enum
from typing import Any

from firsthand.errors import UserError

SPACE = "\u2581"
"""▁, which stands for a space."""


class Lead(Enum):
    """When a space is put before a text, and before the text behind each mark."""

    EACH = "each"
    """Always: before a space too (Llama 2, TinyLlama, Mistral 7B 0.1)."""
    MISSING = "missing"
    """Where none stands."""
    FIRST = "first"
    """Where none stands, and not behind a mark (Mistral 7B 0.3)."""
    NEVER = "never"

    def before(self, text: str) -> str:
        """What is put before `text`. An empty text stays empty."""
        if not text or self is Lead.NEVER or (self is not Lead.EACH and text[0] in (" ", SPACE)):
            return ""
        return " "

    def to_json(self) -> dict[str, Any]:
        """The fields of tokenizer.json that say so."""
        if self in (Lead.MISSING, Lead.FIRST):
            scheme = "first" if self is Lead.FIRST else "always"
            return {"normalizer": None, "pre_tokenizer": _metaspace(scheme)}
        steps = [_PREPEND, _REPLACE] if self is Lead.EACH else [_REPLACE]
        return {
            "normalizer": {"type": "Sequence", "normalizers": [dict(step) for step in steps]},
            "pre_tokenizer": None,
        }

    def decoder(self) -> dict[str, Any]:
        """The way back: bytes joined, and the space before the text taken away."""
        replace = {"type": "Replace", "pattern": {"String": SPACE}, "content": " "}
        steps: list[dict[str, Any]] = [replace, {"type": "ByteFallback"}, {"type": "Fuse"}]
        if self is not Lead.NEVER:
            steps.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
        return {"type": "Sequence", "decoders": steps}


_PREPEND: dict[str, Any] = {"type": "Prepend", "prepend": SPACE}
_REPLACE: dict[str, Any] = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
_NO_CUT = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
"""A step of Gemma's that finds nothing, since no space is left by then."""


def _metaspace(scheme: str) -> dict[str, Any]:
    return {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": scheme, "split": False}


def read_lead(tree: Mapping[str, Any]) -> Lead:
    """What the file says. UserError if it changes or cuts texts in another way."""
    normalizer, cut = tree.get("normalizer"), tree.get("pre_tokenizer")
    steps = (
        normalizer.get("normalizers") if isinstance(normalizer, dict) and "normalizers" in normalizer else [normalizer]
    )
    if cut in (None, _NO_CUT) and steps == [_PREPEND, _REPLACE]:
        return Lead.EACH
    if cut in (None, _NO_CUT) and steps == [_REPLACE]:
        return Lead.NEVER
    schemes = {"first": Lead.FIRST, "always": Lead.MISSING, "never": Lead.NEVER}
    if steps in ([], [None]) and isinstance(cut, dict):
        for scheme, lead in schemes.items():
            if cut == _metaspace(scheme):
                return lead
    raise UserError(
        "This tokenizer of SentencePiece changes or cuts texts in a way not known here. Known is what Llama 2, Mistral "
        "7B and TinyLlama do: spaces become \u2581, and one stands before a text."
    )

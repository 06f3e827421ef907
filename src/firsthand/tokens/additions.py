"""What tokenizers from elsewhere do besides cutting and merging: compose characters, begin each text with a token."""

import unicodedata
from collections.abc import Mapping
from typing import Any

import regex

from firsthand.errors import UserError

ENDS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|eos|>", "<｜end▁of▁sentence｜>")
"""What families call the end of a text, ours first. Where a tokenizer has several, the first parts documents."""

_NFC = {"type": "NFC"}
_MANY_MARKS = regex.compile(r"\p{M}{32,}")


def compose(text: str) -> str:
    """Unicode's form C (UAX 15), as `unicodedata` gives it, in near-linear time.

    `unicodedata` sorts the marks of a letter by insertion: a long run that is sorted already costs it little.
    """
    if text.isascii():
        return text
    return unicodedata.normalize("NFC", _MANY_MARKS.sub(_sorted_marks, text))


def _sorted_marks(found: Any) -> str:
    """The same marks in canonical order; those of class 0 stay where they are, and none passes them."""
    ordered: list[str] = []
    run: list[str] = []
    for part in "".join([unicodedata.normalize("NFD", mark) for mark in found[0]]):
        if unicodedata.combining(part):
            run.append(part)
        else:
            ordered += [*sorted(run, key=unicodedata.combining), part]
            run = []
    return "".join([*ordered, *sorted(run, key=unicodedata.combining)])


def additions(nfc: bool, begin: tuple[str, int] | None) -> dict[str, Any]:
    """The fields of tokenizer.json that say so. `begin`: the name and id of the token that begins each text."""
    return {"normalizer": dict(_NFC) if nfc else None} | begin_field(begin)


def begin_field(begin: tuple[str, int] | None) -> dict[str, Any]:
    """The field of the token that begins each text."""
    if begin is None:
        return {}
    name, id = begin
    first = {"SpecialToken": {"id": name, "type_id": 0}}
    text = {"Sequence": {"id": "A", "type_id": 0}}
    return {
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [first, text],
            "pair": [first, text, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {name: {"id": name, "ids": [id], "tokens": [name]}},
        }
    }


def read_additions(content: Mapping[str, Any]) -> tuple[bool, str | None]:
    """Whether texts are composed first, and the name of the token that begins each. UserError for any other change."""
    normalizer = content.get("normalizer")
    if normalizer not in (None, _NFC, {"type": "Sequence", "normalizers": []}):
        raise UserError(
            "This tokenizer has a normalizer that is not Unicode's form C, which would change the ids and is not "
            "supported here."
        )
    return normalizer == _NFC, read_begin(content)


def read_begin(content: Mapping[str, Any]) -> str | None:
    """The name of the token that begins each text. UserError if more is added than that."""
    post = content.get("post_processor")
    steps = post.get("processors") if isinstance(post, dict) and post.get("type") == "Sequence" else [post]
    begin: str | None = None
    for step in steps if isinstance(steps, list) else [steps]:
        kind = step.get("type") if isinstance(step, dict) else step
        if kind is None or kind == "ByteLevel":
            continue
        single = step.get("single") if kind == "TemplateProcessing" and isinstance(step, dict) else None
        parts = [_part(part) for part in single] if isinstance(single, list) else []
        if begin is not None or not (parts == [("Sequence", "A")] or (len(parts) == 2 and _begins(parts))):
            raise UserError(
                "This tokenizer has a post_processor that adds more to a text than one token at its beginning, which "
                "is not supported here."
            )
        begin = parts[0][1] if len(parts) == 2 else None
    return begin


def _part(part: Any) -> tuple[str, str]:
    """What kind of step of a template, and its name; of no kind that is known, ("", "")."""
    if isinstance(part, dict) and len(part) == 1:
        ((kind, what),) = part.items()
        if isinstance(what, dict) and isinstance(what.get("id"), str):
            return kind, what["id"]
    return "", ""


def _begins(parts: list[tuple[str, str]]) -> bool:
    return parts[0][0] == "SpecialToken" and parts[1] == ("Sequence", "A")

"""How the fields of a row become a record: the layouts that are in use, recognised by their keys."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from firsthand.data.records.schema import Conversation, Labelled, Messages, Preference, Record, Verifiable
from firsthand.errors import UserError
from firsthand.types import Message

Fields = Mapping[str, Any]

SPEAKERS = {"human": "user", "gpt": "assistant", "bot": "assistant", "chatgpt": "assistant", "model": "assistant"}
"""Roles by other names; the others stay as they are."""

ROLES = ("system", "user", "assistant", "tool", "developer", "function")

TEXTS = ("text", "sms", "sentence", "content", "review", "document")
LABELS = ("label", "class", "category", "genre", "sentiment")


@dataclass(frozen=True)
class Layout:
    """`keys`: one name of each group must be among a row's keys. `convert` takes the row's fields by these names."""

    keys: tuple[tuple[str, ...], ...]
    convert: Callable[[Fields], Record]

    def fits(self, keys: Sequence[str]) -> bool:
        return all(any(name in keys for name in group) for group in self.keys)


def text(fields: Fields, *names: str, empty: bool = False) -> str:
    """The first of `names` that the row has, as a string. UserError for anything else, or where it is empty."""
    for name in names:
        if name in fields:
            value = fields[name]
            if isinstance(value, bool | int | float):
                value = str(value)
            if not isinstance(value, str):
                raise UserError(f"{name!r} is not text but {_kind(value)}")
            if not value.strip() and not empty:
                raise UserError(f"{name!r} is empty")
            return value
    raise UserError(f"there is no field {' or '.join(map(repr, names))}")


def messages(value: Any, name: str, role: str = "user") -> Messages:
    """A list of {role, content} or {from, value} as messages; a string is one message of `role`."""
    if isinstance(value, str):
        return (Message(role, text({name: value}, name)),)
    if not isinstance(value, list) or not value:
        raise UserError(f"{name!r} is {_kind(value)}, not a list of messages")
    return tuple(_message(item, f"{name}[{i}]") for i, item in enumerate(value))


def _message(item: Any, where: str) -> Message:
    if not isinstance(item, dict):
        raise UserError(f"{where} is {_kind(item)}, not a message with role and content")
    role, said = (item.get(a, item.get(b)) for a, b in (("role", "from"), ("content", "value")))
    if not isinstance(role, str) or not isinstance(said, str):
        raise UserError(f"{where} needs 'role' and 'content' (or 'from' and 'value') as text; it has {sorted(item)}")
    role = SPEAKERS.get(role.lower(), role.lower())
    if role not in ROLES:
        raise UserError(f"{where} has the role {role!r:.40}; known are {', '.join(ROLES)}")
    return Message(role, said)


def _conversation(fields: Fields) -> Record:
    name = "messages" if "messages" in fields else "conversations"
    system = (Message("system", text(fields, "system")),) if fields.get("system") else ()
    return Conversation((*system, *messages(fields[name], name)))


def _alpaca(fields: Fields) -> Record:
    """The input, where there is one, stands below the instruction (Taori et al. 2023, "Stanford Alpaca")."""
    asked = text(fields, "instruction")
    more = text(fields, "input", empty=True) if fields.get("input") else ""
    return Conversation(_exchange(f"{asked}\n\n{more}" if more.strip() else asked, text(fields, "output", "response")))


def _completion(fields: Fields) -> Record:
    prompt = messages(fields["prompt"], "prompt")
    name = "completion" if "completion" in fields else "response"
    return Conversation((*prompt, *messages(fields[name], name, "assistant")))


def _preference(fields: Fields) -> Record:
    chosen, rejected = (messages(fields[name], name, "assistant") for name in ("chosen", "rejected"))
    if "prompt" in fields:
        prompt = messages(fields["prompt"], "prompt")
        return Preference(
            prompt, *(side[len(prompt) :] if side[0] == prompt[0] else side for side in (chosen, rejected))
        )
    same = 0
    while same < min(len(chosen), len(rejected)) - 1 and chosen[same] == rejected[same]:
        same += 1
    if not same:
        raise UserError("'chosen' and 'rejected' have no beginning in common, and there is no 'prompt'")
    return Preference(chosen[:same], chosen[same:], rejected[same:])


def _verifiable(fields: Fields) -> Record:
    solution = text(fields, "solution", empty=True) if fields.get("solution") else ""
    verifier = text(fields, "verifier") if fields.get("verifier") else "exact"
    answer = text(fields, "answer", "ground_truth") if fields.get("verifier") is None else str(fields.get("answer", ""))
    return Verifiable(messages(fields["prompt"], "prompt"), answer, verifier, solution)


def _gsm8k(fields: Fields) -> Record:
    """The last number stands behind #### at the end of the solution (Cobbe et al. 2021, arXiv 2110.14168)."""
    solution = text(fields, "answer")
    _, mark, answer = solution.rpartition("####")
    prompt = (Message("user", text(fields, "question")),)
    if not mark:
        return Conversation((*prompt, Message("assistant", solution)))
    return Verifiable(prompt, answer.strip(), "number", solution)


def _labelled(fields: Fields) -> Record:
    names = [name for name in fields if name in LABELS]
    label = text(fields, *names)
    others = [name for name in fields if name not in names]
    return Labelled(text(fields, *(others if len(others) == 1 else TEXTS)), label)


def _exchange(asked: str, answer: str) -> Messages:
    return Message("user", asked), Message("assistant", answer)


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


LAYOUTS: dict[str, Layout] = {
    "messages": Layout((("messages",),), _conversation),
    "sharegpt": Layout((("conversations",),), _conversation),
    "preference": Layout((("chosen",), ("rejected",)), _preference),
    "alpaca": Layout((("instruction",), ("output", "response")), _alpaca),
    "completion": Layout((("prompt",), ("completion", "response")), _completion),
    "verifiable": Layout((("prompt",), ("answer", "verifier", "ground_truth")), _verifiable),
    "gsm8k": Layout((("question",), ("answer",)), _gsm8k),
    "labelled": Layout((LABELS,), _labelled),
}
"""In the order in which they are tried: the first whose keys a row has is its layout."""


def recognise(keys: Sequence[str]) -> str | None:
    """The layout of rows with these keys (in small letters), None if it is none of LAYOUTS."""
    for name, layout in LAYOUTS.items():
        if layout.fits(keys) and (name != "labelled" or len(keys) == 2 or any(key in TEXTS for key in keys)):
            return name
    return None


def convert(fields: Fields) -> tuple[Record, str]:
    """The record that a row's fields are, and the name of its layout. UserError says what does not fit."""
    known = {str(key).strip().lower(): value for key, value in fields.items()}
    name = recognise(list(known))
    if name is None:
        shown = ", ".join(list(known)[:8]) or "none"
        raise UserError(f"its keys ({shown}) are of no layout known here; known are {', '.join(LAYOUTS)}")
    return LAYOUTS[name].convert(known), name

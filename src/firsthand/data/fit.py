"""A conversation as ids that fit into a row: what is left out where it is too long, by a rule that is said."""

from collections.abc import Sequence
from dataclasses import dataclass

from firsthand.tokens.chat import ChatTemplate, Encoded
from firsthand.types import Message

RULE = (
    "A conversation that is too long loses its oldest turns, then the beginning of the one prompt that is left. The "
    "last answer is never cut: a conversation whose answer does not fit is left out, counted and listed."
)


@dataclass(frozen=True, slots=True)
class Fitted:
    """`cut`: "" as it was, "turns" without its oldest turns, "prompt" without the beginning of its prompt."""

    encoded: Encoded
    messages: tuple[Message, ...]
    cut: str = ""


def fit(template: ChatTemplate, messages: Sequence[Message], longest: int) -> Fitted | None:
    """The conversation in at most `longest` ids, cut by RULE; None where its last answer does not fit.

    A system message at the beginning stays.
    """
    encoded = template.encode(messages)
    if len(encoded.ids) <= longest:
        return Fitted(encoded, tuple(messages))
    head = list(messages[: messages[0].role == "system"])
    turns = list(messages[len(head) :])
    while (after := _next_turn(turns)) is not None:
        turns = turns[after:]
        encoded = template.encode([*head, *turns])
        if len(encoded.ids) <= longest:
            return Fitted(encoded, (*head, *turns), "turns")
    return _cut_prompt(template, head, turns, longest)


def _next_turn(turns: Sequence[Message]) -> int | None:
    """Where the second turn begins (with a message that follows an answer), None if there is but one."""
    for i in range(1, len(turns)):
        if turns[i - 1].role == "assistant" and turns[i].role != "assistant":
            return i if any(message.role == "assistant" for message in turns[i:]) else None
    return None


def _cut_prompt(
    template: ChatTemplate, head: Sequence[Message], turns: Sequence[Message], longest: int
) -> Fitted | None:
    """With as much of the prompt's end as fits, found by halving, from the beginning of a word."""
    if turns[0].role == "assistant":
        return None
    prompt = turns[0].content

    def cut(start: int) -> list[Message]:
        return [*head, Message(turns[0].role, prompt[start:]), *turns[1:]]

    low, high = 0, len(prompt)  # cut at `low` is too long; is it still at `high`?
    best = template.encode(cut(high))
    if len(best.ids) > longest:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        encoded = template.encode(cut(middle))
        low, high = (low, middle) if len(encoded.ids) <= longest else (middle, high)
    start = next((i for i in range(high, len(prompt)) if prompt[i - 1].isspace() and not prompt[i].isspace()), high)
    while len((best := template.encode(cut(start))).ids) > longest:
        start += 1  # a cut at a word may cost a token more than the one before it
    return Fitted(best, tuple(cut(start)), "prompt")

"""What a model has read of one text, kept for the next: only what differs from it is read anew."""

from collections.abc import Sequence

from firsthand.generate.native.rows import Rows
from firsthand.model.language_model import LanguageModel
from firsthand.types import State


class Memory:
    """The states of one row between calls of `generate(..., memory=...)`, one call after the other.

    `ids`: what the states have read. `read`: how many tokens of prompts were computed so far, which is what a memory
    saves. A state with a method `keep_first` (attention's cache) can be cut after any token; others can only go on,
    and when a text departs from what they have read, all of it is read again. What is interrupted in the middle of a
    step is forgotten.
    """

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        self.ids: list[int] = []
        self.read = 0
        self._states: list[State] | None = None
        self._room = 0
        self._rows: Rows | None = None

    def recall(self, ids: Sequence[int], room: int) -> tuple[list[State], int]:
        """States with room for `room` tokens that have read the first of `ids`, and how many: never the last one."""
        states, self._states = self._states, None  # nobody else's until `hold`
        if self._rows is not None:
            self._rows.settle()
            self._rows = None
        kept = min(common_prefix(self.ids, ids), len(ids) - 1)
        more = room if room <= self._room else min(self.model.context_length, max(room, 2 * self._room))
        if states is not None and self._cut(states, kept, max(more, self._room)):
            self._room = max(more, self._room)
        else:
            states, kept = self._fresh(more), 0
        self.ids = list(ids[:kept])
        self.read += len(ids) - kept
        return states, kept

    def hold(self, states: list[State], ids: Sequence[int], rows: Rows | None = None) -> None:
        """`states` have read `ids` too. `rows`: who writes on their memory meanwhile."""
        self._states = states
        self._rows = rows
        self.ids += ids

    def _cut(self, states: list[State], kept: int, room: int) -> bool:
        for state in states:
            keep_first = getattr(state, "keep_first", None)
            if keep_first is None:
                if kept < len(self.ids):
                    return False
            elif not keep_first(kept, room):
                return False
        return True

    def _fresh(self, room: int) -> list[State]:
        """Empty states. What cannot grow later has room for the whole context at once."""
        states = self.model.initial_states(1, room)
        if not all(hasattr(state, "keep_first") for state in states):
            room = self.model.context_length
            states = self.model.initial_states(1, room)
        self._room = room
        return states


def common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    """How many ids at the beginning are the same."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))

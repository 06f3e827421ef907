"""What every mixer promises: the table of checks."""

from collections.abc import Mapping
from typing import Any

import torch

from firsthand.contracts import flow, memory, module
from firsthand.contracts.finding import Broken
from firsthand.contracts.interface import has_methods, pair, sound
from firsthand.contracts.part import Check, Part

METHODS = {"forward": "x, place, state=None", "initial_state": "batch, length", "state_size": "length"}


def interface(part: Part) -> None:
    """It can be built, and has the methods of a mixer."""
    has_methods(part.make(), METHODS)


@torch.no_grad()
def shapes(part: Part) -> None:
    """Outputs have the shape and dtype of the inputs at every length, and are finite."""
    mixer: Any = part.make()
    for time in (17, *flow.LENGTHS):
        text = part.text(2, time)
        y, state = pair(mixer(text.x, text.place), "y, state")
        sound("the output", y, text.x)
        if state is not None:
            raise Broken(
                f"Given no state it returned one, a {type(state).__name__}.",
                "state=None says that nothing needs to be remembered, as in training; a state would keep memory busy.",
                "return y, state  # None stays None",
            )
        y, state = pair(mixer(text.x, text.place, mixer.initial_state(2, time)), "y, state")
        sound("the output with a state", y, text.x)


CHECKS: Mapping[str, Check] = {
    "interface": interface,
    "shapes": shapes,
    "causality": flow.causality,
    "prefix": flow.prefix,
    "past": flow.past,
    "documents": flow.documents,
    "padding": flow.padding,
    "rows": flow.rows,
    "decoding": memory.decoding,
    "memory": memory.memory,
    "state_size": memory.state_size,
    "heads": memory.heads,
    **module.CHECKS,
    "bf16": memory.bf16,  # these two stand in the place of module's, and ask the state as well
    "poison": memory.poison,
}

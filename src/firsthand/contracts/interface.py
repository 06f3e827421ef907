"""What a part must have and return before anything else can be asked of it."""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from firsthand.contracts.difference import same_shape
from firsthand.contracts.finding import Broken

WIRING = "Models call it in just this way; another name or order is an error in the middle of a run."


def has_methods(part: Any, methods: Mapping[str, str]) -> None:
    """Broken unless `part` has these methods; each is given as its parameters: "x, place, state=None"."""
    for name, wanted in methods.items():
        method = getattr(part, name, None)
        missing = method is None or (name == "forward" and type(part).forward is nn.Module.forward)
        if missing or not callable(method):
            raise Broken(f"It has no method {name}({wanted}).", WIRING, f"Add it: def {name}(self, {wanted}).")
        needed = [word for word in wanted.split(", ") if "=" not in word]
        for count in {len(needed), len(wanted.split(", "))}:
            try:
                inspect.signature(method).bind(*range(count))
            except TypeError:
                raise Broken(
                    f"Its method is {name}{inspect.signature(method)}, and is called with ({wanted}).",
                    WIRING,
                    f"Write def {name}(self, {wanted}).",
                ) from None


def pair(returned: Any, names: str) -> tuple[Any, Any]:
    """What forward returned, if it is a pair."""
    if isinstance(returned, tuple) and len(returned) == 2:
        return returned
    kind = f"a tuple of {len(returned)}" if isinstance(returned, tuple) else f"one {type(returned).__name__}"
    raise Broken(f"forward returned {kind} instead of the pair ({names}).", WIRING, f"return {names}")


def sound(what: str, y: Any, x: Tensor) -> None:
    """Broken unless `y` is a tensor with the shape and dtype of `x`, and finite."""
    if not isinstance(y, Tensor):
        raise Broken(f"{what} is a {type(y).__name__}, not a tensor.", WIRING, "Return a tensor of the input's shape.")
    same_shape(what, y, x.shape)
    if y.dtype != x.dtype:
        found, wanted = (str(dtype).removeprefix("torch.") for dtype in (y.dtype, x.dtype))
        raise Broken(
            f"For inputs in {wanted} {what} is in {found}.",
            "Checks compute in fp64 to see small errors, and training may be in bf16: a part goes along with both.",
            "Make tensors with dtype=x.dtype, and tables .to(x.dtype).",
        )
    if not y.isfinite().all():
        row, token = (~y.isfinite()).any(-1).nonzero()[0].tolist()[:2]
        raise Broken(
            f"Of {x.shape[1]} tokens, output {token} (row {row}) holds NaN or infinity.",
            "One such number spoils the loss, and with it every weight.",
            "Look for a division by zero, a softmax over nothing, exp of something large, memory never written.",
        )


def scalar(loss: Any) -> None:
    """Broken unless `loss` is a tensor without axes."""
    if not isinstance(loss, Tensor) or loss.shape != torch.Size(()):
        shape = f"of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else f"({type(loss).__name__})"
        raise Broken(
            f"The extra loss {shape} is no scalar tensor.",
            "It is added to the loss of the whole batch.",
            "Return no_extra_loss(x) from firsthand.model where there is none, or .sum() it.",
        )

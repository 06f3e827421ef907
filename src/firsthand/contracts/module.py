"""What every part promises, whatever its slot: gradients, weights, dtypes, memory, randomness."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.gradcheck import GradcheckError, gradcheck
from torch.utils import deterministic

from firsthand.contracts.compiled import compiled
from firsthand.contracts.difference import difference, many
from firsthand.contracts.finding import Broken
from firsthand.contracts.part import Check, Part
from firsthand.contracts.text import Text

HALF_BOUND = 0.05
"""How far a bf16 output may lie from the fp32 one, as a share of the largest output."""
STEPS = 3


def gradients(part: Part) -> None:
    """Gradients equal finite differences, in fp64."""
    module = part.make()
    for time in (4, 67):
        text = part.text(1, time)
        x = text.x.clone().requires_grad_()
        wanted = [x, *(p for p in module.parameters() if p.requires_grad and p.numel() < 2000)]
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                gradcheck(
                    lambda x, *_, place=text.place: part.ask(module, Text(x, place)), tuple(wanted), fast_mode=True
                )
        except GradcheckError as error:
            raise Broken(
                f"With {many(time, 'token')} the gradient is not the slope of the output: {_first_line(error)}",
                "Training follows gradients; wrong ones lead nowhere, slowly.",
                "Look for .detach(), .data, in-place changes and gradients written by hand.",
            ) from error


def learning(part: Part) -> None:
    """Every parameter gets a gradient, within three steps of plain descent."""
    module = part.make().train()
    text = part.text(2, 33)
    direction = torch.randn(part.ask(module, text).shape, generator=torch.Generator().manual_seed(3)).double()
    idle = dict(module.named_parameters())
    for _ in range(STEPS):
        module.zero_grad()
        loss = (part.ask(module, text) * direction).sum() + _extra_loss(part, module, text)
        if loss.requires_grad:
            torch.autograd.backward(loss)
        idle = {name: p for name, p in idle.items() if p.requires_grad and (p.grad is None or not p.grad.any())}
        with torch.no_grad():
            for parameter in module.parameters():
                if parameter.grad is not None:
                    parameter.sub_(1e-2 * parameter.grad)
    if idle:
        raise Broken(
            f"No gradient reached {', '.join(sorted(idle))} in {STEPS} steps.",
            "Such a parameter stays as it began: it costs memory and does nothing.",
            "Use it in forward (without .detach() or .data), let not both factors of a product begin at zero, or write "
            "requires_grad=False where nothing is to be learned.",
        )


def _extra_loss(part: Part, module: nn.Module, text: Text) -> Tensor | float:
    return module(text.x)[1] if part.slot == "ffn" else 0.0


def saving(part: Part) -> None:
    """Its named parameters are all that a checkpoint needs to make the same part again."""
    first, other, text = part.make(), part.make(seed=9), part.text(2, 9)
    expected = part.ask(first, text)
    named = dict(first.named_parameters())
    with torch.no_grad():
        for parameter in other.parameters():
            torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(4))
        if named and torch.equal(part.ask(other, text), expected):
            raise Broken(
                "Other weights gave the very same output.",
                "Weights that nothing depends on cannot learn anything.",
                "Use the parameters in forward.",
            )
        for name, parameter in other.named_parameters():
            parameter.copy_(named[name])
    odd = [
        name
        for (name, mine), (_, theirs) in zip(first.named_buffers(), other.named_buffers(), strict=True)
        if not torch.equal(mine, theirs)
    ]
    if not torch.equal(part.ask(other, text), expected):
        hint = f" The buffer {odd[0]} is not the same in both." if odd else ""
        raise Broken(
            f"A second one with all parameters of the first gave another output.{hint}",
            "Checkpoints store named_parameters() and nothing else; the model would come back as another one.",
            "Make it an nn.Parameter (requires_grad=False if it is not learned), or compute it from the arguments.",
        )


def inputs(part: Part) -> None:
    """Its inputs are left as they were."""
    module, text = part.make(), part.text(2, 9).packed([4, 5])
    kept = copy.deepcopy(text)
    part.ask(module, text)
    pairs = {
        "x": (text.x, kept.x),
        "place.index": (text.place.index, kept.place.index),
        "place.document": (text.place.document, kept.place.document),
    }
    for name, (now, before) in pairs.items():
        if not torch.equal(now, before):  # type: ignore[arg-type]
            raise Broken(
                f"{name} was changed in place.",
                "The same tensor is read again: by the residual stream, by the next layer, by the gradient.",
                f"Write {name} = {name} + … instead of {name} += …, or work on a copy.",
            )


@torch.no_grad()
def bf16(part: Part) -> None:
    """Computed in bf16, cast or under autocast, outputs stay within 5 % of those computed in fp32."""
    exact = rounded(part)
    for time in (7, 130):
        text = part.text(2, time, torch.bfloat16).to(torch.float32)
        expected = part.ask(exact, text)
        with torch.autocast("cpu", torch.bfloat16):
            under_autocast = part.ask(exact, text)
        cast = part.ask(part.make(dtype=torch.bfloat16), text.to(torch.bfloat16))
        if cast.dtype != torch.bfloat16:
            raise Broken(
                f"With weights and inputs in bfloat16 it returned {_short(cast.dtype)}.",
                "A model that is cast to bf16 multiplies the output with bf16 weights, which torch refuses.",
                "Return y.to(x.dtype); tables made in the constructor follow with .to(x.dtype) too.",
            )
        for way, found in (("cast to bf16", cast), ("under autocast", under_autocast)):
            near(f"{way}, {many(time, 'token')}", found, expected)


def rounded(part: Part) -> nn.Module:
    """The part in fp32 with weights that bf16 can hold: the arithmetic is judged, not the rounding of weights."""
    module = part.make(dtype=torch.float32)
    for parameter in module.parameters():
        parameter.copy_(parameter.bfloat16())
    return module


def near(way: str, found: Tensor, expected: Tensor) -> None:
    """Broken unless the bf16 outputs are close to the fp32 ones."""
    apart = (found.float() - expected).abs().amax() / expected.abs().amax().clamp(min=1e-30)
    if not apart < HALF_BOUND:
        raise Broken(
            f"In half precision ({way}) outputs are off by {float(apart):.0%} of the largest.",
            "GPUs train in bf16, which keeps 3 digits; sums and states in it lose the rest.",
            "Keep sums, exponents and recurrent states in fp32, and convert only the result.",
        )


@torch.no_grad()
def poison(part: Part) -> None:
    """Memory that nobody has written is never read: with NaN in all of it the output is the same."""
    module, text = part.make(), part.text(2, 9)
    expected = part.ask(module, text)
    with poisoned():
        found = part.ask(part.make(), text)
    if not torch.equal(found, expected):
        raise Broken(
            "With NaN in freshly allocated memory the output is another one.",
            "torch.empty holds what was there before: results would change from run to run.",
            "Write every number before it is read, or use torch.zeros instead of torch.empty.",
        )


class poisoned:
    """While it lasts, torch.empty is filled with NaN."""

    def __enter__(self) -> None:
        settings: Any = deterministic
        self.before = torch.are_deterministic_algorithms_enabled(), settings.fill_uninitialized_memory
        torch.use_deterministic_algorithms(True, warn_only=True)
        settings.fill_uninitialized_memory = True
        assert torch.empty(3).isnan().all(), "torch fills uninitialised memory with NaN in deterministic mode"

    def __exit__(self, *_: object) -> None:
        settings: Any = deterministic
        torch.use_deterministic_algorithms(self.before[0])
        settings.fill_uninitialized_memory = self.before[1]


def repeatable(part: Part) -> None:
    """In evaluation the same input gives the same output; dropout acts in training and only there."""
    text = part.text(2, 17)
    tried: list[dict[str, Any]] = [{}, {"dropout": 0.5}] if part.takes("dropout") else [{}]
    for arguments in tried:
        module = part.make(**arguments)
        first, again = _twice(part, module, text)
        if not torch.equal(first, again):
            raise Broken(
                "In evaluation mode the same input gave two different outputs.",
                "Nobody could repeat a text or a measurement.",
                "Ask self.training before drawing random numbers (nn.Dropout does).",
            )
        if arguments and difference(first, part.ask(part.make(), text)):
            raise Broken(
                "In evaluation mode dropout=0.5 gives other outputs than dropout=0.",
                "Dropout is a means of training; what was trained is used whole.",
                "Use nn.Dropout, or F.dropout(x, p, training=self.training).",
            )
        if arguments and torch.equal(*_twice(part, module.train(), text)):
            raise Broken(
                "It takes dropout=0.5 and drops nothing in training.",
                "A setting that is accepted and ignored misleads.",
                "Apply it to the output: self.dropout(y). Or take no argument called dropout.",
            )


def _twice(part: Part, module: nn.Module, text: Text) -> tuple[Tensor, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return part.ask(module, text), part.ask(module, text)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200]


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


CHECKS: Mapping[str, Check] = {
    "gradients": gradients,
    "learning": learning,
    "saving": saving,
    "inputs": inputs,
    "bf16": bf16,
    "poison": poison,
    "repeatable": repeatable,
    "compile": compiled,
}
"""What the table of each slot ends with."""

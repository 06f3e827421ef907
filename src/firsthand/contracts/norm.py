"""What every norm promises: the table of checks."""

from collections.abc import Mapping

import torch

from firsthand.contracts import module, token
from firsthand.contracts.difference import difference
from firsthand.contracts.finding import Broken
from firsthand.contracts.interface import has_methods, sound
from firsthand.contracts.part import Check, Part


def interface(part: Part) -> None:
    """It can be built, and has the method of a norm."""
    has_methods(part.make(), {"forward": "x"})


@torch.no_grad()
def shapes(part: Part) -> None:
    """Outputs have the shape and dtype of the inputs at every length, and are finite, for no input as well."""
    norm = part.make()
    for time in (17, 1, 2, 65):
        x = part.text(3, time).x
        sound("the output", norm(x), x)
        sound("the output for zeros", norm(torch.zeros_like(x)), x)


@torch.no_grad()
def scale(part: Part) -> None:
    """It keeps the scale in hand: outputs begin at about 1, however large the inputs."""
    norm, text = part.make(), part.text(2, 65)
    for times in (10.0, 1e4):
        size = float(norm(text.x * times).square().mean().sqrt())
        if not 0.5 < size < 2.0:
            raise Broken(
                f"Inputs of about {times:g} gave outputs of about {size:.2g} (root of the mean square).",
                "Layers are made for inputs of about 1; the stream before a norm grows from layer to layer.",
                "Divide by the size of the vector, or squeeze it; gains begin at one.",
            )


@torch.no_grad()
def invariance(part: Part) -> None:
    """The scale of an input does not matter, unless it says `scale_invariant = False`; then it does."""
    norm, text = part.make(), part.text(2, 9)
    invariant = getattr(norm, "scale_invariant", True)
    expected = norm(text.x * 30)
    apart = float((norm(text.x * 3000) - expected).abs().amax() / expected.abs().amax())
    if invariant and apart > 1e-4:
        raise Broken(
            f"Inputs a hundred times as large changed the outputs by {apart:.0%}.",
            "Norms promise that only the direction of a vector matters, and optimizers rely on it.",
            "Divide by the size of the vector; if yours does something else on purpose, give its class the attribute "
            "scale_invariant = False.",
        )
    if not invariant and not apart > 1e-4:
        raise Broken(
            "It says scale_invariant = False, and the scale of its inputs did not matter.",
            "What a part says about itself is relied on.",
            "Leave the attribute out.",
        )


@torch.no_grad()
def large(part: Part) -> None:
    """Inputs of 1000 survive fp16, whose largest number is smaller than 1000²."""
    norm = part.make(dtype=torch.float16)
    y = norm(part.text(2, 5).x.sign().half() * 1000)
    sound("the output in fp16", y, part.text(2, 5, torch.float16).x)
    if not y.float().abs().amax() > 0.5:
        raise Broken(
            "Inputs of 1000 in fp16 came out as nearly nothing.",
            "The sum of squares passed what fp16 can hold, and the division made it zero.",
            "Compute in fp32: x.float() before squaring, .to(x.dtype) at the end.",
        )


@torch.no_grad()
def plain(part: Part) -> None:
    """Its `gain` begins at one and multiplies the output."""
    norm, text = part.make(), part.text(2, 5)
    gain = dict(norm.named_parameters()).get("gain")
    if gain is None or gain.shape != (part.sizes["d_model"],) or not bool((gain == 1).all()):
        raise Broken(
            "It has no parameter `gain` of d_model ones.",
            "Initialisers and optimizers know gains by this name: they begin at one and do not decay.",
            "self.gain = nn.Parameter(torch.ones(d_model))",
        )
    before = norm(text.x)
    gain.mul_(2.0)
    bias = getattr(norm, "bias", None)
    fixed = torch.zeros_like(before) if bias is None else bias.expand_as(before)
    if difference(norm(text.x) - fixed, 2 * (before - fixed)):
        raise Broken(
            "Twice the gain did not give twice the output.",
            "The gain sets the scale of what the next part reads.",
            "Multiply by it last, before the bias.",
        )


CHECKS: Mapping[str, Check] = {
    "interface": interface,
    "shapes": shapes,
    "tokens": token.tokens,
    "scale": scale,
    "invariance": invariance,
    "large": large,
    "gain": plain,
    **module.CHECKS,
}

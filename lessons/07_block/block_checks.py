"""The block: what must hold, in teaching order."""

import torch
from torch import nn

from firsthand.contracts.finding import Broken
from firsthand.learn.grader import properties as p
from firsthand.learn.grader.checks import Checks, Draw, Inputs, Property
from firsthand.types import Place

# no two alike, and none a power of another
BATCH, TIME, D_MODEL = 2, 5, 14


class Mix(nn.Module):
    """A mixer with one matrix: the mean of what came before, told where it stands."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(d_model, d_model))

    def initial_state(self, batch, length):
        return torch.zeros(batch)

    def state_size(self, length):
        return length

    def forward(self, x, place, state=None):
        seen = (x @ self.weight).cumsum(1) / torch.arange(1, x.shape[1] + 1)[:, None]
        seen = seen * (1 + place.index[..., None] / 10)
        return (seen, None) if state is None else (seen + state[:, None, None] @ self.weight[:1], state + 1)


class Think(nn.Module):
    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(d_model, d_model))

    def forward(self, x):
        return torch.tanh(x) @ self.weight, (x @ self.weight).square().mean()


class Size(nn.Module):
    """A norm of its own kind, so that no two of the parts can be taken for each other."""

    def __init__(self, d_model: int, power: float) -> None:
        super().__init__()
        self.gain, self.power = nn.Parameter(torch.ones(d_model)), power

    def forward(self, x):
        return x * self.gain / (1 + x.square().mean(-1, keepdim=True)) ** self.power


NAMES = {"mixer.weight": 2, "ffn.weight": 2, "mixer_norm.gain": 1, "ffn_norm.gain": 1}


def block(parts, x) -> nn.Module:
    d_model = x.shape[-1]
    made = parts.Block(Mix(d_model), Think(d_model), Size(d_model, 0.5), Size(d_model, 0.25)).to(x.dtype)
    return p.weights(made, {name: (d_model,) * axes for name, axes in NAMES.items()})


def layer(parts, x, state=None, without: str = ""):
    """What the block returns; `without` sets the weights of its mixer or ffn, or of both, to zero."""
    made = block(parts, x)
    with torch.no_grad():
        for name in without.split():
            getattr(made, name).weight.zero_()
    found = made(x, Place(torch.arange(x.shape[1]).unsqueeze(0)), state)
    if not isinstance(found, tuple) or len(found) != 3:
        raise Broken(
            f"forward returned {'a ' + type(found).__name__ if not isinstance(found, tuple) else len(found)}, "
            "not three things.",
            "The model takes apart what a block returns: the stream, what is remembered, and a loss to add.",
            "End it with: return x, state, extra_loss",
        )
    return found


def right(parts, x, state=None, without: str = ""):
    """By the definition, with the block's own four parts."""
    made, place = block(parts, x), Place(torch.arange(x.shape[1]).unsqueeze(0))
    with torch.no_grad():
        for name in without.split():
            getattr(made, name).weight.zero_()
    mixed, state = made.mixer(made.mixer_norm(x), place, state)
    y, extra = made.ffn(made.ffn_norm(x + mixed))
    return x + mixed + y, state, extra


def half_of(name: str, without: str, what: str, why: str, todo: str) -> Property:
    return p.parity(
        name,
        lambda parts, **given: layer(parts, **given, without=without)[0],
        lambda parts, **given: right(parts, **given, without=without)[0],
        what,
        why,
        todo,
    )


def ffn_input(parts, x, way: str):
    """What the ffn's norm is given."""
    made, seen = block(parts, x), []
    hook = made.ffn_norm.register_forward_pre_hook(lambda module, given: seen.append(given[0].clone()))
    place = Place(torch.arange(x.shape[1]).unsqueeze(0))
    if way == "asked":
        made(x, place)
        hook.remove()
        return seen[0] if seen else torch.zeros(())
    return x + made.mixer(made.mixer_norm(x), place)[0]


def stream(draw: Draw, time: int = TIME) -> Inputs:
    return {"x": draw.normal(BATCH, time, D_MODEL)}


CHECKS = Checks(
    call=layer,
    axes={"x": "batch time d_model", "out.0": "batch time d_model"},
    cases={
        "usual": stream,
        "with a state": lambda draw: stream(draw) | {"state": draw.normal(BATCH)},
        "one token": lambda draw: stream(draw, 1),
    },
    properties=(
        p.parameters(lambda parts, given: block(parts, given["x"])),
        half_of(
            "identity",
            "mixer ffn",
            "Where mixer and ffn say nothing, what comes out and what went in",
            "The stream goes through untouched; parts only add to it. That is how gradients reach the first layer.",
            "x = x + ...: what stands to the left of the plus must be the stream itself, not its norm.",
        ),
        half_of(
            "mixer_half",
            "ffn",
            "Where the ffn says nothing, your output and x + mixer(mixer_norm(x))",
            "Each part looks at a normed copy and adds its answer to the stream, which keeps what was said before.",
            "Write the first half alone: normed, mixed, added.",
        ),
        half_of(
            "ffn_half",
            "mixer",
            "Where the mixer says nothing, your output and x + ffn(ffn_norm(x))",
            "Each part looks at a normed copy, by its own norm, and adds its answer to the stream as it was.",
            "Write the second half alone: normed by ffn_norm, thought about, added.",
        ),
        p.parity(
            "ffn_input",
            lambda parts, **given: ffn_input(parts, **given, way="asked"),
            lambda parts, **given: ffn_input(parts, **given, way="by hand"),
            "What ffn_norm is given, and x + mixer(mixer_norm(x)),",
            "A token first reads and then thinks about what it has read.",
            "Which x goes into the second half: the one that came in, or the one with the mixer's answer added?",
        ),
        p.parity(
            "state",
            lambda parts, **given: layer(parts, **given)[1],
            lambda parts, **given: right(parts, **given)[1],
            "The state you return, and the one that the mixer returned,",
            "While text is written the state is all the model remembers; one that is lost or old makes it forget.",
            "y, state = self.mixer(..., place, state), and return that state.",
            case="with a state",
        ),
        p.parity(
            "extra_loss",
            lambda parts, **given: layer(parts, **given)[2],
            lambda parts, **given: right(parts, **given)[2],
            "The extra loss you return, and the one that the ffn returned,",
            "It is what keeps the experts of a mixture balanced; dropped, one of them takes all.",
            "y, extra_loss = self.ffn(...), and return it.",
        ),
        p.isolation("x", "batch", out="out.0"),
        p.gradients("x"),
        p.parameter_gradients(
            lambda parts, given: block(parts, given["x"]),
            lambda module, given: module(given["x"], Place(torch.arange(TIME).unsqueeze(0))),
        ),
    ),
)

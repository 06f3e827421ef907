"""What must hold of adamw, in teaching order."""

import torch
from torch import nn

from firsthand.learn.grader import properties as p
from firsthand.learn.grader.checks import Checks, Draw, Inputs


def weights_and_gradients(draw: Draw, steps: int = 4, eps: float = 1e-3, weight_decay: float = 0.3) -> Inputs:
    return {
        "matrix": draw.normal(3, 5),
        "table": draw.normal(7, 3),
        "gain": 1 + 0.3 * draw.normal(11),
        "to_matrix": draw.normal(steps, 3, 5),
        "to_table": draw.normal(steps, 7, 3),
        "to_gain": draw.normal(steps, 11),
        "lr": 0.1,
        "betas": (0.7, 0.92),
        "eps": eps,
        "weight_decay": weight_decay,
    }


PLACES = {"matrix": "blocks.0.ffn.up.weight", "table": "embedding.weight", "gain": "blocks.0.ffn_norm.weight"}


def descend(parts, lr, betas, eps, weight_decay, **tensors):
    """The weights after each step, and which decay."""
    named = [(name, nn.Parameter(tensors[short].clone())) for short, name in PLACES.items()]
    short = {id(parameter): key for (_, parameter), key in zip(named, PLACES, strict=True)}
    groups = list(parts.parameter_groups(named, weight_decay))
    rows = [(short[id(one)], float(group["weight_decay"])) for group in groups for one in group["params"]]
    optimizer = parts.adamw(named, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
    after: dict[str, list[torch.Tensor]] = {key: [] for key in PLACES}
    for step in range(len(tensors["to_matrix"])):
        for (_, parameter), key in zip(named, PLACES, strict=True):
            parameter.grad = tensors[f"to_{key}"][step]
        optimizer.step()
        for (_, parameter), key in zip(named, PLACES, strict=True):
            after[key].append(parameter.detach().clone())
    return {key: torch.stack(found) for key, found in after.items()} | {"decays": sorted(rows)}


def axes_and_decay(parts, *shapes: tuple[int, ...]) -> list[tuple[int, float]]:
    """Of parameters of these shapes, all called weight, with a decay of 0.3."""
    named = [(f"layer{i}.weight", nn.Parameter(torch.ones(shape))) for i, shape in enumerate(shapes)]
    groups = parts.parameter_groups(named, 0.3)
    return sorted((one.dim(), float(group["weight_decay"])) for group in groups for one in group["params"])


def still(given: Inputs) -> Inputs:
    """No gradient anywhere."""
    return given | {name: torch.zeros_like(one) for name, one in given.items() if name.startswith("to_")}


def bare(given: Inputs) -> Inputs:
    return given | {"eps": 1e-12, "weight_decay": 0.0}


def two_steps(parts):
    weight = nn.Parameter(torch.zeros(1, 1, dtype=torch.float64))
    optimizer = parts.adamw([("weight", weight)], lr=0.1, betas=(0.7, 0.92), eps=1e-12, weight_decay=0.0)
    found = []
    for gradient in (2.0, -1.0):
        weight.grad = torch.full_like(weight, gradient)
        optimizer.step()
        found.append(round(float(weight.detach()), 6))
    return found


def matrix(parts, factor: float = 1.0, shift: float = 0.0, **given):
    given = bare(given)
    given["to_matrix"] = factor * given["to_matrix"]
    given["to_gain"] = given["to_gain"] + shift
    return descend(parts, **given)["matrix"]


def shrunk(given: Inputs) -> torch.Tensor:
    steps = torch.arange(1, len(given["to_matrix"]) + 1, dtype=torch.float64)
    return given["matrix"] * (1 - given["lr"] * given["weight_decay"]) ** steps[:, None, None]


ADAMW = Checks(
    call=descend,
    axes={
        "to_matrix": "step out_channels in_channels",
        "to_gain": "step channels",
        "to_table": "step token width",
        "out.matrix": "step out_channels in_channels",
        "out.gain": "step channels",
        "out.table": "step token width",
    },
    cases={
        "usual": weights_and_gradients,
        "an eps that is felt": lambda draw: weights_and_gradients(draw, eps=0.1),
        "no decay": lambda draw: weights_and_gradients(draw, weight_decay=0.0),
        "twenty steps": lambda draw: weights_and_gradients(draw, steps=20),
    },
    borrowed=("AdamW", "_fused_adamw_"),
    properties=(
        p.holds(
            "groups",
            lambda given, out: [name for name, _ in out["decays"]] == sorted(PLACES),
            "parameter_groups does not hold every parameter exactly once.",
            "What is in no group never learns; what is in two is moved twice.",
            "Count the parameters of all groups.",
        ),
        p.holds(
            "gains_stay",
            lambda given, out: (out["gain"] - given["gain"]).abs() < 1e-9,
            "Without a gradient the gain of a norm moved ({where}).",
            "A gain belongs near 1. Decay would pull it to 0, and with it all that flows through the norm.",
            "parameter_groups: weights with one axis have weight_decay 0.0.",
            changed=still,
        ),
        p.by_hand(
            "groups_by_axes",
            lambda parts: axes_and_decay(parts, (7,), (3, 5), (4, 1, 3)),
            [(1, 0.0), (2, 0.3), (3, 0.3)],
            "The number of axes and the decay of a gain (7), a matrix (3, 5) and a kernel (4, 1, 3)",
            "What mixes channels decays, however many axes it has; only what scales or shifts one channel does not.",
            "Compare the number of axes with 2: .dim() >= 2.",
        ),
        p.holds(
            "decay_alone",
            lambda given, out: (out["matrix"] - shrunk(given)).abs() < 1e-9,
            "Without a gradient the matrix should shrink by lr · weight_decay = 3 % a step; yours does not ({where}).",
            "Decay acts on the weights themselves. As part of the gradient it would be divided by its own size.",
            "parameter *= 1 - lr * weight_decay; the gradient has no part in it.",
            changed=still,
        ),
        p.holds(
            "first_step",
            lambda given, out: (out["matrix"][0] - given["matrix"] + 0.1 * given["to_matrix"][0].sign()).abs() < 1e-6,
            "With eps near 0 and no decay the first step should be lr = 0.1 for each weight, against the sign of its "
            "gradient; yours is not ({where}).",
            "After one gradient g the corrected mean is g and the corrected square g², so g / √g² is ±1.",
            "Work out mean, square and both corrections for g = 2: 0.6 / 0.3 and 0.32 / 0.08 with betas 0.7 and 0.92.",
            changed=bare,
        ),
        p.by_hand(
            "second_step",
            two_steps,
            [-0.1, -0.115071],
            "A weight of 0 after the gradients 2 and -1 (lr 0.1, betas 0.7 and 0.92, no decay)",
            "Mean: 0.7 · 0.6 - 0.3 · 1 = 0.12, over 1 - 0.7² = 0.51. Square: 0.92 · 0.32 + 0.08 · 1 = 0.3744, over "
            "1 - 0.92² = 0.1536. The step is 0.1 · 0.2353 / √2.4375 = 0.0151.",
            "Print mean, square and what they are divided by after the second gradient.",
        ),
        p.parity(
            "size_does_not_matter",
            matrix,
            lambda parts, **given: matrix(parts, factor=100.0, **given),
            "The weights after gradients and after gradients 100 times as large (eps near 0, no decay)",
            "Mean and root of the square grow alike, so their ratio stays. That is why one rate suits all weights.",
            "What is divided by what? The root belongs around the square, and eps outside of it.",
            tolerance=1e-6,
        ),
        p.parity(
            "strangers",
            matrix,
            lambda parts, **given: matrix(parts, shift=3.0, **given),
            "The matrix before and after another parameter gets other gradients",
            "Every parameter has a mean and a square of its own.",
            "Where is the state made, and for whom?",
        ),
    ),
)

"""Masks: what must hold, in teaching order."""

import torch
from torch import nn

from firsthand.contracts.finding import Broken
from firsthand.errors import UserError
from firsthand.learn.grader import properties as p
from firsthand.learn.grader.checks import Checks, Property
from firsthand.learn.grader.subject import Raised, Sign


def tiny(seed: int = 3) -> nn.Module:
    """Two maps of one shape, so that a mask may meet the wrong one; in fp64, the same at every call."""
    model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8)).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for one in model.parameters():
            one.copy_(torch.randn(one.shape, generator=generator, dtype=torch.float64))
    return model


NAMES = ["0.weight", "2.weight"]
MASKS = {name: (torch.arange(64).view(8, 8) + i) % 3 != 0 for i, name in enumerate(NAMES)}
MASKED = ~torch.stack(list(MASKS.values()))


def adamw(parameters):
    return torch.optim.AdamW(parameters, lr=0.1, weight_decay=0.1)


def momentum(parameters):
    return torch.optim.SGD(parameters, lr=0.01, momentum=0.9)


def weights(model: nn.Module) -> torch.Tensor:
    return torch.stack([model.get_parameter(name).detach() for name in NAMES])


@torch.enable_grad()
def trained(parts, steps: int = 3, rule=adamw):
    """Both weights after some steps."""
    model = tiny()
    before = sorted(name for name, _ in model.named_parameters())
    parts.apply_masks(model, {name: mask.clone() for name, mask in MASKS.items()})
    names = sorted(name for name, _ in model.named_parameters())
    if names != before:
        raise Broken(
            f"After apply_masks the parameters are called {', '.join(names)}.",
            "A checkpoint finds weights by their names, and so does the next mask.",
            "Change the numbers of the parameters that are there, and hang a hook on them.",
        )
    optimizer = rule(model.parameters())
    x = torch.arange(40, dtype=torch.float64).view(5, 8).sin()
    for _ in range(steps):
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()
    return weights(model)


def left(parts, steps: int, rule=adamw) -> int:
    """How many of the numbers that are masked are not zero after so many steps."""
    return int((trained(parts, steps, rule)[MASKED] != 0).sum())


def whole_fours(subject) -> None:
    try:
        mask = subject.within(lambda parts: parts.mask_2_of_4(torch.ones(2, 6)))
    except Raised as error:
        if isinstance(error.__cause__, UserError | ValueError):
            return
        todo = "Raise UserError if weight.shape[1] % 4 is not 0."
        raise error.instead("A refusal is right here, and what is asked for is UserError.", todo) from error
    shape = tuple(getattr(mask, "shape", ()))
    raise Sign(
        f"A weight (2, 6), with rows of 6, was taken without a word; the mask is {shape}.",
        "Its second four would begin in one row and end in the next, which no hardware multiplies.",
        "Raise UserError if weight.shape[1] % 4 is not 0.",
        "silent" if shape == (2, 6) else "cut",
    )


def weight_stays(subject) -> None:
    """Both masks only look at the weight."""
    for name in ("magnitude_mask", "mask_2_of_4"):
        weight = torch.tensor([[0.1, -3.0, 2.0, -0.2]])
        more = (0.5,) if name == "magnitude_mask" else ()
        subject.within(lambda parts, name=name, weight=weight, more=more: getattr(parts, name)(weight, *more))
        if weight.tolist() != torch.tensor([[0.1, -3.0, 2.0, -0.2]]).tolist():
            raise Sign(
                f"After {name} the weight (0.1, -3, 2, -0.2) is {[round(one, 6) for one in weight[0].tolist()]}.",
                "A mask only says which; it may be looked at, or compared with another, before apply_masks prunes.",
                "Look for functions that end in _ (abs_, mul_), for *= and for weight[...] = in it.",
                name,
            )


def pruned(parts, weight, sparsity, train):
    masks = {"magnitude": parts.magnitude_mask(weight, sparsity), "two_of_four": parts.mask_2_of_4(weight)}
    return masks | ({"trained": trained(parts)} if train else {})


def some(rows: int, columns: int, sparsity: float, train: bool = False):
    return lambda draw: {"weight": draw.normal(rows, columns), "sparsity": sparsity, "train": train}


PRUNE = Checks(
    call=pruned,
    axes={
        "weight": "d_out d_in",
        "out.magnitude": "d_out d_in",
        "out.two_of_four": "d_out d_in",
    },
    picture="usual",
    cases={
        "usual": some(7, 12, 0.7, train=True),
        "half": some(5, 20, 0.5),
        "a few": some(3, 28, 0.1),
        "nothing": some(3, 8, 0.0),
        "everything": some(3, 8, 1.0),
        "one row": some(1, 4, 0.25),
    },
    borrowed=("l1_unstructured", "custom_from_mask", "ln_structured"),
    properties=(
        p.by_hand(
            "smallest_go",
            lambda parts: parts.magnitude_mask(torch.tensor([[0.1, -3.0], [2.0, -0.2]]), 0.5).tolist(),
            [[False, True], [True, False]],
            "magnitude_mask of (0.1, -3) and (2, -0.2) with sparsity 0.5",
            "What is nearest to zero is missed least; -3 is far from zero.",
            "Sort the sizes, abs(weight); the smallest become False.",
        ),
        p.by_hand(
            "over_the_whole",
            lambda parts: parts.magnitude_mask(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), 0.5).tolist(),
            [[False, False], [True, True]],
            "magnitude_mask of (1, 2) and (3, 4) with sparsity 0.5",
            "All numbers of the weight compete with each other: a row of small numbers may lose all of them.",
            "Sort all sizes at once: flatten first.",
        ),
        p.holds(
            "so_many_go",
            lambda given, out: int((~out["magnitude"]).sum()) == round(given["sparsity"] * given["weight"].numel()),
            "The number of weights that go is not sparsity · numel, rounded to the nearest whole number.",
            "sparsity is the share that goes. 0.7 · 84 is 58.8, so that 59 go.",
            "round(sparsity * weight.numel()), and that many False.",
        ),
        p.by_hand(
            "ties",
            lambda parts: int((~parts.magnitude_mask(torch.tensor([[1.0, -1.0, 1.0, 1.0]]), 0.5)).sum()),
            2,
            "The number of weights that go of (1, -1, 1, 1) with sparsity 0.5",
            "Weights in 8 bits are often equal; a border in size takes all of them or none.",
            "Choose places and not a border: the first of the order that argsort gives.",
        ),
        p.by_hand(
            "two_of_four",
            lambda parts: parts.mask_2_of_4(torch.tensor([[1.0, -4.0, 2.0, 3.0, 9.0, 8.0, -7.0, 0.0]])).tolist(),
            [[False, True, False, True, True, True, False, False]],
            "mask_2_of_4 of (1, -4, 2, 3, 9, 8, -7, 0)",
            "The fours are (1, -4, 2, 3) and (9, 8, -7, 0); hardware multiplies two of each, wherever they stand.",
            "Reshape each row to (d_in / 4, 4), and take the two largest sizes along the last axis.",
        ),
        p.by_hand(
            "equal_of_four",
            lambda parts: int(parts.mask_2_of_4(torch.tensor([[1.0, -1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 2.0]])).sum()),
            4,
            "The number of weights that stay of the fours (1, -1, 1, 1) and (0, 0, 0, 2)",
            "Two of each four is what hardware has room for, also where sizes are equal.",
            "Choose places and not a border: the indices that topk gives.",
        ),
        Property("whole_fours", whole_fours),
        Property("weight_stays", weight_stays),
        p.by_hand(
            "zero_at_once",
            lambda parts: left(parts, 0),
            0,
            "The number of masked weights that are not zero right after apply_masks",
            "A mask that nobody multiplies with prunes nothing.",
            "model.get_parameter(name) times mask, in place, under torch.no_grad().",
        ),
        p.by_hand(
            "others_stay",
            lambda parts: bool((trained(parts, 0) == weights(tiny()))[~MASKED].all()),
            True,
            "Whether the weights that stay are what they were",
            "Pruning takes away; it does not change the rest.",
            "Multiply by the mask, once.",
        ),
        p.by_hand(
            "zero_after_training",
            lambda parts: [left(parts, 5, adamw), left(parts, 5, momentum)],
            [0, 0],
            "The number of masked weights that are not zero after 5 steps of AdamW, and of SGD,",
            "The first step of training would fill the holes again: a zero has a gradient like any other number.",
            "weight.register_hook(lambda gradient: gradient * mask). In a loop, bind the mask: lambda g, mask=mask:",
        ),
        p.by_hand(
            "others_learn",
            lambda parts: bool((trained(parts, 1) != weights(tiny()))[~MASKED].all()),
            True,
            "Whether every weight that stays has moved after a step",
            "What is left has to make up for what is gone.",
            "Only the gradients of masked weights are set to zero.",
        ),
    ),
)

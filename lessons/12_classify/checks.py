"""The last token and a head, and what is frozen: what must hold, in teaching order."""

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from firsthand.contracts.finding import Broken
from firsthand.learn.grader import properties as p
from firsthand.learn.grader.checks import Checks, Draw, Inputs, module

# no two alike, and none a power of another
BATCH, TIME, D_MODEL, CLASSES = 3, 7, 11, 5


def texts(draw: Draw, lengths: tuple[int, ...] = (2, 6, 4), time: int = TIME) -> Inputs:
    return {"hidden": draw.normal(len(lengths), time, D_MODEL), "lengths": torch.tensor(lengths), "classes": CLASSES}


def head_of(parts, x):
    head = parts.ClassifierHead(D_MODEL, CLASSES).to(x.dtype)
    return p.weights(head, {"weight": (CLASSES, D_MODEL), "bias": (CLASSES,)})


def scored(parts, hidden, lengths, classes):
    pooled = parts.pool_last(hidden, lengths)
    return {"pooled": pooled, "logits": head_of(parts, hidden)(pooled)}


def padded(parts, more: float = 0.0, **given):
    hidden = given["hidden"].clone()
    for row, length in enumerate(given["lengths"].tolist()):
        hidden[row, length:] += more
    return parts.pool_last(hidden, given["lengths"])


def longer(parts, **given):
    """Three more columns of padding."""
    hidden = F.pad(given["hidden"], (0, 0, 0, 3), value=9.0)
    return parts.pool_last(hidden, given["lengths"])


def first_guess(parts) -> float:
    """The probability of the likeliest class from a new head."""
    x = torch.linspace(-1, 1, D_MODEL)
    return float(parts.ClassifierHead(D_MODEL, CLASSES)(x).softmax(-1).max())


HEAD = Checks(
    call=scored,
    axes={
        "hidden": "batch time d_model",
        "lengths": "batch",
        "out.pooled": "batch d_model",
        "out.logits": "batch classes",
    },
    cases={
        "usual": texts,
        "a row that is full": lambda draw: texts(draw, (7, 3)),
        "rows of one token": lambda draw: texts(draw, (1, 1, 1, 1)),
        "one text, no padding": lambda draw: texts(draw, (6,), 6),
    },
    edges=("a row that is full", "one text, no padding"),
    properties=(
        p.by_hand(
            "last_of_each",
            lambda parts: parts.pool_last(torch.arange(12.0).view(2, 3, 2), torch.tensor([2, 3])),
            torch.tensor([[2.0, 3.0], [10.0, 11.0]]),
            "pool_last of ((0 1) (2 3) (4 5)) and ((6 7) (8 9) (10 11)), lengths 2 and 3,",
            "A text of 2 tokens ends at its token 1. What stands behind it is padding.",
            "Which column does each row take? Print lengths - 1.",
        ),
        p.parity(
            "padding_unread",
            padded,
            lambda parts, **given: padded(parts, more=5.0, **given),
            "What pool_last gives before and after changing the padding",
            "Padding is there to make rows equally long. It says nothing, so nothing may depend on it.",
            "Count from the front: the last real token of row b is lengths[b] - 1.",
        ),
        p.parity(
            "padding_length",
            lambda parts, **given: parts.pool_last(given["hidden"], given["lengths"]),
            longer,
            "What pool_last gives for a row alone and for the same row with more padding",
            "A text's class must not depend on the longest text beside it.",
            "Is there a size in your line that comes from the number of columns?",
        ),
        p.parameters(lambda parts, given: head_of(parts, given["hidden"])),
        p.parity(
            "any_axes_before",
            lambda parts, hidden, **_: head_of(parts, hidden)(hidden),
            lambda parts, hidden, **_: torch.stack([head_of(parts, hidden)(row) for row in hidden.unbind(1)], 1),
            "The head of (batch, time, d_model), and of the same vectors column by column,",
            "A head looks at vectors, however many axes stand before them; which of them to take is for pool_last.",
            "x @ weight.T + bias, and nothing that takes part of x.",
        ),
        p.start_value(
            "no_opinion",
            first_guess,
            1 / CLASSES,
            1e-6,
            f"The probability that a new head of {CLASSES} classes gives to the likeliest",
            "A head that knows nothing should say so: the first loss is then ln(num_classes), and the first gradient "
            "comes from the data, not from chance.",
            "torch.zeros for weight and bias.",
        ),
        p.start_value(
            "starts_at_zero",
            lambda parts: max(float(one.detach().abs().max()) for one in parts.ClassifierHead(11, 5).parameters()),
            0.0,
            0.0,
            "The largest number in a new head",
            "Equal logits are no opinion either; but weight and bias begin at zero, and nothing else.",
            "torch.zeros for weight and bias.",
        ),
        p.isolation("hidden", "batch", out="out.logits"),
        p.gradients("hidden"),
        p.parameter_gradients(
            lambda parts, given: head_of(parts, given["hidden"]), lambda head, given: head(given["hidden"][:, 0])
        ),
    ),
)


class Toy(nn.Module):
    """The names of a model, and no more than that."""

    def __init__(self, n_layers: int) -> None:
        super().__init__()
        self.unembedding: nn.Module
        self.embedding = nn.Embedding(3, 2)
        self.blocks = nn.ModuleList(
            nn.ModuleDict({"mixer_norm": nn.LayerNorm(2), "ffn": nn.Linear(2, 2)}) for _ in range(n_layers)
        )
        self.norm = nn.LayerNorm(2)
        self.unembedding = nn.Linear(2, 4)


def frozen(parts, n_layers: int, policy: str, before: str = "all"):
    """What is said to learn, and what does."""
    model = Toy(n_layers)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(before == "all" or name.startswith("embedding"))
    names = parts.freeze(model, policy)
    strange = [one for one in names or () if not isinstance(one, str)]
    if names is None or strange:
        raise Broken(
            f"freeze returned {'nothing' if names is None else f'a {type(strange[0]).__name__} among its names'}.",
            "Whoever calls it looks the parameters up by their names.",
            "Return the list of names, as named_parameters() gives them.",
        )
    names = list(names)
    learns = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    return {"names": names, "learns": learns}


def of(n_layers: int, policy: str, before: str = "all"):
    return lambda draw: {"n_layers": n_layers, "policy": policy, "before": before}


FREEZE = Checks(
    call=frozen,
    cases={
        "usual": of(3, "last_block"),
        "the head": of(3, "head"),
        "all": of(3, "all"),
        "all, after something else": of(2, "all", "embedding"),
        "the head, after something else": of(2, "head", "embedding"),
        "the last of twelve": of(12, "last_block"),
        "the last of two": of(2, "last_block"),
        "the last of one": of(1, "last_block"),
    },
    properties=(
        p.parity(
            "head",
            lambda parts, **_: frozen(parts, 3, "head")["learns"],
            lambda parts, **_: ["unembedding.weight", "unembedding.bias"],
            "With policy head what learns, and the head's weight and bias,",
            "The head is new and knows nothing: if it stays as it is, nothing is learnt.",
            "requires_grad_(True) where the name starts with unembedding., requires_grad_(False) elsewhere.",
        ),
        p.parity(
            "names",
            lambda parts, **given: frozen(parts, **given)["names"],
            lambda parts, **given: frozen(parts, **given)["learns"],
            "The names that you return, and those of the parameters whose requires_grad is True,",
            "The optimizer is given what learns: what is missing there stays, what is too much there decays.",
            "Collect the name in the same line that sets requires_grad.",
        ),
        p.parity(
            "undoes",
            lambda parts, **_: frozen(parts, 2, "all", "embedding")["learns"],
            lambda parts, **_: [name for name, _ in Toy(2).named_parameters()],
            "With policy all, after another policy, what learns, and everything,",
            "A model is often frozen first and freed later.",
            "Set requires_grad to True or False for every parameter; do not only switch off.",
        ),
        p.parity(
            "last_of_many",
            lambda parts, **_: frozen(parts, 12, "last_block")["learns"],
            lambda parts, **_: [
                name
                for name, _ in Toy(12).named_parameters()
                if name.startswith(("blocks.11.", "norm.", "unembedding."))
            ],
            "Of 12 blocks, what learns with policy last_block, and what should",
            "The last block is number 11; its names begin with blocks.11. and nobody else's do.",
            "len(model.blocks) - 1, and a dot behind the number: blocks.1 is the beginning of blocks.11 too.",
        ),
        p.refuses(
            "unknown_policy",
            lambda parts: frozen(parts, 2, "heads"),
            (ValueError,),
            'freeze(model, "heads"), with a typing mistake, raised nothing.',
            "A run would train for hours, and not what was meant.",
            "raise ValueError if the policy is none of the three.",
        ),
    ),
)

MEASURES = module(Path(__file__).with_name("measures_checks.py")).MEASURES

CHECKS = {"pool_and_head": HEAD, "freeze": FREEZE, "measures": MEASURES}

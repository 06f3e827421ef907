"""The model: what must hold, in teaching order."""

import torch
from torch import nn

from firsthand.learn.grader import properties as p
from firsthand.learn.grader.checks import Checks, Draw, Inputs, Property
from firsthand.learn.grader.subject import Sign
from firsthand.types import Place

# no two alike, and none a power of another
BATCH, TIME, VOCAB, D_MODEL, CONTEXT, BLOCKS = 2, 5, 23, 14, 11, 3


class Where(nn.Module):
    """Positions: a table, added. Adding it twice shows."""

    def __init__(self) -> None:
        super().__init__()
        self.context_length, self.table = CONTEXT, nn.Parameter(torch.zeros(CONTEXT, D_MODEL))

    def embed(self, x, index):
        return x + self.table[index]


class Layer(nn.Module):
    """A block with one matrix: it adds a mean of what came before, and says what it remembers and its extra loss."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(D_MODEL, D_MODEL))

    def forward(self, x, place, state=None):
        seen = torch.tanh(x @ self.weight).cumsum(1) / (1 + place.index[..., None])
        after = None if state is None else state + self.weight[0, 0]
        return x + seen + (0.0 if state is None else state[:, None, None]), after, seen.square().mean()


class Size(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(D_MODEL))

    def forward(self, x):
        return x * self.gain / (1 + x.square().mean(-1, keepdim=True)).sqrt()


def build(parts, tied: bool = True) -> nn.Module:
    layers = [Layer() for _ in range(BLOCKS)]
    model = parts.LanguageModel(layers, VOCAB, D_MODEL, CONTEXT, Where(), Size(), tied=tied).double()
    shapes = {"embedding.weight": (VOCAB, D_MODEL), "position.table": (CONTEXT, D_MODEL), "norm.gain": (D_MODEL,)}
    shapes |= {f"blocks.{i}.weight": (D_MODEL, D_MODEL) for i in range(BLOCKS)}
    there = dict(model.named_parameters())
    if tied and "unembedding.weight" in there:
        copied = torch.equal(there["unembedding.weight"], there.get("embedding.weight", torch.zeros(())))
        raise Sign(
            f"The model is tied, and has a parameter unembedding.weight {tuple(there['unembedding.weight'].shape)} of "
            f"its own{', a copy of the embedding' * copied}.",
            "Tied means one parameter in two places: a copy is the same on the first day only, and is counted twice.",
            "Use self.embedding.weight itself in head, or set unembedding.weight = embedding.weight, the same object.",
            "copy" if copied else "untied",
        )
    if getattr(model, "context_length", None) != CONTEXT:
        raise Sign(
            "The model does not say how many tokens it reads: it has no context_length.",
            "Whoever writes with it, or counts its operations, asks it.",
            "self.context_length = context_length, as the stub has it.",
            "context",
        )
    listed = sorted(name for name in there if name.startswith("blocks."))
    if not listed:
        raise Sign(
            "The model has no parameters of blocks.",
            "A plain list hides them: no optimizer would find them, and no checkpoint.",
            "self.blocks = nn.ModuleList(blocks)",
            "hidden",
        )
    if listed == ["blocks.0.weight"]:
        raise Sign(
            f"{BLOCKS} blocks were given, and the model has the parameters of one.",
            "Layers learn different things because each has weights of its own.",
            "self.blocks = nn.ModuleList(blocks): all of them, each once.",
            "shared",
        )
    return p.weights(model, shapes if tied else shapes | {"unembedding.weight": (VOCAB, D_MODEL)})


def at(ids, offset: int = 0) -> Place:
    return Place.of(ids, offset)


def run(parts, ids, vocab_size, tied=True, states=None):
    """By the four methods one after another, the tokens standing at 3, 4, ...; and by forward, standing at 0."""
    model = build(parts, tied)
    x, after, extra_loss = model.trunk(model.embed(ids, at(ids, 3)), at(ids, 3), states)
    return {"logits": model(ids), "trunk": x, "later": model.head(x), "states": after, "extra_loss": extra_loss}


def embedded(parts, ids, by_hand: bool):
    model = build(parts)
    return (
        model.embedding.weight[ids] + model.position.table[3 + torch.arange(TIME)]
        if by_hand
        else model.embed(ids, at(ids, 3))
    )


def stacked(parts, ids, by_hand: bool, want: int, states: bool = False):
    model, place = build(parts), at(ids)
    x = model.embedding.weight[ids]
    given = [torch.full((BATCH,), 0.1 * (i + 1), dtype=torch.float64) for i in range(BLOCKS)] if states else None
    if not by_hand:
        return model.trunk(x, place, given)[want]
    extra_loss, after = torch.zeros((), dtype=torch.float64), []
    for i, block in enumerate(model.blocks):
        x, state, extra = block(x, place, given[i] if given else None)
        extra_loss = extra_loss + extra
        after.append(state)
    return (x, after if states else None, extra_loss)[want]


def headed(parts, ids, by_hand: bool, tied: bool = True):
    model = build(parts, tied)
    x = 3 * model.embedding.weight[ids]
    matrix = model.embedding.weight if tied else model.unembedding.weight
    return model.norm(x) @ matrix.T if by_hand else model.head(x)


def pulled(parts, ids, by_hand: bool):
    """What comes back to the embedding's matrix from the logits of a fixed stream."""
    model = build(parts)
    x = 3 * model.embedding.weight[ids].detach()
    with torch.enable_grad():
        logits = model.norm(x) @ model.embedding.weight.T if by_hand else model.head(x)
        logits.square().sum().backward()
    found = model.embedding.weight.grad
    return torch.zeros_like(model.embedding.weight) if found is None else found


def whole(parts, ids, by_hand: bool):
    model, place = build(parts), at(ids)
    return model.head(model.trunk(model.embed(ids, place), place)[0]) if by_hand else model(ids)


def elsewhere(parts, ids, by_hand: bool):
    model, place = build(parts), at(ids, 3)
    return model.head(model.trunk(model.embed(ids, place), place)[0]) if by_hand else model(ids, place)


def two_ways(name: str, way, what: str, why: str, todo: str, **more) -> Property:
    return p.parity(
        name,
        lambda parts, ids, **_: way(parts, ids, by_hand=False, **more),
        lambda parts, ids, **_: way(parts, ids, by_hand=True, **more),
        what,
        why,
        todo,
    )


def ids(draw: Draw, batch: int = BATCH, time: int = TIME) -> Inputs:
    return {"ids": draw.integers(VOCAB, batch, time), "vocab_size": VOCAB}


CHECKS = Checks(
    call=run,
    axes={"ids": "batch time", "out.logits": "batch time vocab_size", "out.later": "batch time vocab_size"},
    cases={
        "usual": ids,
        "not tied": lambda draw: ids(draw) | {"tied": False},
        "with states": lambda draw: ids(draw) | {"states": [draw.normal(BATCH) for _ in range(BLOCKS)]},
        "one token": lambda draw: ids(draw, 1, 1),
    },
    properties=(
        p.parameters(lambda parts, given: build(parts)),
        two_ways(
            "embedded",
            embedded,
            "What embed returns, and the rows of the embedding with their positions added once,",
            "Each token becomes its row of the table; the position scheme adds where it stands, from place.index.",
            "return self.position.embed(self.embedding(ids), place.index)",
        ),
        two_ways(
            "stacked",
            stacked,
            "What trunk returns, and what all blocks in a row make of the same x,",
            "The trunk is the blocks, each once and in order, and nothing besides.",
            "Print how often each block is called, and what happens to x before, between and after.",
            want=0,
        ),
        two_ways(
            "extra_loss",
            stacked,
            "The extra loss of the trunk, and the sum of those of its blocks,",
            "Every mixture of experts among the layers has its own to add.",
            "Begin with no_extra_loss(x), and add each block's.",
            want=2,
        ),
        two_ways(
            "states",
            stacked,
            "The states that trunk returns, and those that the blocks returned,",
            "Block i remembers in state i while text is written; the old or another's state makes nonsense.",
            "block(x, place, states[i]) for each, and the new states in a list.",
            want=1,
            states=True,
        ),
        two_ways(
            "headed",
            headed,
            "What head returns for some x, and norm(x) times the embedding's matrix,",
            "The stream has grown layer by layer; the norm brings it back before it is compared with each token's row.",
            "One norm, one product, and no softmax: the loss does that itself, and better.",
        ),
        two_ways(
            "headed_untied",
            headed,
            "What head of an untied model returns, and norm(x) times unembedding's matrix,",
            "Untied, the head has a matrix of its own.",
            "Look at what `tied` decides.",
            tied=False,
        ),
        two_ways(
            "tied_learns",
            pulled,
            "What comes back to the embedding's matrix from head's logits, and from norm(x) times that matrix,",
            "Tied, both are one parameter: each logit trains the row of its token, as each lookup does.",
            "Look for .detach(), .data, .clone() or torch.no_grad() around embedding.weight in head.",
        ),
        two_ways(
            "whole",
            whole,
            "What forward returns, and head(trunk(embed(ids))),",
            "Training goes through forward, writing through its three parts: they have to be the same model.",
            "embed, trunk, head; without a place, Place.of(ids).",
        ),
        two_ways(
            "placed",
            elsewhere,
            "What forward returns for tokens that stand at 3, 4, ..., and head(trunk(embed(ids, place), place)),",
            "Rows of several texts begin anew in the middle, so where a token stands is for the caller to say.",
            "place = Place.of(ids) only where no place is given; hand it to embed and to trunk.",
        ),
        p.perturb_future("ids", "time", out="out.logits"),
        p.isolation("ids", "batch", out="out.logits"),
        p.parameter_gradients(lambda parts, given: build(parts, False), lambda model, given: model(given["ids"])),
    ),
)

"""What must hold of bigram, in teaching order."""

import math

import torch

from firsthand.learn.grader import properties as p
from firsthand.learn.grader.checks import Checks, Draw, Inputs

NORMAL = [0.00135, 0.0214, 0.13591, 0.34134, 0.34134, 0.13591, 0.0214, 0.00135]
"""Shares of the standard normal between its whole numbers, from below -3 to above 3."""


def table(draw: Draw, batch: int = 2, time: int = 7, vocab_size: int = 11, d_model: int = 5) -> Inputs:
    """Each row of ids holds token 0, and two tokens that never stand beside one another alike."""
    ids = draw.integers(vocab_size, batch, time)
    ids[:, time // 2] = 0
    return {"ids": ids, "vocab_size": vocab_size, "d_model": d_model, "like": draw.normal(1)}


def embedding_of(parts, given: Inputs):
    made = parts.Embedding(given["vocab_size"], given["d_model"]).to(given["like"].dtype)
    return p.weights(made, {"weight": (given["vocab_size"], given["d_model"])})


def bigram_of(parts, given: Inputs):
    made = parts.Bigram(given["vocab_size"]).to(given["like"].dtype)
    return p.weights(made, {"embedding.weight": (given["vocab_size"],) * 2})


def start_of(parts, generator) -> torch.Tensor:
    """Which of eight ranges each number of a new Embedding is in; the borders are -3, -2, ... 3."""
    return torch.bucketize(parts.Embedding(101, 89).weight.detach(), torch.arange(-3.0, 4.0))


def use(parts, **given):
    return {
        "vectors": embedding_of(parts, given)(given["ids"]),
        "logits": bigram_of(parts, given)(given["ids"]),
    }


def looked_up(make, leaf: str):
    """Rows of the table, in the order of the ids, and what they should be."""

    def read(subject):
        given = subject.inputs()
        weight = next(iter(subject.within(lambda parts: make(parts, given)).parameters())).detach()
        return subject.ask(given)[leaf], weight[given["ids"]]

    return read


def arrivals(parts, **given):
    """For each token, what comes back to its row of the embedding if each of its vectors' numbers is pulled at by 1."""
    with torch.enable_grad():
        made = embedding_of(parts, given)
        vectors = made(given["ids"])
        if vectors.requires_grad:
            vectors.sum().backward()
        return torch.zeros(given["vocab_size"]) if made.weight.grad is None else made.weight.grad[:, 0].float()


def first_loss(parts) -> float:
    """In nats a token, before any training."""
    ids = torch.arange(22).view(2, 11) % 11
    logits = parts.Bigram(11)(ids)
    return float(-logits.double().log_softmax(-1).flatten(0, -2)[:, 3].mean())


BIGRAM = Checks(
    call=use,
    axes={
        "ids": "batch time",
        "out.vectors": "batch time d_model",
        "out.logits": "batch time vocab_size",
    },
    cases={
        "usual": table,
        "one token": lambda draw: table(draw, batch=1, time=1),
        "a vocabulary of two": lambda draw: table(draw, batch=3, time=5, vocab_size=2, d_model=7),
    },
    properties=(
        p.parameters(lambda parts, given: (embedding_of(parts, given), bigram_of(parts, given))[1]),
        p.constant_factor(
            looked_up(embedding_of, "vectors"),
            "vectors",
            "An embedding hands out its rows as they are; whoever wants them larger learns them larger.",
            "Return rows of the weight, and nothing else.",
            name="embedding_scale",
        ),
        p.isolation("ids", "batch", "out.logits"),
        p.isolation("ids", "time", "out.logits", name="one_back"),
        p.parity(
            "rows",
            lambda parts, **given: use(parts, **given)["logits"],
            lambda parts, **given: bigram_of(parts, given).embedding.weight.detach()[given["ids"]],
            "Your logits and the rows of the table that belong to the ids",
            "What follows token i stands in row i. The place in the text, and all other tokens, do not matter.",
            "Take ids (1, 1), look at your weight's row 1, and compare.",
            axis="time",
        ),
        p.start_value(
            "first_loss",
            first_loss,
            math.log(11),
            1e-6,
            "The loss of a new Bigram of 11 tokens",
            "Who knows nothing gives all tokens the same chance, 1/11, and loses ln 11 = 2.40 nats on each.",
            "Set the table to zeros when it is made.",
        ),
        p.start_value(
            "table_of_zeros",
            lambda parts: float(parts.Bigram(11).embedding.weight.detach().abs().max()),
            0.0,
            0.0,
            "The largest number in the table of a new Bigram",
            "Equal logits are the same chance for all, but only zeros are the start that the docstring names.",
            "nn.init.zeros_(self.embedding.weight)",
        ),
        p.distribution(
            "embedding_start",
            start_of,
            NORMAL,
            "An Embedding begins with numbers from the standard normal; these are the shares below -3, from -3 to -2, "
            "and so on.",
            "torch.randn(vocab_size, d_model)",
        ),
        p.parity(
            "row_gradients",
            arrivals,
            lambda parts, ids, vocab_size, **_: torch.bincount(ids.flatten(), minlength=vocab_size).float(),
            "What comes back to the rows of the embedding and how often each token was read",
            "Every token learns from every place where it stands; token 0 is a token like any other.",
            "Look for padding_idx, .detach(), .data, or a mask on ids of 0.",
        ),
        p.parameter_gradients(lambda parts, given: bigram_of(parts, given), lambda module, given: module(given["ids"])),
    ),
)

"""How many numbers: what must hold, in teaching order."""

import torch
from torch import nn

from firsthand.learn.grader import properties as p
from firsthand.learn.grader.checks import Checks, Draw, Inputs
from firsthand.model.block import Block
from firsthand.model.ffns.mlp import MLP
from firsthand.model.language_model import LanguageModel
from firsthand.model.mixers.attention import CausalSelfAttention
from firsthand.model.norms import LayerNorm
from firsthand.model.positions.learned import LearnedPosition

VOCAB, D_MODEL, D_FF, CONTEXT, BLOCKS = 23, 14, 20, 11, 3
EACH = {
    "position": CONTEXT * D_MODEL,
    "mixers": BLOCKS * 4 * D_MODEL**2,
    "ffns": BLOCKS * (2 * D_MODEL * D_FF + D_FF + D_MODEL),
    "norms": (2 * BLOCKS + 1) * 2 * D_MODEL,
}


def model(tied: str) -> nn.Module:
    """`tied`: "no", "yes", or "shared": the head is a module of its own that holds the embedding's parameter; "frozen":
    no, and nothing of the first block is trained.

    Its mixers hold the position scheme too, as those that rotate do.
    """
    position = LearnedPosition(CONTEXT, D_MODEL)
    blocks = [
        Block(
            CausalSelfAttention(D_MODEL, 2, position=position),
            MLP(D_MODEL, D_FF, bias=True),
            LayerNorm(D_MODEL),
            LayerNorm(D_MODEL),
        )
        for _ in range(BLOCKS)
    ]
    made = LanguageModel(blocks, VOCAB, D_MODEL, CONTEXT, position, LayerNorm(D_MODEL), tied=tied == "yes")
    if tied == "shared":
        made.unembedding.weight = made.embedding.weight
    made.blocks[0].requires_grad_(tied != "frozen")
    made.register_buffer("seen", torch.zeros(5))
    return made


def number(tied: str):
    return lambda parts: parts.count_parameters(model(tied))


def counted(draw: Draw, tied: str) -> Inputs:
    return {"tied": tied}


TABLE = VOCAB * D_MODEL

CHECKS = Checks(
    call=lambda parts, tied: parts.count_parameters(model(tied)),
    cases={
        "usual": lambda draw: counted(draw, "no"),
        "tied": lambda draw: counted(draw, "yes"),
        "tied by sharing": lambda draw: counted(draw, "shared"),
        "a block that is not trained": lambda draw: counted(draw, "frozen"),
    },
    properties=(
        p.by_hand(
            "untied",
            number("no"),
            {"embedding": TABLE} | EACH | {"head": TABLE},
            f"A model with vocab_size {VOCAB}, d_model {D_MODEL}, d_ff {D_FF} and {BLOCKS} blocks",
            "Embedding and head: vocab_size · d_model each. A mixer: 4 · d_model². An ffn: 2 · d_model · d_ff, and its "
            "biases. A LayerNorm: 2 · d_model, twice a block and once at the end.",
            "Print name and numel() of each parameter, and add up by hand.",
        ),
        p.by_hand(
            "tied",
            number("yes"),
            {"embedding": TABLE} | EACH | {"head": 0},
            "The same model, tied,",
            "The head has nothing of its own.",
            "Count parameters, not uses.",
        ),
        p.by_hand(
            "shared",
            number("shared"),
            {"embedding": TABLE} | EACH | {"head": 0},
            "The same model, whose head is a module that holds the embedding's parameter,",
            "One parameter in two places is learnt once, stored once, and counts once.",
            "model.named_parameters() lists each once.",
        ),
        p.by_hand(
            "frozen",
            number("frozen"),
            {"embedding": TABLE} | EACH | {"head": TABLE},
            "The untied model, whose first block is not trained,",
            "What is not trained has to be stored and multiplied by all the same.",
            "Do not look at requires_grad.",
        ),
    ),
)

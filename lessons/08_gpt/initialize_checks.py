"""The weights before training: what must hold, in teaching order."""

import torch
from torch import Tensor, nn

from firsthand.contracts.finding import Broken
from firsthand.learn.grader.checks import Checks, Draw, Inputs, Property
from firsthand.model import Position
from firsthand.model.block import Block
from firsthand.model.ffns.mlp import MLP
from firsthand.model.language_model import LanguageModel
from firsthand.model.mixers.attention import CausalSelfAttention
from firsthand.model.norms import LayerNorm

VOCAB, D_MODEL, D_FF, CONTEXT = 70, 64, 96, 16
NEAR = 0.1
"""Of 4000 numbers the deviation is known within about one per cent."""


def model(n_layers: int, tied: bool) -> nn.Module:
    """A model whose weights are as its parts made them, with biases that are not 0."""
    torch.manual_seed(1)
    blocks = [
        Block(
            CausalSelfAttention(D_MODEL, 2, position=Position()),
            MLP(D_MODEL, D_FF, bias=True),
            LayerNorm(D_MODEL),
            LayerNorm(D_MODEL),
        )
        for _ in range(n_layers)
    ]
    made = LanguageModel(blocks, VOCAB, D_MODEL, CONTEXT, Position(), LayerNorm(D_MODEL), tied=tied)
    with torch.no_grad():
        for name, one in made.named_parameters():
            if name.endswith(("up.bias", "down.bias")):
                one.fill_(0.5)
    return made


def words(one: Tensor, std: float, depth: int) -> str:
    """What a parameter looks like: numbers that chance makes differ each time would compare with nothing."""
    one = one.detach().double()
    if one.dim() == 1:
        first = float(one[0])
        return f"all {first:g}" if bool((one == first).all()) else "mixed"
    found = float(one.std())
    known = {
        "std": std,
        f"std / √{2 * depth}": std / (2 * depth) ** 0.5,
        f"std / √{depth}": std / depth**0.5,
        f"std / {2 * depth}": std / (2 * depth),
        f"std · √{2 * depth}": std * (2 * depth) ** 0.5,
        "√std": std**0.5,
        "std²": std**2,
        "1": 1.0,
        "0": 0.0,
    }
    name = next((name for name, value in known.items() if abs(found - value) <= NEAR * value), f"{found:.0e}")
    off = abs(float(one.mean())) > 6 * found / one.numel() ** 0.5
    flat = float((one - one.mean()).abs().max()) < 2 * found
    return f"deviation {name}{', mean not 0' * off}{', uniform' * (flat and found > 0)}"


def look(parts, n_layers, tied=True, std=0.02):
    made = model(n_layers, tied)
    if std == 0.02:
        parts.gpt2(made)
    else:
        parts.gpt2(made, std)
    return {name: words(one, std, n_layers) for name, one in made.named_parameters()}


def kind(name: str) -> str:
    if name.endswith(("mixer.out.weight", "ffn.down.weight")):
        return "writes"
    if name.endswith(("gain", "norm.bias")):
        return "norms"
    return "biases" if name.endswith("bias") else "embedding" if name == "embedding.weight" else "plain"


def seen(which: str, wanted: str, why: str, todo: str, n_layers: int = 3) -> Property:
    """Every parameter of a kind looks as it should."""

    def test(subject) -> None:
        found = subject.within(lambda parts: look(parts, n_layers, False))
        for name, said in found.items():
            right = ("all 1" if name.endswith("gain") else "all 0") if which == "norms" else wanted
            if kind(name) == which and said != right:
                raise Broken(
                    f"In a model of {n_layers} blocks, with std = 0.02, {name} has {said}, and should have {right}.",
                    why,
                    todo,
                )

    return Property(f"{which}_start", test)


def repeats(subject) -> None:
    """Another seed gives other weights, the same seed the same."""

    def drawn(parts, seed: int) -> Tensor:
        made = model(2, True)
        torch.manual_seed(seed)
        parts.gpt2(made)
        return made.embedding.weight.detach().clone()

    one, again, other = (subject.within(lambda parts, seed=seed: drawn(parts, seed)) for seed in (1, 1, 2))
    if not torch.equal(one, again) or torch.equal(one, other):
        raise Broken(
            "The same seed gives other weights." if not torch.equal(one, again) else "Every seed gives the same.",
            "Runs are compared seed by seed: the seed has to decide, and nothing else.",
            "Draw from torch's own generator, and set no seed in the function.",
        )


def case(n_layers: int, tied: bool, std: float = 0.02):
    def inputs(draw: Draw) -> Inputs:
        return {"n_layers": n_layers, "tied": tied, "std": std}

    return inputs


CHECKS = Checks(
    call=look,
    cases={
        "usual": case(3, False),
        "one block, tied": case(1, True),
        "another std": case(3, True, 0.3),
    },
    properties=(
        seen(
            "plain",
            "deviation std",
            "With numbers of deviation 0.02 scores and logits begin near 0: the first guess is nearly uniform.",
            "For every nn.Linear: nn.init.normal_(module.weight, std=std)",
        ),
        seen(
            "embedding",
            "deviation std",
            "torch's own embedding begins with deviation 1; tied to the head, it makes logits of size √d_model, and a "
            "first loss far above ln(vocab_size).",
            "nn.Embedding is to be drawn anew as well.",
        ),
        seen(
            "writes",
            f"deviation std / √{6}",
            "Each block adds two answers to the stream. Divided by √(2 · blocks) their sum keeps its size.",
            "2 · 3 blocks = 6 answers: 0.02 / √6. Look for names that end in mixer.out and ffn.down.",
        ),
        seen(
            "biases",
            "all 0",
            "A bias is there for what the data ask for; before that there is nothing to say.",
            "Zero every bias of an nn.Linear.",
        ),
        seen("norms", "", "A norm begins by only normalising.", "Touch nn.Linear and nn.Embedding, and nothing else."),
        Property("seeded", repeats),
    ),
)

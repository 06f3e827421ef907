"""Claim: a LoRA step takes at most two thirds of the time of `transformers` with `peft`, and learns the same.

The shape of SmolLM2-135M with random weights, rank 8 on queries and values, AdamW and clipping on both sides. Both
begin with the same weights and the same A and see the same texts in the same order: the losses of 30 steps are
compared first, then both are timed in turn. Texts are whole windows, or records of an instruction set: a prompt and an
answer, of which the answer is learnt (random ids, about as long as in a set of 1,100 instructions). Ours packs records,
theirs pads them.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from benchmarks.lora_peer import Peer
from benchmarks.peers import windows
from firsthand import assemble, config
from firsthand.data.conversations import ConversationLoader, Conversations
from firsthand.model.count import flops_per_token
from firsthand.model.presets import resolve
from firsthand.ops.roof import bf16_gain
from firsthand.tokens.chat import Encoded
from firsthand.train.loop import Loop
from firsthand.train.precision import WORTH_IT

VOCABULARY = 49152
SHAPE = ["model.preset=llama", "model.size=smollm2-135m"]
RATE, RANK, ALPHA = 1e-3, 8, 16.0
TAUGHT = ["adapt.adapter.part=lora", f"adapt.adapter.rank={RANK}", f"adapt.adapter.alpha={ALPHA}"]
PROMPT, ANSWER = (26, 61), (4, 25)
"""Ids of a record's two parts, drawn evenly: 56 on average, a quarter of them learnt, as measured there."""


def rows(steps: int = 30, length: int = 256, texts: int = 4, shape: list[str] = SHAPE) -> list[dict[str, Any]]:
    """For each precision that pays here, and for both kinds of text: the widest gap between losses, tokens a second."""
    found = []
    for precision in ["fp32"] + ["bf16"] * (bf16_gain() > WORTH_IT):
        for kind in ("windows", "records"):
            found += _compared(steps, length, texts, shape, precision, kind)
    return found


def _compared(steps: int, length: int, texts: int, shape: list[str], precision: str, kind: str) -> list[dict[str, Any]]:
    size = [f"model.context_length={length}", f"data.batch_tokens={texts * length}"]
    settings = [*shape, *size, *TAUGHT, "adapt.adapter.targets=[query, value]"]
    mine = loop_of(settings, kind, precision)
    sides = {"firsthand": loss_of(iter(mine))}
    theta = resolve(config.load(None, settings).model)["position"]["theta"]
    sides |= {who: Peer(mine, theta, RATE, RANK, ALPHA, precision, whole).step for who, whole in _peers(precision)}
    losses = {name: [step() for _ in range(steps)] for name, step in sides.items()}
    seconds = windows(sides)
    tokens = sum(float((one.place.document >= 0).sum()) for k in range(8) for one in mine.batches.batch(k)) / 8
    return [
        {
            "texts": kind,
            "who": name,
            "precision": precision,
            "loss at first": losses[name][0],
            "loss at last": losses[name][-1],
            "widest gap": max(abs(a - b) for a, b in zip(losses[name], losses["firsthand"], strict=True)),
            "tokens/s": tokens / seconds[name],
            "ours over it": seconds[name] / seconds["firsthand"],
        }
        for name in sides
    ]


def _peers(precision: str) -> list[tuple[str, bool]]:
    """Name, and whether its frozen weights are wholly in bf16 (its other way is autocast)."""
    try:
        import peft  # noqa: F401
        import transformers  # noqa: F401
    except ImportError:
        return []
    name = "transformers and peft"
    return [(f"{name}, autocast", False), (f"{name}, bf16 weights", True)] if precision == "bf16" else [(name, False)]


def loop_of(settings: list[str], kind: str = "windows", precision: str = "fp32") -> Loop:
    """The training loop over random weights, without a base to open."""
    rate = f"train.optimizer={{part: adamw, lr: {RATE}, weight_decay: 0.0, betas: [0.9, 0.999]}}"
    fixed = [rate, "train.schedule=constant", "train.steps=1000000", f"train.precision={precision}"]
    settled, _ = assemble.settle(config.load(None, [*fixed, *settings]))
    model = assemble.make_model(settled, VOCABULARY)
    assemble.adapt(settled, model)
    device = torch.device("cpu")
    return Loop(
        model,
        assemble.make_objective(settled),
        assemble.make_optimizer(settled, model),
        assemble.make_schedule(settled),
        _texts(kind, model.context_length, settled.data.batch_tokens),
        assemble.make_budget(settled),
        flops_per_token(model),
        device,
        precision,
    )


def _texts(kind: str, length: int, batch_tokens: int) -> ConversationLoader:
    """Batches of texts, each learnt whole and as long as a row, or of records."""
    draw = np.random.default_rng(0)
    if kind == "windows":
        sizes = [(0, length + 1)] * 400
    else:
        sizes = [tuple(map(int, (draw.integers(*PROMPT), draw.integers(*ANSWER)))) for _ in range(2000)]
    made = [Encoded(draw.integers(0, VOCABULARY, p + a).tolist(), [False] * p + [True] * a) for p, a in sizes]
    return ConversationLoader(Conversations.of(made), length, batch_tokens)


def loss_of(steps: Iterator[Any]) -> Any:
    return lambda: next(steps).loss

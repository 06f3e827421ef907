"""Every step on a line of its own: what the slips of the model are edits of."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from firsthand.model import no_extra_loss
from firsthand.types import Place


class LanguageModel(nn.Module):
    def __init__(
        self,
        blocks: Iterable[nn.Module],
        vocab_size: int,
        d_model: int,
        context_length: int,
        position: nn.Module,
        norm: nn.Module,
        tied: bool = True,
    ) -> None:
        super().__init__()
        self.context_length = context_length
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.position = position
        self.blocks = nn.ModuleList(blocks)
        self.norm = norm
        self.unembedding = None if tied else nn.Linear(d_model, vocab_size, bias=False)

    def embed(self, ids: Tensor, place: Place) -> Tensor:
        rows = self.embedding(ids)
        return self.position.embed(rows, place.index)

    def trunk(
        self, x: Tensor, place: Place, states: list[Any] | None = None
    ) -> tuple[Tensor, list[Any] | None, Tensor]:
        extra_loss = no_extra_loss(x)
        after = []
        for number, block in enumerate(self.blocks):
            x, state, extra = block(x, place, None if states is None else states[number])
            after.append(state)
            extra_loss = extra_loss + extra
        return x, None if states is None else after, extra_loss

    def head(self, x: Tensor) -> Tensor:
        normed = self.norm(x)
        matrix = self.embedding.weight if self.unembedding is None else self.unembedding.weight
        return normed @ matrix.T

    def forward(self, ids: Tensor, place: Place | None = None) -> Tensor:
        place = place or Place.of(ids)
        x = self.embed(ids, place)
        x, _, _ = self.trunk(x, place)
        return self.head(x)


@torch.no_grad()
def gpt2(model: nn.Module, std: float = 0.02) -> None:
    depth = len(model.blocks)
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            writes = name.endswith((".mixer.out", ".ffn.down"))
            module.weight.normal_(0.0, std / (2 * depth) ** 0.5 if writes else std)
        if isinstance(module, nn.Linear) and module.bias is not None:
            module.bias.zero_()


def count_parameters(model: nn.Module) -> dict[str, int]:
    found = dict.fromkeys(("embedding", "position", "mixers", "ffns", "norms", "head"), 0)
    for name, parameter in model.named_parameters():
        if "norm" in name:
            found["norms"] += parameter.numel()
        elif ".mixer." in name:
            found["mixers"] += parameter.numel()
        elif ".ffn." in name:
            found["ffns"] += parameter.numel()
        else:
            found["head" if name.startswith("unembedding") else name.split(".")[0]] += parameter.numel()
    return found


def cross_entropy(logits: Tensor, targets: Tensor, ignore_index: int = -100) -> tuple[Tensor, Tensor]:
    keep = targets != ignore_index
    rows, ids = logits[keep], targets[keep]
    picked = rows[torch.arange(len(ids)), ids]
    return (rows.logsumexp(-1) - picked).sum(), keep.sum()


def perplexity(nats_per_token: float) -> float:
    return 2.718281828459045**nats_per_token if nats_per_token < 700 else float("inf")


def bits_per_byte(nats: float, n_bytes: int) -> float:
    return nats * 1.4426950408889634 / n_bytes

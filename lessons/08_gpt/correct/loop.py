"""With loops where others have tensors."""

import math

import torch
from torch import Tensor, nn

from firsthand.types import Place


class LanguageModel(nn.Module):
    def __init__(self, blocks, vocab_size, d_model, context_length, position, norm, tied=True):
        super().__init__()
        self.context_length = context_length
        self.tied = tied
        self.embedding = nn.Embedding(vocab_size, d_model)
        if not tied:
            self.unembedding = nn.Linear(d_model, vocab_size, bias=False)
        self.position = position
        self.norm = norm
        self.blocks = nn.Sequential(*blocks)

    def embed(self, ids: Tensor, place: Place) -> Tensor:
        rows = [torch.stack([self.embedding.weight[i] for i in row]) for row in ids]
        return self.position.embed(torch.stack(rows), place.index)

    def trunk(self, x: Tensor, place: Place, states=None):
        total, left = torch.tensor(0.0), None if states is None else list(states)
        for i in range(len(self.blocks)):
            x, state, extra = self.blocks[i](x, place, left[i] if left else None)
            total = total + extra
            if left:
                left[i] = state
        return x, left, total

    def head(self, x: Tensor) -> Tensor:
        matrix = self.embedding.weight if self.tied else self.unembedding.weight
        return torch.einsum("...d,vd->...v", self.norm(x), matrix)

    def forward(self, ids: Tensor, place=None) -> Tensor:
        where = Place.of(ids) if place is None else place
        x, _, _ = self.trunk(self.embed(ids, where), where)
        return self.head(x)


def gpt2(model: nn.Module, std: float = 0.02) -> None:
    """By the parameters' names."""
    for name, one in model.named_parameters():
        owner = model.get_submodule(name.rpartition(".")[0])
        if not isinstance(owner, nn.Linear | nn.Embedding):
            continue
        if name.endswith("bias"):
            one.data.fill_(0)
        else:
            one.data = torch.randn_like(one) * std
            if name.endswith((".mixer.out.weight", ".ffn.down.weight")):
                one.data *= (2 * len(model.blocks)) ** -0.5


def count_parameters(model: nn.Module) -> dict[str, int]:
    seen: set[int] = set()

    def fresh(module: nn.Module | None) -> int:
        total = 0
        for one in module.parameters() if module is not None else ():
            total += 0 if id(one) in seen else one.numel()
            seen.add(id(one))
        return total

    found = {"embedding": fresh(model.embedding), "position": fresh(model.position)}
    found |= {"mixers": 0, "ffns": 0, "norms": 0}
    for block in model.blocks:
        found["mixers"] += fresh(block.mixer)
        found["ffns"] += fresh(block.ffn)
        found["norms"] += fresh(block.mixer_norm) + fresh(block.ffn_norm)
    found["norms"] += fresh(model.norm)
    return found | {"head": fresh(model.unembedding)}


def cross_entropy(logits: Tensor, targets: Tensor, ignore_index: int = -100) -> tuple[Tensor, Tensor]:
    total, count = logits.new_zeros(()), 0
    for row, target in zip(logits.reshape(-1, logits.shape[-1]), targets.flatten().tolist(), strict=True):
        if target != ignore_index:
            total = total - torch.log_softmax(row, 0)[target]
            count += 1
    return total, torch.tensor(count)


def perplexity(nats_per_token: float) -> float:
    value = 1.0
    for _ in range(8):
        value *= math.exp(min(nats_per_token, 700) / 8)
    return value if nats_per_token < 700 else math.inf


def bits_per_byte(nats: float, n_bytes: int) -> float:
    return nats / (n_bytes * math.log(2))

"""As torch has it, tied by sharing the parameter."""

import math
from collections import Counter

import torch
from torch import nn
from torch.nn import functional as F

from firsthand.types import Place


class LanguageModel(nn.Module):
    def __init__(self, blocks, vocab_size, d_model, context_length, position, norm, tied=True):
        super().__init__()
        self.context_length = context_length
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.position, self.norm = position, norm
        self.blocks = nn.ModuleList()
        self.blocks.extend(blocks)
        self.unembedding = nn.Linear(d_model, vocab_size, bias=False)
        if tied:
            self.unembedding.weight = self.embedding.weight

    def embed(self, ids, place):
        return self.position.embed(F.embedding(ids, self.embedding.weight), place.index)

    def trunk(self, x, place, states=None):
        extras, after = [], []
        for block, state in zip(self.blocks, states or [None] * len(self.blocks), strict=True):
            x, new, extra = block(x, place, state)
            extras.append(extra)
            after.append(new)
        return x, after if states is not None else None, torch.stack(extras).sum()

    def head(self, x):
        return self.unembedding(self.norm(x))

    def forward(self, ids, place=None):
        if place is None:
            place = Place(torch.arange(ids.shape[1], device=ids.device)[None])
        return self.head(self.trunk(self.embed(ids, place), place)[0])


def gpt2(model, std=0.02):
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, mean=0.0, std=std)
        if getattr(module, "bias", None) is not None and isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
    for block in model.blocks:
        for writer in (block.mixer.out, block.ffn.down):
            nn.init.normal_(writer.weight, std=std / math.sqrt(2 * len(model.blocks)))


def count_parameters(model):
    def part(name):
        top, _, rest = name.partition(".")
        if top == "blocks":
            top = rest.split(".")[1]
        return {"mixer": "mixers", "ffn": "ffns", "unembedding": "head"}.get(top, "norms" if "norm" in top else top)

    found = Counter(dict.fromkeys(["embedding", "position", "mixers", "ffns", "norms", "head"], 0))
    for name, one in model.named_parameters():
        found[part(name)] += math.prod(one.shape)
    return dict(found)


def cross_entropy(logits, targets, ignore_index=-100):
    flat = logits.reshape(-1, logits.shape[-1])
    total = F.cross_entropy(flat, targets.reshape(-1), ignore_index=ignore_index, reduction="sum")
    return total, targets.ne(ignore_index).sum()


def perplexity(nats_per_token):
    try:
        return math.exp(nats_per_token) if nats_per_token < 700 else math.inf
    except OverflowError:
        return math.inf


def bits_per_byte(nats, n_bytes):
    return math.log2(math.e) * nats / n_bytes

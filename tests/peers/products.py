"""Products as llama.cpp computes them with 4 and 8-bit weights: what stands beside the weights is rounded too."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from firsthand.interop.channels import halves
from firsthand.interop.gguf.header import read_header
from firsthand.interop.gguf.layout import ours
from firsthand.interop.gguf.settings import layout_of

BLOCK = 32


class Product(nn.Module):
    """y = Σ over blocks of 32 of (scale · codes) · x̂ + minimum · fp16(Σ x̂), with x̂ = fp16(d) · round(x / d).

    d is the block's largest magnitude / 127. Two roundings of d to fp16, one in x̂ and one in the sum, do not cancel:
    codes are not negative, so the two parts are many times their difference. (ggml's Q8_1; Q8_0 has no minimum.)
    """

    def __init__(self, weight, scaled, minimum=None):
        super().__init__()
        self.weight, self.bias = weight, None
        self.scaled, self.minimum = scaled, minimum

    def forward(self, x):
        blocks = x.unflatten(-1, (-1, BLOCK))
        largest = blocks.abs().amax(-1, keepdim=True)
        d = largest / 127
        inverse = torch.where(largest > 0, 127 / largest, 0.0)
        codes = (blocks * inverse).round()
        y = F.linear((codes * d.half().float()).flatten(-2), self.scaled)
        if self.minimum is None:
            return y
        return y + F.linear((d * codes.sum(-1, keepdim=True)).half().float().squeeze(-1), self.minimum)


def as_llama_cpp(model, path):
    """Change the maps of a model that was read from `path`, so that they compute as llama.cpp does."""
    data = path.read_bytes()
    header = read_header(data)
    layout = layout_of(header)
    for name, stored in header.tensors.items():
        if stored.type not in ("Q4_1", "Q8_0"):
            continue
        rows, columns = stored.shape
        raw = np.frombuffer(data, np.uint8, stored.end - stored.begin, stored.begin).reshape(rows, columns // BLOCK, -1)
        parts = [torch.from_numpy(part) for part in _parts(raw, stored.type) if part is not None]
        heads = layout.turned(name) if layout.neighbours else None
        parts = [halves(part, heads) if heads else part for part in parts]
        [target] = ours(name)
        owner, _, last = target.removesuffix(".weight").rpartition(".")
        module = model.get_submodule(target.removesuffix(".weight"))
        if isinstance(module, nn.Embedding):
            model.unembedding = Product(module.weight, *parts)
        else:
            setattr(model.get_submodule(owner), last, Product(module.weight, *parts))


def _parts(raw, kind):
    """Scaled codes (rows, columns) and, for Q4_1, the minimum of each block (rows, blocks)."""
    rows = len(raw)
    halves16 = raw[..., : 4 if kind == "Q4_1" else 2].copy().view(np.float16).astype(np.float32)
    if kind == "Q8_0":
        return (halves16 * raw[..., 2:].view(np.int8)).reshape(rows, -1).astype(np.float32), None
    nibbles = raw[..., 4:]
    codes = np.concatenate([nibbles & 15, nibbles >> 4], -1).astype(np.float32)
    return (halves16[..., :1] * codes).reshape(rows, -1), halves16[..., 1].copy()

"""Attention with a window, block by block: work and memory grow with time · window, not with time².

Queries are cut into blocks. A block reads its own keys and those of the few blocks before it, which hold all of its
windows, as a row of its own; so any version for short rows does the rest.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from firsthand.ops.attention import product, sdpa
from firsthand.ops.attention.mask import Mask, segment_starts


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Mask,
    scale: float,
    bias: Tensor | None,
    softcap: float | None,
    sinks: Tensor | None,
    dropout: float,
) -> Tensor:
    """See `firsthand.ops.attention.attention`."""
    assert can(query, key, mask, bias), "a row attends to itself within a window, and nothing is added to the scores"
    assert mask.window is not None
    batch, heads, time, _ = query.shape
    block = block_length(mask.window)
    back = -(-(mask.window - 1) // block)
    blocks = -(-time // block)
    allowed, outside = _allowed(query, mask, block, back, blocks)
    rows = _cut(query.transpose(1, 2), 0, blocks, block).flatten(0, 1)
    columns = []
    for x in (key.transpose(1, 2), value.transpose(1, 2)):
        cut = _cut(x, back, blocks, block)
        spans = [cut[:, first : first + blocks] for first in range(back + 1)]
        if outside is not None:
            place = outside.flatten(1)[:, :, None, None].expand(-1, -1, *x.shape[2:])
            spans.insert(0, x.gather(1, place).reshape(batch, blocks, -1, *x.shape[2:]))
        columns.append(torch.cat(spans, 2).flatten(0, 1).transpose(1, 2))
    plain = softcap is None and sinks is None and not dropout
    within = sdpa if plain and (query.device.type != "cpu" or query.dtype.itemsize >= 4) else product
    seen = Mask(visible=allowed)
    out: Tensor = within.attention(rows.transpose(1, 2), *columns, seen, scale, None, softcap, sinks, dropout)
    return out.transpose(1, 2).reshape(batch, blocks * block, heads, -1)[:, :time].transpose(1, 2)


def can(query: Tensor, key: Tensor, mask: Mask, bias: Tensor | None) -> bool:
    """Whether this version does what is asked."""
    whole = query.shape[2] == key.shape[2] and mask.causal and mask.visible is None
    return whole and mask.window is not None and bias is None


def _cut(x: Tensor, back: int, blocks: int, block: int) -> Tensor:
    """(batch, time, heads, d) in blocks behind `back` empty ones: (batch, back + blocks, block, heads, d)."""
    padded = F.pad(x, (0, 0, 0, 0, back * block, blocks * block - x.shape[1]))
    return padded.reshape(x.shape[0], back + blocks, block, *x.shape[2:])


def block_length(window: int) -> int:
    """Longer blocks look at more keys that their queries may not read; shorter ones copy keys more often."""
    return min(128, max(32, window // 4))


def _allowed(query: Tensor, mask: Mask, block: int, back: int, blocks: int) -> tuple[Tensor, Tensor | None]:
    """Who may read whom: (rows · blocks, 1, block, span), and the places of the sink tokens before each span."""
    assert mask.window is not None
    batch, time, device = query.shape[0], query.shape[2], query.device
    own = torch.arange(blocks * block, device=device).view(blocks, block)
    span = torch.arange((back + 1) * block, device=device) + own[:, :1] - back * block
    distance = own[:, :, None] - span[:, None, :]
    near = (distance >= 0) & (distance < mask.window) & (span >= 0)[:, None, :]
    segment = mask.segment
    if segment is None and not mask.sink_tokens:
        return near.expand(batch, -1, -1, -1).flatten(0, 1).unsqueeze(1), None
    segment = torch.zeros((batch, time), dtype=torch.long, device=device) if segment is None else segment
    segment = F.pad(segment, (0, blocks * block - time), value=-1)
    before = span.clamp(min=0)
    same = segment[:, own, None] == segment[:, before][:, :, None, :]
    if not mask.sink_tokens:
        return (near & same).flatten(0, 1).unsqueeze(1), None
    # only the segment that goes on from before the span has its first tokens outside of it
    starts = segment_starts(segment)
    first = before[:, 0]
    sinks = starts[:, first, None] + torch.arange(mask.sink_tokens, device=device)
    outside = (segment[:, own] == segment[:, first, None])[:, :, :, None] & (sinks < first[:, None])[:, :, None, :]
    rank = before - starts[:, before]
    lasting = (rank < mask.sink_tokens)[:, :, None, :] & (distance >= 0) & (span >= 0)[:, None, :]
    allowed = torch.cat((outside, same & (near | lasting)), -1)
    return allowed.flatten(0, 1).unsqueeze(1), sinks.clamp(max=time - 1)

"""The scan by pairs: two steps in a row are one step, h -> (f2 f1) h + (f2 u1 + u2). The convolution by windows."""

import torch


def causal_convolution(x, taps, bias=None, window=None):
    width = taps.size(1)
    front = torch.zeros(x.size(0), width - 1, x.size(2), dtype=x.dtype) if window is None else window
    tokens = torch.cat((front, x), 1)
    seen = tokens.unfold(1, width, 1) if width > 1 else tokens.unsqueeze(-1)
    y = torch.einsum("btcw,cw->btc", seen, taps)
    return y + (0 if bias is None else bias), tokens[:, len(tokens[0]) - width + 1 :].clone()


def selective_scan(x, dt, A, B, C, skip=None, state=None):
    fade = (dt.unsqueeze(-1) * A).exp()
    added = (dt * x).unsqueeze(-1) * B.unsqueeze(2)
    if state is not None:
        added = torch.cat((added[:, :1] + fade[:, :1] * state.unsqueeze(1), added[:, 1:]), 1)
    reach = 1
    while reach < x.shape[1]:  # after each round every token has what 2, 4, 8 ... tokens have written
        earlier, faded = added[:, :-reach], fade[:, :-reach]
        added = torch.cat((added[:, :reach], added[:, reach:] + fade[:, reach:] * earlier), 1)
        fade = torch.cat((fade[:, :reach], fade[:, reach:] * faded), 1)
        reach *= 2
    y = (added @ C.unsqueeze(-1)).squeeze(-1)
    return y + (skip * x if skip is not None else 0), added[:, -1]

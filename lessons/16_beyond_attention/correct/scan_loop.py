"""Both as written down: a sum over taps, and a loop over the tokens."""

import torch


def causal_convolution(x, taps, bias=None, window=None):
    past = taps.shape[1] - 1
    before = x.new_zeros(len(x), past, x.shape[2]) if window is None else window
    tokens = torch.cat((before, x), 1)
    y = torch.zeros_like(x)
    for k in range(past + 1):
        y = y + tokens[:, k : k + x.shape[1]] * taps[:, k]
    if bias is not None:
        y = y + bias
    return y, tokens[:, x.shape[1] :]


def selective_scan(x, dt, A, B, C, skip=None, state=None):
    h = x.new_zeros(len(x), *A.shape) if state is None else state
    outputs = []
    for t in range(x.shape[1]):
        step, inputs = dt[:, t, :, None], x[:, t, :, None]
        write, read = B[:, t, None, :], C[:, t, None, :]
        fade = torch.exp(step * A)
        h = fade * h + step * write * inputs
        y = (read * h).sum(-1)
        outputs.append(y if skip is None else y + skip * x[:, t])
    return torch.stack(outputs, 1), h

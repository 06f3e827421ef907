"""Row by row, in Python lists; the rows are brought to one length at the end."""

import torch
from torch import Tensor


def generate(model, ids, max_new_tokens, sample, stop=()) -> Tensor:
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            rows = [one(model, row, max_new_tokens, sample, set(stop)) for row in ids.tolist()]
    finally:
        model.train(was_training)
    longest = max(len(row) for row in rows)
    return torch.tensor([row + row[-1:] * (longest - len(row)) for row in rows])


def one(model, row, max_new_tokens, sample, stop) -> list[int]:
    for _ in range(max_new_tokens):
        window = row[max(0, len(row) - model.context_length) :]
        new = int(sample(model(torch.tensor([window]))[0, -1:, :])[0])
        row = [*row, new]
        if new in stop:
            break
    return row

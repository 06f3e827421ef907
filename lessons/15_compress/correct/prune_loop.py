"""With lists and sorted."""

import torch

from firsthand.errors import UserError


def magnitude_mask(weight, sparsity):
    numbers = weight.detach().reshape(-1).tolist()
    order = sorted(range(len(numbers)), key=lambda i: abs(numbers[i]))
    stay = set(order[round(sparsity * len(numbers)) :])
    return torch.tensor([i in stay for i in range(len(numbers))]).reshape(weight.shape)


def mask_2_of_4(weight):
    found = []
    for row in weight.tolist():
        if len(row) % 4:
            raise UserError(f"{len(row)} weights in a row are no whole fours. Choose another layer.")
        marks = []
        for start in range(0, len(row), 4):
            four = sorted(range(4), key=lambda i: -abs(row[start + i]))
            marks += [i in four[:2] for i in range(4)]
        found.append(marks)
    return torch.tensor(found)


class Keep:
    def __init__(self, mask):
        self.mask = mask

    def __call__(self, gradient):
        return torch.where(self.mask, gradient, torch.zeros_like(gradient))


def apply_masks(model, masks):
    for name, parameter in model.named_parameters():
        if name in masks:
            parameter.data = parameter.data * masks[name]
            parameter.register_hook(Keep(masks[name]))

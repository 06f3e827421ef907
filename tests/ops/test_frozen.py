"""Copies of frozen weights: one for as long as the weight is what it was."""

import torch
from torch import nn

from firsthand.ops.frozen import lowered


def test_a_frozen_weight_is_converted_once():
    weight = nn.Parameter(torch.randn(5, 3), requires_grad=False)
    first = lowered(weight, torch.bfloat16)
    assert torch.equal(first, weight.bfloat16())
    assert lowered(weight, torch.bfloat16) is first
    assert lowered(weight, torch.float16).dtype == torch.float16


def test_the_copy_follows_the_weight():
    weight = nn.Parameter(torch.zeros(2), requires_grad=False)
    assert lowered(weight, torch.bfloat16).tolist() == [0, 0]
    with torch.no_grad():
        weight.add_(1)
    assert lowered(weight, torch.bfloat16).tolist() == [1, 1]
    weight.data = torch.full((2,), 3.0)
    assert lowered(weight, torch.bfloat16).tolist() == [3, 3]


def test_what_learns_passes_its_gradient_on():
    weight = nn.Parameter(torch.ones(2))
    lowered(weight, torch.bfloat16).sum().backward()
    assert weight.grad.tolist() == [1, 1]
    assert lowered(weight, torch.bfloat16) is not lowered(weight, torch.bfloat16)
    assert lowered(weight, torch.float32) is weight

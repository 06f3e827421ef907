"""What all initial weights promise. A new line in INITIALIZERS is tested here with no new code."""

import math

import pytest
import torch
from torch import nn

from firsthand.model.initialize import INITIALIZERS
from firsthand.model.make import build_model
from firsthand.types import Place

SMALL = {"n_layers": 4, "d_model": 64, "n_heads": 2, "context_length": 24, "bias": True}
VOCABULARY = 50
EXPERTS = {"part": "experts", "n_experts": 4, "top_k": 2, "n_shared": 1}


@pytest.fixture(params=INITIALIZERS)
def name(request):
    return request.param


def make(name, seed=0, **fields):
    torch.manual_seed(seed)
    return build_model({**SMALL, "initialize": name, **fields}, VOCABULARY)


def ids(seed=1):
    return torch.randint(VOCABULARY, (8, 24), generator=torch.Generator().manual_seed(seed))


def test_a_seed_decides_the_weights(name):
    first, same, other = ([p.detach() for p in make(name, seed).parameters()] for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first, same, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize(("tied", "off"), [(False, 0.5), (True, 1.5)])
def test_the_first_prediction_is_a_guess(name, tied, off):
    """With a tied head a token first predicts itself, since the stream still holds little but its embedding."""
    loss = nn.functional.cross_entropy(make(name, tied=tied)(ids()).flatten(0, 1), ids(2).flatten())
    assert loss.item() == pytest.approx(math.log(VOCABULARY), abs=off)


def test_no_weight_is_left_as_its_constructor_made_it(name):
    """Linear maps and embedding are all drawn anew; biases are zero; all else is left to its part."""
    torch.manual_seed(0)
    model = make(name, ffn=EXPERTS, residual={"part": "scaled", "initial": 0.7})
    for module in model.modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, nn.Parameter):
            nn.init.constant_(weight, 123.0)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.constant_(module.bias, 123.0)
    INITIALIZERS[name](model)
    for key, parameter in model.named_parameters():
        assert parameter.abs().max() < 20, key
        if key.endswith("bias"):
            assert not parameter.any(), key
    assert all(block.residual.scale.item() == pytest.approx(0.7) for block in model.blocks)


def test_a_stack_of_experts_begins_like_single_matrices(name):
    """The deviation of `up` in a stack is that in one FFN, and so for what writes into the stream."""
    single, stacked = make(name, ffn="gated"), make(name, ffn=EXPERTS)
    for part in ("up", "gate", "down"):
        one, many = (getattr(model.blocks[1].ffn, part).weight.std().item() for model in (single, stacked))
        assert many == pytest.approx(one, rel=0.05), part
    shared = stacked.blocks[1].ffn.shared.down.weight.std().item()
    assert shared == pytest.approx(single.blocks[1].ffn.down.weight.std().item(), rel=0.05)


def test_the_stream_stays_in_hand_through_many_layers(name):
    model = make(name, n_layers=12)
    with torch.no_grad():
        x = model.embedding(ids())
        y, _, _ = model.trunk(x, Place.of(ids()))
    assert y.isfinite().all()
    assert y.std() < 30 * x.std() + 3


def test_it_needs_no_memory_on_the_meta_device(name):
    with torch.device("meta"):
        model = make(name, ffn=EXPERTS)
    assert all(parameter.is_meta for parameter in model.parameters())

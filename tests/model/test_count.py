"""What a model costs, counted without allocating it and compared with one that exists."""

import pytest
import torch

from firsthand.adapt.attach import attach
from firsthand.adapt.freeze import freeze
from firsthand.adapt.lora import LoRA
from firsthand.adapt.nf4 import NF4
from firsthand.model.count import (
    count,
    count_blocks,
    count_parameters,
    flops_per_token,
    hidden_weights,
    idle_parameters,
)
from firsthand.model.make import build_model
from firsthand.ops.cross_entropy import linear_cross_entropy
from firsthand.types import Place

SMALL = {"n_layers": 3, "d_model": 32, "n_heads": 2, "context_length": 24, "position": "learned"}


def test_parameters_by_part():
    model = build_model({**SMALL, "tied": False}, 50)
    expected = {
        "embedding": 50 * 32,
        "position": 24 * 32,
        "mixers": 3 * 4 * 32 * 32,
        "ffns": 3 * 2 * 32 * 128,
        "norms": 7 * 32,
        "head": 50 * 32,
    }
    assert count_parameters(model) == expected
    assert sum(expected.values()) == sum(parameter.numel() for parameter in model.parameters())
    assert count({**SMALL, "tied": False}, 50).parameters == expected


@pytest.mark.parametrize("tied", [True, False])
def test_operations_by_the_formula(tied):
    model = build_model({**SMALL, "tied": tied}, 50)
    matrices = 3 * (4 * 32 * 32 + 2 * 32 * 128) + 50 * 32
    assert flops_per_token(model) == 6 * matrices + 6 * 3 * 32 * 24


def test_operations_are_those_that_torch_counts(monkeypatch):
    """Forward, with the whole of the attention square; the formula counts its causal half."""
    from torch.utils.flop_counter import FlopCounterMode

    # torch counts matrix products, and not what its flash kernel does on a CPU
    monkeypatch.setattr("firsthand.ops.attention.choose", lambda *_: "product")
    model = build_model(SMALL, 50)
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(2, 24, dtype=torch.long))
    half_square = 3 * 2 * 32 * 24
    assert counter.get_total_flops() / 48 == flops_per_token(model) / 3 + half_square


@pytest.mark.parametrize("quantizer", [None, NF4()])
def test_operations_where_only_adapters_learn_are_those_that_torch_counts(quantizer, monkeypatch):
    """Frozen matrices have no gradient of their own. Torch also leaves out that of the first layer's inputs."""
    from torch.utils.flop_counter import FlopCounterMode

    monkeypatch.setattr("firsthand.ops.attention.choose", lambda *_: "product")
    model = build_model(SMALL, 50)
    attach(model, LoRA(rank=4), quantizer)
    freeze(model, "adapter")
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(2, 24, dtype=torch.long)).sum().backward()
    half_square, first_inputs = 3 * 6 * 32 * 24, 3 * 2 * (32 * 32 + 4 * 32)
    gains = 6 * 2 * 32  # the gradients of the norms are written by hand, and are products too
    own = 3 * 4 * 2 * 4 * 32
    matrices = 3 * (4 * 32 * 32 + 2 * 32 * 128) + 50 * 32 + own
    assert flops_per_token(model) == 4 * matrices + 2 * own + half_square
    if quantizer is None:  # the product with a quantized weight is a function of its own, whose backward is not seen
        assert counter.get_total_flops() / 48 == flops_per_token(model) + half_square - first_inputs + gains


def test_nothing_goes_back_beyond_the_first_layer_that_learns():
    model = build_model({**SMALL, "tied": False}, 50)
    freeze(model, "last_block")
    block, head, mixing = 4 * 32 * 32 + 2 * 32 * 128, 50 * 32, 2 * 32 * 24
    assert flops_per_token(model) == 2 * (2 * block + 2 * mixing / 2) + 6 * block + 3 * mixing + 6 * head
    freeze(model, "head")
    assert flops_per_token(model) == 3 * (2 * block + mixing) + 4 * head


def test_a_mixer_that_says_nothing_costs_its_matrices():
    model = build_model(SMALL, 50)
    everything = flops_per_token(model)
    for block in model.blocks:
        block.mixer.mixing_flops = None
    assert flops_per_token(model) == everything - 6 * 3 * 32 * 24


def test_a_block_that_says_nothing_is_asked_for_its_mixer(monkeypatch):
    model = build_model({"preset": "gpt2", "n_layers": 2, "d_model": 32, "context_length": 16}, 50)
    told = flops_per_token(model)
    monkeypatch.delattr(type(model.blocks[0]), "mixing_flops")
    assert flops_per_token(model) == told


def test_memory():
    counted = count({**SMALL, "tied": True}, 50, batch_rows=4, optimizer_floats=(1, 2))
    total, hidden = sum(counted.parameters.values()), 3 * (4 * 32 * 32 + 2 * 32 * 128)
    assert counted.memory["parameters"] == counted.memory["gradients"] == 4 * total
    assert counted.memory["optimizer"] == 4 * (hidden + 2 * (total - hidden))


@pytest.mark.parametrize("preset", ["gpt2", "modern"])
@pytest.mark.parametrize("context_length", [24, 140])
def test_activations_are_those_of_a_real_step(preset, context_length):
    """Attention may take another version at 140 than at 24."""
    fields = {**SMALL, "preset": preset, "context_length": context_length}
    counted = count(fields, 50, batch_rows=4).memory["activations"]
    torch.manual_seed(0)
    model = build_model(fields, 50)
    kept = {}
    ids = torch.zeros(4, context_length, dtype=torch.long)

    def note(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        x, _, _ = model.trunk(model.embed(ids, Place.of(ids)), Place.of(ids))
        loss, _ = linear_cross_entropy(model.norm(x), model.head_weight, ids, model.softcap)
    assert loss.requires_grad
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    real = sum(tensor.untyped_storage().nbytes() for place, tensor in kept.items() if place not in weights)
    assert counted == pytest.approx(real, rel=0.05)


def test_of_many_rows_the_rest_is_as_large_as_the_last():
    four, five, forty = (count(SMALL, 5000, batch_rows=rows).memory["activations"] for rows in (4, 5, 40))
    assert forty - four == 36 * (five - four)


def test_tables_and_taps_are_not_matrices():
    """Only what is called `weight` is multiplied; a mixer's own embedding is looked up."""
    model = build_model(SMALL, 50)
    before, operations = hidden_weights(model), flops_per_token(model)
    model.blocks[0].mixer.values = torch.nn.Embedding(50, 32)
    model.blocks[0].mixer.taps = torch.nn.Parameter(torch.zeros(32, 4))
    assert (hidden_weights(model), flops_per_token(model)) == (before, operations)


def test_experts_that_a_token_is_not_sent_to_cost_memory_only():
    fields = {**SMALL, "ffn": {"part": "experts", "n_experts": 4, "top_k": 1}}
    model = build_model(fields, 50)
    counted = count(fields, 50)
    idle = 3 * 3 * 3 * 32 * 128  # layers, experts, matrices
    assert idle_parameters(model) == idle
    assert counted.active == sum(counted.parameters.values()) - idle
    matrices = 3 * (4 * 32 * 32 + 3 * 32 * 128 + 4 * 32) + 50 * 32
    assert counted.flops_per_token == 6 * matrices + 6 * 3 * 32 * 24
    assert count_blocks(fields) == (matrices - 50 * 32, counted.flops_per_token - 6 * 50 * 32)


def test_layers_without_an_ffn_are_counted():
    counted = count({**SMALL, "ffn": "none"}, 50)
    assert counted.parameters["ffns"] == 0
    assert counted.flops_per_token == 6 * (3 * 4 * 32 * 32 + 50 * 32) + 6 * 3 * 32 * 24


def test_the_state_of_decoding_is_that_of_all_mixers():
    assert count({**SMALL, "n_kv_heads": 1}, 50).state == 3 * 2 * 16 * 24


def test_activations_grow_with_the_rows_and_shrink_with_the_precision():
    small, large, half = (
        count(SMALL, 50, batch_rows=rows, precision=dtype).memory["activations"]
        for rows, dtype in ((2, torch.float32), (8, torch.float32), (8, torch.bfloat16))
    )
    assert 3.8 < large / small <= 4
    assert 0.4 < half / large < 0.8


def test_a_giant_is_counted_without_memory_and_without_touching_the_random_numbers():
    before = torch.get_rng_state()
    counted = count({"preset": "gpt2", "n_layers": 2, "d_model": 65536, "n_heads": 512}, 50257)
    assert counted.parameters["ffns"] > 6 * 10**10
    assert torch.equal(torch.get_rng_state(), before)


def test_counting_leaves_nothing_behind():
    """Attention keeps its causal mask: one made while counting holds no numbers and must not be kept."""
    count({**SMALL, "context_length": 23}, 50)
    model = build_model({**SMALL, "context_length": 23}, 50)
    assert model(torch.zeros(1, 23, dtype=torch.long)).isfinite().all()

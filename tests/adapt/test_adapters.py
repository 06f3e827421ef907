"""LoRA, DoRA and NF4: what the papers define, what must be exact, and what must not learn."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from firsthand.adapt import ADAPTERS, QUANTIZERS
from firsthand.adapt.attach import attach, linear_names, merge, merged_weights, targeted, unmerge
from firsthand.adapt.dora import DoRALinear
from firsthand.adapt.freeze import POLICIES, freeze, learning
from firsthand.adapt.heads import put_head
from firsthand.adapt.lora import LoRALinear, linear_of, lora_state_dict, merge_lora
from firsthand.adapt.nf4 import NF4Linear
from firsthand.errors import UserError
from firsthand.generate import generate
from firsthand.generate.packed import pack
from firsthand.model.make import build_model
from firsthand.ops.quantized.nf4 import BLOCK, LEVELS, dequantize, quantize

FIELDS = {"preset": "llama", "n_layers": 2, "d_model": 48, "n_heads": 4, "n_kv_heads": 2, "context_length": 32}
IDS = torch.randint(71, (2, 20), generator=torch.Generator().manual_seed(3))


def model_of(**more):
    torch.manual_seed(0)
    return build_model(FIELDS | more, 71).eval()


def adapted(kind="lora", quantizer=None, **arguments):
    """A model whose adapters have learnt something."""
    model = model_of()
    attach(model, ADAPTERS[kind](**{"rank": 4, "targets": "all"} | arguments), quantizer)
    freeze(model, "adapter")
    for parameter in model.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.1)
    return model


def linear(bias=True):
    torch.manual_seed(1)
    return nn.Linear(20, 12, bias=bias)


@pytest.mark.parametrize("bias", [True, False])
def test_lora_is_what_equation_3_says(bias):
    part = LoRALinear(linear(bias), rank=3, alpha=6.0)
    nn.init.normal_(part.lora_b)
    x = torch.randn(5, 20)
    expected = part.linear(x) + 2.0 * (x @ part.lora_a.T @ part.lora_b.T)
    torch.testing.assert_close(part(x), expected)
    torch.testing.assert_close(merge_lora(part)(x), expected)
    stabilized = LoRALinear(linear(bias), rank=4, alpha=6.0, rank_stabilized=True)
    assert stabilized.scale == 3.0


def test_dora_is_what_equation_5_says():
    part = DoRALinear(linear(), rank=3, alpha=6.0)
    nn.init.normal_(part.lora_b)
    nn.init.uniform_(part.magnitude, 0.5, 1.5)
    turned = part.linear.weight + 2.0 * part.lora_b @ part.lora_a
    x = torch.randn(5, 20)
    expected = F.linear(x, part.magnitude[:, None] * turned / turned.norm(dim=1, keepdim=True), part.linear.bias)
    torch.testing.assert_close(part(x), expected)
    torch.testing.assert_close(part.merged()(x), expected)


@pytest.mark.parametrize("kind", ADAPTERS)
def test_the_first_logits_are_exactly_the_bases(kind):
    model, plain = model_of(), model_of()
    names = attach(model, ADAPTERS[kind](targets="all"))
    assert len(names) == 14
    assert torch.equal(model(IDS), plain(IDS))


@pytest.mark.parametrize("kind", ADAPTERS)
def test_merging_keeps_the_logits_and_unmerging_gives_every_bit_back(kind):
    model = adapted(kind)
    before, bits = model(IDS), {name: tensor.clone() for name, tensor in model.state_dict().items()}
    parts = merge(model)
    assert {type(model.get_submodule(name)) for name in linear_names(model)} == {nn.Linear}
    torch.testing.assert_close(model(IDS), before, atol=1e-5, rtol=1e-5)
    assert not torch.equal(model(IDS), model_of()(IDS))
    unmerge(model, parts)
    assert torch.equal(model(IDS), before)
    assert all(torch.equal(tensor, bits[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("kind", ADAPTERS)
def test_only_the_adapter_learns_and_only_its_weights_are_its_state(kind):
    model = adapted(kind, targets=["query", "value"])
    before = copy.deepcopy(model.state_dict())
    names = set(learning(model))
    assert names == set(lora_state_dict(model))
    assert all(name.rpartition(".")[2] in ADAPTERS[kind]().own for name in names)
    model(IDS).square().mean().backward()
    assert {name for name, p in model.named_parameters() if p.grad is not None} == names
    torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1).step()
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == names


def test_dropout_acts_in_training_alone():
    model = adapted(dropout=0.5)
    assert torch.equal(model(IDS), model(IDS))
    assert not torch.equal(model.train()(IDS), model.eval()(IDS))


@pytest.mark.parametrize("engine", ["torch", "auto"])
@pytest.mark.parametrize("kind", ADAPTERS)
def test_a_packed_model_writes_as_the_merged_one(kind, engine):
    model = adapted(kind)
    merged = copy.deepcopy(model)
    merge(merged)
    prompts = [[3, 1, 4], [1, 5]]
    settings = {"max_tokens": 8, "temperature": 0}
    expected = [list(row) for row in generate(merged, prompts, **settings)]
    assert [list(row) for row in generate(pack(model, "fp32", engine), prompts, **settings)] == expected
    assert isinstance(model.blocks[0].mixer.query, nn.Module)
    assert hasattr(model.blocks[0].mixer.query, "merged")


def test_targets_are_words_patterns_and_last_names():
    model = model_of()
    assert targeted(model, "query") == ["blocks.0.mixer.query", "blocks.1.mixer.query"]
    assert targeted(model, ["blocks.1.*.value", "query"])[-1] == "blocks.1.mixer.value"
    assert {name.split(".")[2] for name in targeted(model, "attention")} == {"mixer"}
    assert {name.split(".")[2] for name in targeted(model, "ffn")} == {"ffn"}
    assert targeted(model, "all") == linear_names(model)
    with pytest.raises(UserError, match=r"'q_proj'.*query"):
        targeted(model, ["q_proj"])


@pytest.mark.parametrize("wrong", [{"rank": 0}, {"alpha": 0.0}, {"dropout": 1.0}])
@pytest.mark.parametrize("kind", ADAPTERS)
def test_sizes_that_make_no_adapter_are_refused(kind, wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        ADAPTERS[kind](**wrong)


def test_policies():
    model = model_of(tied=False)
    everything = {name for name, _ in model.named_parameters()}
    assert set(freeze(model, "all")) == everything
    assert freeze(model, "head") == ["unembedding.weight"]
    assert freeze(model_of(tied=True), "head") == ["embedding.weight"]
    last = {name.split(".")[1] if name.startswith("blocks") else name for name in freeze(model, "last_block")}
    assert last == {"1", "norm.gain", "unembedding.weight"}
    with pytest.raises(UserError, match="nothing would learn"):
        freeze(model, "adapter")
    put_head(model, 3)
    assert freeze(model, "adapter") == ["unembedding.weight", "unembedding.bias"]
    attach(model, ADAPTERS["lora"](targets="query"))
    assert not any(".linear." in name for policy in POLICIES for name in freeze(model, policy))
    assert any("lora_a" in name for name in freeze(model, "head"))
    with pytest.raises(UserError, match="last_block"):
        freeze(model, "last_blok")


def test_nf4_is_the_nearest_level_of_each_block():
    torch.manual_seed(0)
    weight = torch.randn(50, 70)
    codes, scales = quantize(weight)
    flat = F.pad(weight.flatten(), (0, -weight.numel() % BLOCK)).view(-1, BLOCK)
    assert torch.equal(scales, flat.abs().amax(1))
    nearest = (flat / scales[:, None]).unsqueeze(-1).sub(torch.tensor(LEVELS)).abs().argmin(-1)
    assert torch.equal(torch.stack([codes >> 4, codes & 15], 1).flatten().long(), nearest.flatten())
    expected = (torch.tensor(LEVELS)[nearest] * scales[:, None]).flatten()[:3500].view(50, 70)
    assert torch.equal(dequantize(codes, scales, 50, 70), expected)


@pytest.mark.parametrize(("double", "bits", "error"), [(False, 4.5, 0.0), (True, 4.127, 0.02)])
def test_what_nf4_stores_and_what_rounding_the_scales_adds(double, bits, error):
    """Section 3: 0.127 bits a weight for the scales in place of 0.5."""
    plain = linear_of(torch.randn(256, 256, generator=torch.Generator().manual_seed(0)), None)
    part = NF4Linear(plain, double)
    stored = sum(tensor.numel() * tensor.element_size() for tensor in part.buffers())
    assert 8 * stored / 256**2 == pytest.approx(bits, abs=1e-3)
    single = dequantize(*quantize(plain.weight), 256, 256)
    assert (part.weight - single).abs().max() <= error * single.abs().max()
    assert (part.weight - plain.weight).abs().mean() / plain.weight.abs().mean() < 0.1


def test_the_levels_are_quantiles_of_the_normal_distribution():
    """Appendix E: eight below zero and nine from zero on, scaled to ±1; their outermost has probability 0.9677083."""
    normal = torch.distributions.Normal(0.0, 1.0)
    positive = normal.icdf(torch.linspace(0.9677083, 0.5, 9)[:-1])
    negative = -normal.icdf(torch.linspace(0.9677083, 0.5, 8)[:-1])
    levels = torch.cat([positive, torch.zeros(1), negative]).sort().values
    torch.testing.assert_close(torch.tensor(LEVELS), levels / levels.max(), atol=1e-6, rtol=0)


def test_a_product_with_nf4_has_the_gradient_of_its_weight_and_none_of_its_own():
    part = NF4Linear(linear())
    x = torch.randn(5, 20, requires_grad=True)
    y = part(x)
    torch.testing.assert_close(y, F.linear(x, part.weight, part.bias))
    y.backward(torch.ones_like(y))
    torch.testing.assert_close(x.grad, torch.ones(5, 12) @ part.weight)
    assert not any(p.requires_grad for p in part.parameters())


@pytest.mark.parametrize("kind", ADAPTERS)
def test_an_adapter_over_four_bits(kind):
    """QLoRA: it starts at the rounded base, learns, and merges into the weights of a plain model."""
    base, learnt = model_of(), adapted(kind, QUANTIZERS["nf4"]())
    names = linear_names(base)
    weights = {name: p.detach() for name, p in base.named_parameters()}
    own = lora_state_dict(learnt)
    plain = model_of()
    adapter = ADAPTERS[kind](rank=4, targets="all")
    merged = merged_weights(weights, own, adapter, QUANTIZERS["nf4"](), names)
    assert merged.keys() == weights.keys()
    plain.load_state_dict(merged)
    torch.testing.assert_close(plain(IDS), learnt(IDS), atol=1e-5, rtol=1e-5)
    assert not torch.equal(merged[f"{names[0]}.weight"], weights[f"{names[0]}.weight"])
    with pytest.raises(UserError, match="another rank"):
        merged_weights(weights, own, ADAPTERS[kind](rank=5))
    with pytest.raises(UserError, match="does not belong"):
        merged_weights({}, own, adapter)


def test_recomputing_gives_the_same_loss_and_gradients():
    results = []
    for recompute in (False, True):
        model = model_of(dropout=0.1).train()
        model.recompute = recompute
        torch.manual_seed(5)
        logits = model(IDS)
        logits.square().mean().backward()
        results.append([logits, *(p.grad for p in model.parameters())])
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))

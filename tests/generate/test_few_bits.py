"""Weights in few bits, packed: the scores of the definition, by instructions and by torch, in every format."""

import copy
import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from firsthand.generate import packed as packing
from firsthand.generate.decode import generate
from firsthand.generate.native import library as module
from firsthand.generate.native.codes import alike, codes_of, joined
from firsthand.generate.native.library import Unavailable
from firsthand.generate.packed import choose, pack
from firsthand.generate.products import FEW, Apart, CodesEmbedding, CodesProduct, Joined, JoinedCodes
from firsthand.model.embedding import Embedding
from firsthand.model.make import build_model
from firsthand.model.mixers import MIXERS
from firsthand.model.quantized import put
from firsthand.ops.quantized import Affine, NF4Format, Quantized

compiled = pytest.mark.skipif(isinstance(module._loaded(), str), reason=f"native steps: {module._loaded()}")
SMALL = {"d_model": 64, "n_layers": 2, "n_heads": 4, "context_length": 32}
FAST = [
    Affine(8),
    Affine(8, 32),
    Affine(8, 128, scales="fp32"),
    Affine(8, symmetric=False),
    Affine(8, 64, False, "bf16"),
    Affine(8, 96),
    Affine(6, 32),
    Affine(4, 96, False),
    Affine(4, 32),
    Affine(4, 64, scales="bf16"),
    Affine(4, 32, False),
    Affine(4, 128, False, "fp32"),
    Affine(3, 32),
    Affine(2),
    NF4Format(),
]


def weight_of(d_out, d_in):
    weight = torch.randn(d_out, d_in, generator=torch.Generator().manual_seed(d_in)) * 0.1
    weight[0] = 0.0
    return weight


def assert_products(format):
    """Within 4e-5 of the size of what is summed; a zero of one's own takes away as much as 128 steps of the scale."""
    for d_in in (192, 64) if isinstance(format, NF4Format) else (192, 70, 33, 1):
        kept = Quantized.of(weight_of(13, d_in), format)
        codes, bias, full = codes_of(kept), torch.randn(13), kept.full()
        assert torch.equal(codes.unfold(torch.float32), full)
        assert torch.equal(codes.unfold(torch.bfloat16), full.bfloat16())
        x = torch.randn(3, d_in) * torch.tensor([[1.0], [100.0], [1e-3]])
        expected = F.linear(x.double(), full.double(), bias.double())
        size = x.double().abs() @ full.double().abs().T
        steps = 128 * kept.tensors["scales"].double().amax(1) if "zeros" in kept.tensors else 0.0
        rounding = 4e-5 * size + 3e-7 * x.double().abs().sum(1, keepdim=True) * steps + 1e-6
        for rows in (x[:1], x):
            assert bool(((codes.multiply(rows, bias) - expected[: len(rows)]).abs() <= rounding[: len(rows)]).all())


@compiled
@pytest.mark.parametrize("format", FAST, ids=str)
def test_products_are_those_of_the_decoded_weight(format):
    assert_products(format)


@compiled
def test_they_are_on_machines_without_our_instructions_too(monkeypatch, tmp_path):
    monkeypatch.setenv("FIRSTHAND_CACHE", str(tmp_path))
    monkeypatch.setattr(module, "BEST", ())
    module._loaded.cache_clear()
    try:
        for format in FAST:
            assert_products(format)
    finally:
        module._loaded.cache_clear()
    assert len(list((tmp_path / "native").iterdir())) == 1


@compiled
def test_the_rounding_of_inputs_is_less_than_a_fiftieth_of_that_of_bf16():
    kept = Quantized.of(weight_of(256, 576), Affine(4, 32))
    x = torch.randn(1, 576, generator=torch.Generator().manual_seed(0))
    exact = F.linear(x.double(), kept.full().double())
    ours = (codes_of(kept).multiply(x) - exact).square().mean().sqrt()
    theirs = (F.linear(x.bfloat16().double(), kept.full().double()) - exact).square().mean().sqrt()
    assert float(ours) < float(theirs) / 50


@compiled
def test_inputs_that_are_no_numbers_give_none():
    codes = codes_of(Quantized.of(weight_of(4, 64), Affine(8)))
    for number in (float("nan"), float("inf")):
        x = torch.zeros(1, 64)
        x[0, 40] = number
        assert bool(codes.multiply(x).isnan().all())
    assert torch.equal(codes.multiply(torch.zeros(1, 64)), torch.zeros(1, 4))


@compiled
@pytest.mark.parametrize("threads", [2, 3])
def test_several_threads_share_a_product(threads):
    codes, x, before = (
        codes_of(Quantized.of(weight_of(37, 96), Affine(4, 32))),
        torch.randn(2, 96),
        torch.get_num_threads(),
    )
    alone, full = codes.multiply(x), codes.unfold(torch.bfloat16)
    try:
        torch.set_num_threads(threads)
        assert torch.equal(codes.multiply(x), alone)
        assert torch.equal(codes.unfold(torch.bfloat16), full)
    finally:
        torch.set_num_threads(before)


@compiled
def test_rows_share_their_memory_and_can_be_joined():
    parts = [codes_of(Quantized.of(weight_of(rows, 96), Affine(4, 32, False))) for rows in (3, 5)]
    whole = joined(parts)
    for part, rows in zip(parts, (slice(0, 3), slice(3, 8)), strict=True):
        assert torch.equal(whole.rows(rows).unfold(torch.float32), part.unfold(torch.float32))
        assert whole.rows(rows).packed.untyped_storage().data_ptr() == whole.packed.untyped_storage().data_ptr()
    other = codes_of(Quantized.of(weight_of(3, 96), Affine(4, 96, False)))
    assert not alike([parts[0], other])


@compiled
def test_int8_needs_no_second_copy():
    kept = Quantized.of(weight_of(4, 128), Affine(8, 32))
    assert codes_of(kept).packed.data_ptr() == kept.tensors["codes"].data_ptr()


@compiled
@pytest.mark.parametrize("format", [Affine(8, 48), NF4Format()], ids=str)
def test_what_no_instruction_multiplies_is_said(format):
    with pytest.raises(Unavailable, match=r"units|instruction|rows"):
        codes_of(Quantized.of(weight_of(4, 96), format))


def make(format, table=None, vocab_size=45, **fields):
    """A model in few bits: its maps in `format`, or formats in turn, and its table."""
    torch.manual_seed(0)
    model = build_model({"preset": "llama", **SMALL, **fields}, vocab_size)
    for parameter in model.parameters():
        nn.init.normal_(parameter, 1.0 if parameter.ndim == 1 else 0.0, 0.2)
    turns = itertools.cycle(format if isinstance(format, list) else [format])
    for name, part in list(model.named_modules()):
        if type(part) is nn.Linear and (each := next(turns)) is not None:
            put(model, name, Quantized.of(part.weight, each))
        elif type(part) is Embedding and table is not None:
            put(model, name, Quantized.of(part.weight, table))
    return model.eval()


def greedy(model, prompts, count=16):
    rows = generate(model, prompts, count, temperature=0.0)
    list(rows)
    return rows.ids


MODELS = {
    "int8": {"format": Affine(8), "table": Affine(8)},
    "int8, a head of its own": {"format": Affine(8, 32), "table": Affine(8), "tied": False},
    "int4": {"format": Affine(4, 32), "table": Affine(8), "tied": True},
    "int4 throughout": {"format": Affine(4, 32, False), "table": Affine(4, 32), "tied": True},
    "nf4": {"format": NF4Format(), "table": None, "tied": True},
    "mixed": {"format": [Affine(8), Affine(4, 32), None], "table": Affine(8), "n_kv_heads": 2},
    "biases": {"format": Affine(4, 32), "bias": True, "preset": "gpt2", "table": Affine(8)},
    "in full": {"format": [Affine(8, 48), Affine(4, 48)], "table": Affine(8, 48)},
}


@compiled
@pytest.mark.parametrize("engine", ["native", "torch"])
@pytest.mark.parametrize(
    "prompts", [[[1, 2, 3]], [[1, 2, 3], [4, 5]], [[number, 7] for number in range(FEW + 2)]], ids=len
)
@pytest.mark.parametrize("name", MODELS)
def test_a_packed_model_writes_what_its_definition_writes(name, prompts, engine):
    model = make(**MODELS[name])
    ready = pack(model, "fp32", engine)
    assert (ready.program is None) == (engine == "torch")
    ids = torch.arange(12).view(2, 6)
    with torch.inference_mode():
        expected, found = model(ids), ready(ids)
    assert float((found - expected).abs().max()) < 1e-4 * float(expected.abs().max())
    assert greedy(ready, prompts) == greedy(model, prompts)


@compiled
@pytest.mark.parametrize("mixer", MIXERS)
def test_every_mixer_keeps_its_few_bits(mixer):
    model = make(Affine(4, 32), Affine(8), mixer=mixer)
    ready = pack(model, "fp32")
    assert any(isinstance(part, CodesProduct) for part in ready.modules())
    assert greedy(ready, [[1, 2, 3]], 8) == greedy(model, [[1, 2, 3]], 8)


@compiled
def test_readers_are_one_product_where_formats_agree():
    ready = pack(make(Affine(8), Affine(8)), "fp32")
    assert type(ready.blocks[0].mixer.joined) is JoinedCodes
    assert type(ready.blocks[0].ffn.joined) is JoinedCodes
    mixed = pack(make([Affine(8), Affine(4, 32)]), "fp32")
    assert type(mixed.blocks[0].mixer.joined) is Apart
    assert type(pack(make(None), "fp32").blocks[0].mixer.joined) is Joined


@compiled
def test_nothing_is_kept_in_full():
    """The packed copy, alone, holds a byte a weight and little more."""
    model = make(Affine(8, 32), Affine(8, 32), tied=True)
    ready = pack(model, "bf16")
    assert type(ready.embedding) is CodesEmbedding
    held = {}
    for part in ready.modules():
        for tensor in (*part._parameters.values(), *part._buffers.values(), *vars(part).values()):
            for each in vars(tensor).values() if hasattr(tensor, "packed") else [tensor]:
                if isinstance(each, torch.Tensor):
                    held[each.untyped_storage().data_ptr()] = each.untyped_storage().nbytes()
    numbers = sum(weight.numel() for weight in build_model({"preset": "llama", **SMALL, "tied": True}, 45).parameters())
    turns = sum(tensor.numel() * 4 for tensor in ready.position.buffers())
    assert sum(held.values()) < 1.25 * numbers + 2 * turns


@compiled
def test_the_model_is_left_as_it_was():
    model = make(Affine(4, 32), Affine(8))
    before = copy.deepcopy(model)
    pack(model, "bf16")
    assert {name for name, _ in model.named_modules()} == {name for name, _ in before.named_modules()}
    for (name, found), expected in zip(model.named_buffers(), before.buffers(), strict=True):
        assert torch.equal(found, expected), name
        assert found.dtype == expected.dtype


def test_without_a_compiler_the_weights_are_there_in_full(monkeypatch, tmp_path, caplog):
    model = make(Affine(8), Affine(8))
    monkeypatch.setenv("PATH", str(tmp_path))
    module._loaded.cache_clear()
    try:
        with caplog.at_level("INFO", "firsthand.generate"):
            ready = pack(model, "fp32")
    finally:
        module._loaded.cache_clear()
    assert "weights in few bits are multiplied in full: there is no C compiler" in caplog.text.replace(
        "step.c is not compiled: ", ""
    )
    assert not any(isinstance(part, CodesProduct) for part in ready.modules())
    assert greedy(ready, [[1, 2, 3]]) == greedy(model, [[1, 2, 3]])


def test_numbers_in_few_bits_count_for_the_choice_of_precision(monkeypatch):
    monkeypatch.setattr(packing, "_has_bf16", lambda device: True)
    monkeypatch.setattr(packing, "LARGE", 60_000)
    assert choose("auto", make(Affine(8), Affine(8))) == "bf16"


@compiled
def test_a_deep_copy_reads_its_own_codes():
    ready = pack(make(Affine(8, 32), Affine(8)), "fp32", "torch")
    twin = copy.deepcopy(ready)
    expected = greedy(ready, [[1, 2, 3]])
    del ready
    assert greedy(twin, [[1, 2, 3]]) == expected

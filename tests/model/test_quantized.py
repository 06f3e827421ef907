"""Parts in few bits compute with the numbers that their format says, and travel with their model."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from firsthand.errors import DamagedError
from firsthand.model.embedding import Embedding
from firsthand.model.make import build_model
from firsthand.model.quantized import QuantizedEmbedding, QuantizedLinear, put, quantized_parts
from firsthand.ops.quantized import Affine, NF4Format, Quantized

FORMATS = [Affine(8), Affine(4, 32), Affine(4, 32, False), NF4Format()]
SMALL = {"preset": "llama", "d_model": 32, "n_layers": 2, "n_heads": 4, "context_length": 32, "tied": True}


@pytest.mark.parametrize("format", FORMATS, ids=str)
@pytest.mark.parametrize("bias", [True, False])
def test_a_map_multiplies_with_what_stands_there(format, bias):
    torch.manual_seed(0)
    linear, x = nn.Linear(70, 9, bias=bias), torch.randn(2, 3, 70)
    few = QuantizedLinear(linear, format)
    expected = F.linear(x, Quantized.of(linear.weight, format).full(), linear.bias)
    assert torch.equal(few(x), expected)
    assert (few.out_features, few.in_features) == (9, 70)
    assert [name for name, _ in few.named_parameters()] == (["bias"] if bias else [])
    assert few(x.bfloat16()).dtype == torch.bfloat16 if not bias else True


@pytest.mark.parametrize("format", FORMATS, ids=str)
def test_an_embedding_reads_the_rows_it_is_asked_for(format):
    torch.manual_seed(0)
    table = Embedding(20, 8)
    few, ids = QuantizedEmbedding(table, format), torch.tensor([[3, 3, 19], [0, 7, 3]])
    assert torch.equal(few(ids), Quantized.of(table.weight, format).full()[ids])
    assert few(ids[:, :0]).shape == (2, 0, 8)


def quantized_model(format=None):
    torch.manual_seed(0)
    model = build_model(SMALL, 40).eval()
    for name, part in list(model.named_modules()):
        if type(part) in (nn.Linear, Embedding):
            put(model, name, Quantized.of(part.weight, format or Affine(8)))
    return model


def test_a_whole_model_computes_with_its_few_bits():
    """As the same model whose weights were rounded and stand in full."""
    few, ids = quantized_model(), torch.randint(40, (2, 9), generator=torch.Generator().manual_seed(1))
    plain = build_model(SMALL, 40).eval()
    weights = {f"{name}.weight": part.weight for name, part in quantized_parts(few)}
    weights |= dict(few.named_parameters())
    plain.load_state_dict(weights)
    with torch.no_grad():
        torch.testing.assert_close(few(ids), plain(ids), rtol=1e-5, atol=1e-6)


def test_codes_and_scales_stay_when_the_model_is_cast():
    few = quantized_model(Affine(4, 32, scales="fp32"))
    before = {name: buffer.clone() for name, buffer in few.blocks[0].mixer.query.named_buffers()}
    cast = copy.deepcopy(few).to(torch.bfloat16)
    for name, buffer in cast.blocks[0].mixer.query.named_buffers():
        assert buffer.dtype == before[name].dtype
        assert torch.equal(buffer, before[name])
    assert cast.norm.gain.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("name", "shape"),
    [("blocks.0.mixer.query", (32, 16)), ("blocks.9.mixer.query", (32, 32)), ("norm", (32, 32)), ("", (1, 1))],
)
def test_a_weight_that_no_part_has_is_refused(name, shape):
    model = build_model(SMALL, 40)
    with pytest.raises(DamagedError, match="weight in few bits"):
        put(model, name, Quantized.of(torch.ones(shape), Affine(8)))


def test_what_was_put_can_be_put_anew():
    model = quantized_model()
    part = model.blocks[0].ffn.up
    put(model, "blocks.0.ffn.up", Quantized.of(part.weight, Affine(4, 32)))
    assert model.blocks[0].ffn.up.format.bits == 4
    assert not model.blocks[0].ffn.up.training

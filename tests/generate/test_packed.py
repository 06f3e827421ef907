"""A packed model gives the scores of the model it was made from, with every mixer and FFN."""

import pytest
import torch
from torch import nn

from firsthand.errors import UserError
from firsthand.generate import packed as module
from firsthand.generate import products
from firsthand.generate.decode import generate
from firsthand.generate.packed import PRECISIONS, choose, pack
from firsthand.generate.products import Joined, Product
from firsthand.model.ffns import FFNS
from firsthand.model.make import build_model
from firsthand.model.mixers import MIXERS
from firsthand.types import Place

SMALL = {"d_model": 32, "n_layers": 2, "n_heads": 4, "context_length": 32}
IDS = torch.tensor([[1, 2, 3, 4, 5, 6, 7], [9, 8, 7, 6, 5, 4, 3]])


def make(preset="modern", vocab_size=40, **fields):
    torch.manual_seed(0)
    model = build_model({"preset": preset, **SMALL, **fields}, vocab_size)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.15)
    return model.eval()


@torch.inference_mode()
def by_steps(model, ids):
    """Logits of a prefill and of single tokens after it."""
    states, found, start = model.initial_states(len(ids), ids.shape[1]), [], 0
    for time in (3, *[1] * (ids.shape[1] - 3)):
        piece = ids[:, start : start + time]
        place = Place.of(piece, start)
        x, states, _ = model.trunk(model.embed(piece, place), place, states)
        found.append(model.head(x))
        start += time
    return torch.cat(found, 1)


def assert_near(found, expected, precision):
    """To rounding: of fp32, or of bf16, in which two orders of the same sum lie further apart."""
    assert found.dtype == PRECISIONS[precision]
    scale = float(expected.abs().max())
    assert float((found.float() - expected.float()).abs().max()) < scale * (1e-5 if precision == "fp32" else 0.06)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("mixer", MIXERS)
def test_every_mixer_gives_the_scores_of_the_plain_model(mixer, precision):
    model = make(mixer=mixer)
    ready = pack(model, precision)
    plain = make(mixer=mixer).to(PRECISIONS[precision])
    assert any(isinstance(part, Product) for part in ready.modules())
    with torch.inference_mode():
        assert_near(ready(IDS), plain(IDS), precision)
    assert_near(by_steps(ready, IDS), by_steps(plain, IDS), precision)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("ffn", FFNS)
def test_every_ffn_gives_the_scores_of_the_plain_model(ffn, precision):
    ready, plain = pack(make(ffn=ffn), precision), make(ffn=ffn).to(PRECISIONS[precision])
    assert_near(by_steps(ready, IDS), by_steps(plain, IDS), precision)


@pytest.mark.parametrize("preset", ["gpt2", "llama", "modern"])
@pytest.mark.parametrize("tied", [True, False])
def test_the_same_tokens_are_written(preset, tied):
    model = make(preset, tied=tied, dropout=0.1)
    texts = [generate(each, [[1, 2, 3], [4]], 20, temperature=0.0) for each in (model, pack(model, "fp32"))]
    for text in texts:
        list(text)
    assert texts[0].ids == texts[1].ids


def test_the_model_is_left_as_it_was():
    model = make("gpt2", bias=True)
    names, weights = {name for name, _ in model.named_modules()}, [p.clone() for p in model.parameters()]
    ready = pack(model, "bf16")
    assert {name for name, _ in model.named_modules()} == names
    for parameter, before in zip(model.parameters(), weights, strict=True):
        assert parameter.requires_grad
        assert torch.equal(parameter, before)
    assert {p.dtype for p in ready.parameters()} == {torch.bfloat16}
    assert not any(p.requires_grad for p in ready.parameters())


def test_weights_that_need_no_cast_are_shared():
    model = make()
    assert pack(model, "fp32").embedding.weight.data_ptr() == model.embedding.weight.data_ptr()


def test_a_bias_that_only_some_maps_have_is_kept():
    maps = [nn.Linear(3, 2), nn.Linear(3, 4, bias=False)]
    x = torch.randn(2, 1, 3)
    for found, each in zip(Joined(maps)(x), maps, strict=True):
        torch.testing.assert_close(found, each(x))


def test_without_packed_products_plain_ones_do(monkeypatch):
    monkeypatch.setattr(products, "packed", lambda weight: weight)
    model = make()
    assert_near(by_steps(pack(model, "fp32"), IDS), by_steps(model, IDS), "fp32")


def test_auto_takes_bf16_for_large_models_where_the_machine_has_it(monkeypatch, caplog):
    model = make()
    with caplog.at_level("INFO", "firsthand.generate"):
        for able, large, chosen in ((True, 10, "bf16"), (False, 10, "fp32"), (True, 10**9, "fp32")):
            monkeypatch.setattr(module, "_has_bf16", lambda device, able=able: able)
            monkeypatch.setattr(module, "LARGE", large)
            assert choose("auto", model) == chosen
    assert caplog.messages[1] == "0 million parameters, bf16 absent: generating in fp32"


def test_an_unknown_precision_is_refused():
    with pytest.raises(UserError, match=r"no precision 'fp8'.*auto, bf16, fp32"):
        pack(make(), "fp8")

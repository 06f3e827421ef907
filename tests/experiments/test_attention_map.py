from pathlib import Path

import numpy as np
import pytest
import torch

from firsthand.errors import UserError
from firsthand.experiments import plots
from firsthand.experiments.attention_map import attention_maps, draw
from firsthand.model.make import build_model
from firsthand.model.mixers.attention import CausalSelfAttention
from firsthand.model.mixers.heads import merge_heads
from firsthand.tokens import TOKENIZERS, Tokenizer

TEXT = "ROMEO:\nBut soft, 中 $x^2$"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return TOKENIZERS["char"].train([TEXT])


def model_with(tokenizer: Tokenizer, **fields: object) -> torch.nn.Module:
    torch.manual_seed(0)
    sizes = {"context_length": 32, "d_model": 32, "n_layers": 2, "n_heads": 4, "d_head": 8}
    model = build_model({"preset": "modern"} | sizes | fields, tokenizer.vocab_size)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"preset": "gpt2", "dropout": 0.0},
        {"n_kv_heads": 2},
        {"position": "sinusoidal", "mixer": {"part": "attention", "softcap": 5.0}},
        {"mixer": {"part": "attention", "window": 4, "sink_tokens": 1, "scale": 0.1}},
    ],
)
def test_the_maps_are_what_the_model_does(tokenizer: Tokenizer, fields: dict[str, object]) -> None:
    """Each layer's output follows from its map and its values."""
    model = model_with(tokenizer, **fields)
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    mixers = [module for module in model.modules() if isinstance(module, CausalSelfAttention)]
    for mixer in mixers:
        mixer.register_forward_hook(lambda mixer, given, out: seen.append((mixer.project(*given[:2])[2], out[0])))
    tokens, maps = attention_maps(model, tokenizer, TEXT)
    assert tokens == list(TEXT)
    assert maps.shape == (2, 4, len(TEXT), len(TEXT))
    assert maps.sum(-1) == pytest.approx(1, abs=1e-5)
    assert np.triu(maps, 1).max() == 0
    for mixer, weights, (value, out) in zip(mixers, torch.from_numpy(maps), seen, strict=True):
        value = value.repeat_interleave(mixer.n_heads // mixer.n_kv_heads, 1)
        torch.testing.assert_close(mixer.out(merge_heads(weights @ value)), out, rtol=1e-4, atol=1e-5)


def test_the_model_is_left_as_it_was(tokenizer: Tokenizer) -> None:
    model = model_with(tokenizer)
    model.train()
    attention_maps(model, tokenizer, TEXT)
    assert model.training
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_long_text_is_cut_to_the_context(tokenizer: Tokenizer) -> None:
    tokens, maps = attention_maps(model_with(tokenizer, context_length=8), tokenizer, TEXT)
    assert tokens == list(TEXT[:8])
    assert maps.shape[-1] == 8


def test_nothing_to_look_at_is_an_error(tokenizer: Tokenizer) -> None:
    with pytest.raises(UserError, match="the text is empty"):
        attention_maps(model_with(tokenizer), tokenizer, "")
    without = model_with(tokenizer)
    for block in without.blocks:
        block.mixer = torch.nn.Identity()
    with pytest.raises(UserError, match="no layer"):
        attention_maps(without, tokenizer, TEXT)


def test_the_grid_has_a_map_for_each_head_and_names_the_tokens(tokenizer: Tokenizer, tmp_path: Path) -> None:
    picture = draw(*attention_maps(model_with(tokenizer), tokenizer, TEXT))
    assert [axes.get_title() for axes in picture.axes[:4]] == ["head 1", "head 2", "head 3", "head 4"]
    assert [picture.axes[row].get_ylabel() for row in (0, 4)] == ["layer 1", "layer 2"]
    written = [label.get_text() for label in picture.axes[0].get_yticklabels()]
    assert written == [*"ROMEO:⏎But·soft,·□·", r"\$", *"x^2", r"\$"]
    first = [path.read_bytes() for path in plots.save(picture, tmp_path / "a", "attention")]
    again = draw(*attention_maps(model_with(tokenizer), tokenizer, TEXT))
    assert [path.read_bytes() for path in plots.save(again, tmp_path / "b", "attention")] == first

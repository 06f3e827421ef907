"""The gpt2 preset is GPT-2: logits equal those of `transformers` with the same random weights."""

import re

import pytest
import torch

from firsthand.model.make import build_model
from firsthand.types import Place

transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")

FIELDS = {"preset": "gpt2", "n_layers": 3, "d_model": 48, "n_heads": 4, "context_length": 200}
VOCABULARY = 71
NAMES = {
    r"embedding\.weight": "wte.weight",
    r"position\.table": "wpe.weight",
    r"norm\.gain": "ln_f.weight",
    r"norm\.bias": "ln_f.bias",
    r"blocks\.(\d+)\.mixer_norm\.gain": r"h.\1.ln_1.weight",
    r"blocks\.(\d+)\.mixer_norm\.bias": r"h.\1.ln_1.bias",
    r"blocks\.(\d+)\.ffn_norm\.gain": r"h.\1.ln_2.weight",
    r"blocks\.(\d+)\.ffn_norm\.bias": r"h.\1.ln_2.bias",
    r"blocks\.(\d+)\.mixer\.(?:query|key|value)\.(\w+)": r"h.\1.attn.c_attn.\2",
    r"blocks\.(\d+)\.mixer\.out\.(\w+)": r"h.\1.attn.c_proj.\2",
    r"blocks\.(\d+)\.ffn\.up\.(\w+)": r"h.\1.mlp.c_fc.\2",
    r"blocks\.(\d+)\.ffn\.down\.(\w+)": r"h.\1.mlp.c_proj.\2",
}


@pytest.fixture(scope="module")
def pair():
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=VOCABULARY, n_positions=200, n_embd=48, n_layer=3, n_head=4, attn_implementation="eager"
    )
    theirs = transformers.GPT2LMHeadModel(config).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    ours = build_model(FIELDS, VOCABULARY).eval()
    copy_weights(theirs.transformer.state_dict(), ours)
    return ours, theirs


@torch.no_grad()
def copy_weights(theirs, ours):
    used = set()
    for name, parameter in ours.named_parameters():
        [(pattern, replacement)] = [(p, r) for p, r in NAMES.items() if re.fullmatch(p, name)]
        source = re.sub(pattern, replacement, name)
        used.add(source)
        tensor = theirs[source]
        if "c_attn" in source:  # theirs holds queries, keys and values side by side
            tensor = tensor.chunk(3, dim=-1)[["query", "key", "value"].index(name.split(".")[3])]
        transposed = ".h." in f".{source}" and source.endswith("weight") and ".ln_" not in source
        parameter.copy_(tensor.t() if transposed else tensor)
    assert used == set(theirs)


@pytest.mark.parametrize("time", [1, 2, 63, 200])
@torch.no_grad()
def test_logits_are_equal(pair, time):
    ours, theirs = pair
    ids = torch.randint(VOCABULARY, (2, time))
    expected = theirs(ids).logits
    assert expected.abs().max() > 1
    torch.testing.assert_close(ours(ids), expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_cached_logits_are_equal(pair):
    ours, theirs = pair
    ids = torch.randint(VOCABULARY, (2, 9))
    expected = theirs(ids).logits
    states = ours.initial_states(2, 9)
    for start, stop in ((0, 6), (6, 7), (7, 8), (8, 9)):
        place = Place.of(ids[:, start:stop], start)
        x, states, _ = ours.trunk(ours.embed(ids[:, start:stop], place), place, states)
        torch.testing.assert_close(ours.head(x), expected[:, start:stop], atol=1e-5, rtol=1e-5)


def test_gradients_are_equal(pair):
    ours, theirs = pair
    ids = torch.randint(VOCABULARY, (2, 33))
    losses = [
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids.flatten())
        for logits in (ours(ids), theirs(ids).logits)
    ]
    gradient, expected = (
        torch.autograd.grad(loss, weight)[0]
        for loss, weight in zip(losses, (ours.embedding.weight, theirs.transformer.wte.weight), strict=True)
    )
    torch.testing.assert_close(gradient, expected, atol=1e-5, rtol=1e-4)


def test_the_initial_weights_are_alike():
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=VOCABULARY, n_positions=200, n_embd=48, n_layer=3, n_head=4)
    theirs = transformers.GPT2LMHeadModel(config).transformer.state_dict()
    ours = dict(build_model(FIELDS, VOCABULARY).named_parameters())
    for ours_name, theirs_name in {
        "embedding.weight": "wte.weight",
        "position.table": "wpe.weight",
        "blocks.1.ffn.up.weight": "h.1.mlp.c_fc.weight",
        "blocks.1.ffn.down.weight": "h.1.mlp.c_proj.weight",
        "blocks.1.mixer.out.weight": "h.1.attn.c_proj.weight",
    }.items():
        assert ours[ours_name].std().item() == pytest.approx(theirs[theirs_name].std().item(), rel=0.07), ours_name
    for name in ("blocks.1.ffn.up.bias", "norm.bias", "blocks.2.mixer.query.bias"):
        assert (ours[name] == 0).all()
    assert (ours["norm.gain"] == 1).all()

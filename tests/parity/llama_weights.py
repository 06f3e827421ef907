"""Weights of `transformers`' Llama and its kin, copied into our models; what the parity tests of whole models share."""

import re

import torch

from firsthand.model.make import build_model
from firsthand.types import Place

VOCABULARY = 71
SIZES = {"n_layers": 3, "d_model": 48, "n_heads": 4, "n_kv_heads": 2, "d_head": 12, "d_ff": 80, "context_length": 130}
THEIRS = {
    "vocab_size": VOCABULARY,
    "num_hidden_layers": 3,
    "hidden_size": 48,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 12,
    "intermediate_size": 80,
    "max_position_embeddings": 130,
    "tie_word_embeddings": False,
    "attn_implementation": "eager",
}
NAMES = {
    r"embedding\.weight": "model.embed_tokens.weight",
    r"unembedding\.weight": "lm_head.weight",
    r"norm\.gain": "model.norm.weight",
    r"blocks\.(\d+)\.mixer_norm\.gain": r"model.layers.\1.input_layernorm.weight",
    r"blocks\.(\d+)\.ffn_norm\.gain": r"model.layers.\1.post_attention_layernorm.weight",
    r"blocks\.(\d+)\.mixer\.query\.weight": r"model.layers.\1.self_attn.q_proj.weight",
    r"blocks\.(\d+)\.mixer\.key\.weight": r"model.layers.\1.self_attn.k_proj.weight",
    r"blocks\.(\d+)\.mixer\.value\.weight": r"model.layers.\1.self_attn.v_proj.weight",
    r"blocks\.(\d+)\.mixer\.out\.weight": r"model.layers.\1.self_attn.o_proj.weight",
    r"blocks\.(\d+)\.ffn\.(gate|up|down)\.weight": r"model.layers.\1.mlp.\2_proj.weight",
}


def pair(theirs, preset, names=NAMES, **fields):
    """Our model of `preset` with the random weights that `theirs` now gets, and `theirs`."""
    torch.manual_seed(0)
    for name, parameter in theirs.named_parameters():
        torch.nn.init.normal_(parameter, mean=float("norm" in name), std=0.2)
    ours = build_model({"preset": preset, **SIZES, "tied": False, **fields}, VOCABULARY).eval()
    copy(theirs.state_dict(), ours, names)
    return ours, theirs.eval()


@torch.no_grad()
def copy(theirs, ours, names):
    """Every parameter of ours from one tensor of theirs, and every tensor of theirs used. "#gate": half of a tensor."""
    used = set()
    for name, parameter in ours.named_parameters():
        [(pattern, replacement)] = [(p, r) for p, r in names.items() if re.fullmatch(p, name)]
        source, _, half = re.sub(pattern, replacement, name).partition("#")
        used.add(source)
        tensor = theirs[source]
        parameter.copy_(tensor.chunk(2, dim=1)[["gate", "up"].index(half)] if half else tensor)
    assert used == set(theirs)


def check_logits(ours, theirs, time):
    ids = torch.randint(VOCABULARY, (2, time), generator=torch.Generator().manual_seed(time))
    with torch.no_grad():
        expected = theirs(ids).logits
        assert expected.abs().max() > 1
        torch.testing.assert_close(ours(ids), expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def check_decoding(ours, theirs):
    """Our state against their whole forward pass."""
    ids = torch.randint(VOCABULARY, (2, 9), generator=torch.Generator().manual_seed(1))
    expected = theirs(ids).logits
    states = ours.initial_states(2, 9)
    for start, stop in ((0, 6), (6, 7), (7, 8), (8, 9)):
        place = Place.of(ids[:, start:stop], start)
        x, states, _ = ours.trunk(ours.embed(ids[:, start:stop], place), place, states)
        torch.testing.assert_close(ours.head(x), expected[:, start:stop], atol=1e-4, rtol=1e-4)


def check_gradients(ours, theirs, names=NAMES):
    ids = torch.randint(VOCABULARY, (2, 33), generator=torch.Generator().manual_seed(2))
    for model, logits in ((ours, ours(ids)), (theirs, theirs(ids).logits)):
        model.zero_grad()
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids.flip(1).flatten()).backward()
    expected = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    for name, parameter in ours.named_parameters():
        [(pattern, replacement)] = [(p, r) for p, r in names.items() if re.fullmatch(p, name)]
        source, _, half = re.sub(pattern, replacement, name).partition("#")
        gradient = expected[source]
        gradient = gradient.chunk(2, dim=1)[["gate", "up"].index(half)] if half else gradient
        scale = gradient.abs().max().item()
        assert scale > 0, name
        torch.testing.assert_close(parameter.grad, gradient, atol=1e-4 * scale, rtol=1e-3, msg=name)

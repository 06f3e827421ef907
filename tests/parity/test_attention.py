"""Attention with the settings of Gemma 2 and gpt-oss equals that of `transformers` with the same weights.

Their whole model runs, since it makes the masks of its windows itself; what goes into each attention layer and what
comes out is compared with ours.
"""

import pytest
import torch

from firsthand.model.mixers.attention import CausalSelfAttention
from firsthand.model.positions import Rope
from firsthand.types import Place

transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")

WINDOW, THETA = 5, 500.0
SIZES = {
    "vocab_size": 50,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 16,
    "sliding_window": WINDOW,
    "max_position_embeddings": 300,
    "rope_parameters": {"rope_type": "default", "rope_theta": THETA},
    "attn_implementation": "eager",
}


def random_ids(time):
    return torch.randint(50, (2, time), generator=torch.Generator().manual_seed(time))


def gemma2():
    settings = {"attn_logit_softcapping": 1.5, "query_pre_attn_scalar": 3, "pad_token_id": None}
    theirs = transformers.Gemma2Model(transformers.Gemma2Config(**SIZES, **settings))
    return theirs, {"softcap": 1.5, "scale": 3**-0.5}


def gpt_oss():
    theirs = transformers.GptOssModel(transformers.GptOssConfig(**SIZES, num_local_experts=2, num_experts_per_tok=1))
    return theirs, {"sinks": True, "bias": True}


@pytest.fixture(scope="module", params=[gemma2, gpt_oss], ids=lambda make: make.__name__)
def pair(request):
    """Their model, and our mixers with the weights of its layers: the first has a window."""
    torch.manual_seed(0)
    theirs, settings = request.param()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    ours = []
    for number, layer in enumerate(theirs.layers):
        window = {"sliding_attention": WINDOW, "full_attention": None}[theirs.config.layer_types[number]]
        rope = Rope(8, THETA, context_length=300, layout="half")
        ours.append(CausalSelfAttention(24, 4, 2, d_head=8, position=rope, window=window, **settings))
        copy_weights(layer.self_attn, ours[-1])
    assert [mixer.window for mixer in ours] == [WINDOW, None]
    return theirs.eval(), ours


@torch.no_grad()
def copy_weights(theirs, ours):
    left = dict(theirs.named_parameters())
    for own, other in (("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj"), ("out", "o_proj")):
        for kind, parameter in getattr(ours, own).named_parameters():
            parameter.copy_(left.pop(f"{other}.{kind}"))
    if ours.lookup.sinks is not None:
        ours.lookup.sinks.copy_(left.pop("sinks"))
    assert not left


def layers(theirs, **given):
    """What goes into each of their attention layers, and what comes out."""
    seen = []
    hooks = [
        layer.self_attn.register_forward_hook(
            lambda _, args, given, out: seen.append((given.get("hidden_states", args[0] if args else None), out[0])),
            with_kwargs=True,
        )
        for layer in theirs.layers
    ]
    theirs(**given)
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize("time", [1, 2, 5, 6, 63, 200])
@torch.no_grad()
def test_outputs(pair, time):
    """At 200 tokens our window is computed in a band."""
    theirs, ours = pair
    ids = random_ids(time)
    for mixer, (x, expected) in zip(ours, layers(theirs, input_ids=ids), strict=True):
        assert expected.abs().max() > 0.5
        torch.testing.assert_close(mixer(x, Place.of(ids))[0], expected, atol=2e-5, rtol=1e-5)


@torch.no_grad()
def test_padding_on_the_left(pair):
    theirs, ours = pair
    ids, seen = random_ids(12), torch.ones(2, 12, dtype=torch.long)
    seen[1, :4] = 0
    index = (seen.cumsum(1) - 1).clamp(min=0)
    place = Place(index, seen - 1)
    given = {"input_ids": ids, "attention_mask": seen, "position_ids": index}
    for mixer, (x, expected) in zip(ours, layers(theirs, **given), strict=True):
        found = mixer(x, place)[0]
        torch.testing.assert_close(found[0], expected[0], atol=2e-5, rtol=1e-5)
        torch.testing.assert_close(found[1, 4:], expected[1, 4:], atol=2e-5, rtol=1e-5)


@torch.no_grad()
def test_decoding(pair):
    """Their cache and our ring: a prompt longer than the window, then one token at a time."""
    theirs, ours = pair
    ids, cache = random_ids(30), transformers.DynamicCache(config=theirs.config)
    states, start = [mixer.initial_state(2, 30) for mixer in ours], 0
    for time in [9] + [1] * 21:
        piece = ids[:, start : start + time]
        seen = layers(theirs, input_ids=piece, past_key_values=cache, use_cache=True)
        for number, (x, expected) in enumerate(seen):
            y, states[number] = ours[number](x, Place.of(piece, start), states[number])
            torch.testing.assert_close(y, expected, atol=2e-5, rtol=1e-5)
        start += time
    assert [state.keys.shape[2] for state in states] == [WINDOW, 30]


def test_gradients(pair):
    """Of the input and of every weight, sinks included."""
    theirs, ours = pair
    ids = random_ids(40)
    for number, (mixer, layer) in enumerate(zip(ours, theirs.layers, strict=True)):
        pairs = [
            (mixer.query.weight, layer.self_attn.q_proj.weight),
            (mixer.value.weight, layer.self_attn.v_proj.weight),
        ]
        if mixer.lookup.sinks is not None:
            pairs.append((mixer.lookup.sinks, layer.self_attn.sinks))
        x, theirs_out = layers(theirs, input_ids=ids)[number]
        out, _ = mixer(x, Place.of(ids))
        own, other = zip(*pairs, strict=True)
        found = torch.autograd.grad(out.square().sum(), [x, *own], retain_graph=True)
        expected = torch.autograd.grad(theirs_out.square().sum(), [x, *other])
        for gradient, right in zip(found, expected, strict=True):
            torch.testing.assert_close(gradient, right, atol=1e-4 * float(right.abs().max()), rtol=1e-4)

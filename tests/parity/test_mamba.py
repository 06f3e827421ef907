"""Mamba is that of `transformers` with the same random weights: the mixer, and a whole small model."""

import pytest
import torch
from torch.nn import functional as F

from firsthand.model.make import build_model
from firsthand.model.mixers.mamba import Mamba
from firsthand.types import Place

transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")

VOCABULARY, D_MODEL, N_LAYERS = 71, 48, 3
FIELDS = {
    "preset": "gpt2",
    "n_layers": N_LAYERS,
    "d_model": D_MODEL,
    "n_heads": 4,
    "context_length": 200,
    "mixer": "mamba",
    "ffn": "none",
    "position": "none",
    "norm": {"part": "rms_norm", "eps": 1e-5},
    "bias": False,
    "tied": True,
}


@pytest.fixture(scope="module")
def theirs():
    torch.manual_seed(0)
    config = transformers.MambaConfig(
        vocab_size=VOCABULARY, hidden_size=D_MODEL, num_hidden_layers=N_LAYERS, use_mambapy=False
    )
    model = transformers.MambaForCausalLM(config).eval()
    for name, parameter in model.named_parameters():
        if not name.endswith(("A_log", "dt_proj.bias", "D")):
            torch.nn.init.normal_(parameter, std=1.0 if "embeddings" in name else 0.2)
    return model


@torch.no_grad()
def copy_mixer(source, mixer):
    """Theirs holds the two halves that enter, and the step, B and C, as one matrix each."""
    rank, d_state = mixer.time_down.out_features, mixer.d_state
    enter, gate = source["in_proj.weight"].chunk(2)
    time_down, write, read = source["x_proj.weight"].split([rank, d_state, d_state])
    tensors = {
        "enter.weight": enter,
        "gate.weight": gate,
        "taps": source["conv1d.weight"].squeeze(1),
        "taps_bias": source["conv1d.bias"],
        "time_down.weight": time_down,
        "write.weight": write,
        "read.weight": read,
        "time_up.weight": source["dt_proj.weight"],
        "time_bias": source["dt_proj.bias"],
        "log_decay": source["A_log"],
        "skip": source["D"],
        "out.weight": source["out_proj.weight"],
    }
    mixer.load_state_dict(tensors)
    assert sum(tensor.numel() for tensor in tensors.values()) == sum(tensor.numel() for tensor in source.values())


@pytest.fixture(scope="module")
def mixers(theirs):
    other = theirs.backbone.layers[0].mixer
    ours = Mamba(D_MODEL)
    copy_mixer(other.state_dict(), ours)
    return ours, other


@pytest.fixture(scope="module")
def ours(theirs):
    model = build_model(FIELDS, VOCABULARY).eval()
    with torch.no_grad():
        model.embedding.weight.copy_(theirs.backbone.embeddings.weight)
        model.norm.gain.copy_(theirs.backbone.norm_f.weight)
        for block, layer in zip(model.blocks, theirs.backbone.layers, strict=True):
            block.mixer_norm.gain.copy_(layer.norm.weight)
            copy_mixer(layer.mixer.state_dict(), block.mixer)
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in theirs.parameters())
    return model


def place(time, start=0):
    return Place(torch.arange(start, start + time).unsqueeze(0))


@pytest.mark.parametrize("time", [1, 2, 63, 64, 65, 200])
def test_mixers_are_equal(mixers, time):
    """Outputs, and gradients of the input and of every parameter."""
    ours, theirs = mixers
    x = torch.randn(2, time, D_MODEL, generator=torch.Generator().manual_seed(1)).requires_grad_()
    (y, _), expected = ours(x, place(time)), theirs(x)
    assert expected.abs().max() > 1 or time < 63
    torch.testing.assert_close(y, expected, atol=1e-5, rtol=1e-5)
    incoming = torch.randn(y.shape, generator=torch.Generator().manual_seed(2))
    gradient, right = (torch.autograd.grad(out, x, incoming, retain_graph=True)[0] for out in (y, expected))
    torch.testing.assert_close(gradient, right, atol=1e-4, rtol=1e-4)
    pairs = [(ours.log_decay, theirs.A_log), (ours.time_bias, theirs.dt_proj.bias), (ours.skip, theirs.D)]
    pairs += [(ours.taps_bias, theirs.conv1d.bias), (ours.out.weight, theirs.out_proj.weight)]
    for one, other in pairs:
        gradient = torch.autograd.grad(y, one, incoming, retain_graph=True)[0]
        right = torch.autograd.grad(expected, other, incoming, retain_graph=True)[0]
        torch.testing.assert_close(gradient, right, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("time", [1, 65, 200])
@torch.no_grad()
def test_logits_are_equal(ours, theirs, time):
    ids = torch.randint(VOCABULARY, (2, time), generator=torch.Generator().manual_seed(3))
    expected = theirs(ids).logits
    assert expected.abs().max() > 1
    torch.testing.assert_close(ours(ids), expected, atol=1e-4, rtol=1e-5)


@torch.no_grad()
def test_cached_logits_are_equal(ours, theirs):
    """Prefill, then token by token: theirs with its own cache."""
    ids = torch.randint(VOCABULARY, (2, 9), generator=torch.Generator().manual_seed(4))
    states, cache = ours.initial_states(2, 9), None
    for start, stop in ((0, 6), (6, 7), (7, 8), (8, 9)):
        here = place(stop - start, start)
        x, states, _ = ours.trunk(ours.embed(ids[:, start:stop], here), here, states)
        answer = theirs(ids[:, start:stop], cache_params=cache, use_cache=True)
        cache = answer.cache_params
        torch.testing.assert_close(ours.head(x), answer.logits, atol=1e-4, rtol=1e-5)


def test_losses_have_equal_gradients(ours, theirs):
    ids = torch.randint(VOCABULARY, (2, 33), generator=torch.Generator().manual_seed(5))
    losses = [F.cross_entropy(logits.flatten(0, 1), ids.flatten()) for logits in (ours(ids), theirs(ids).logits)]
    gradient, expected = (
        torch.autograd.grad(loss, weight)[0]
        for loss, weight in zip(losses, (ours.embedding.weight, theirs.backbone.embeddings.weight), strict=True)
    )
    torch.testing.assert_close(gradient, expected, atol=1e-5, rtol=1e-4)

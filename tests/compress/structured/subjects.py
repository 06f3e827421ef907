"""Small models of many kinds, and what is cut out of them."""

import torch

from firsthand.compress import METHODS
from firsthand.compress.subject import Given, Subject
from firsthand.model.make import build_model

VOCABULARY = 50
BASE = {"n_layers": 4, "d_model": 32, "n_heads": 4, "d_head": 8, "d_ff": 48, "context_length": 32}
KINDS = {
    "llama": {**BASE, "preset": "llama", "n_kv_heads": 2},
    "gpt2": {**BASE, "preset": "gpt2"},
    "qwen3": {**BASE, "preset": "qwen3", "n_kv_heads": 2, "tied": False},
    "linear": {**BASE, "preset": "llama", "mixer": "linear_attention"},
    "sinks": {**BASE, "preset": "llama", "mixer": {"part": "attention", "sinks": True, "value_embedding": True}},
    "mamba": {**BASE, "preset": "mamba"},
    "hybrid": {**BASE, "preset": "llama", "mixer": ["mamba", "attention"]},
    "shortcut": {**BASE, "preset": "llama", "residual": "shortcut", "block": "canon"},
    "scaled": {**BASE, "preset": "llama", "residual": {"part": "scaled", "initial": 0.7}, "block": "sandwich"},
    "parallel": {**BASE, "preset": "llama", "block": "parallel", "position": "alibi"},
    "experts": {**BASE, "preset": "llama", "ffn": {"part": "experts", "n_experts": 2, "d_ff": 16}},
}
CAN = {
    "channels": ["llama", "gpt2", "qwen3", "linear", "sinks", "hybrid", "shortcut", "scaled", "parallel"],
    "heads": ["llama", "gpt2", "qwen3", "linear", "sinks", "hybrid", "shortcut", "scaled", "experts"],
    "layers": list(KINDS),
    "structured": list(KINDS),
    "width": ["llama", "gpt2", "qwen3", "linear"],
}
SETTINGS = {
    "channels": {"multiple": 4},
    "heads": {"share": 0.5},
    "layers": {},
    "structured": {"multiple": 4, "heads": 0.5},
    "width": {"multiple": 4},
}
CUT = {method: {"share": 0.25, **settings} for method, settings in SETTINGS.items()}
NOTHING_TO_FIT = [("layers", kind) for kind in ("experts", "scaled", "parallel")]
PAIRS = [(method, kind) for method, kinds in CAN.items() for kind in kinds]
REFUSED = [(method, kind) for method, kinds in CAN.items() for kind in KINDS if kind not in kinds]


def subject_of(kind: str) -> Subject:
    """A model whose every part says something of its own."""
    torch.manual_seed(5)
    model = build_model(KINDS[kind], VOCABULARY)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("gain", "bias", "taps", "sinks")):
                parameter.add_(0.1 * torch.randn_like(parameter))
            elif name.endswith(("out.weight", "down.weight")):
                parameter.normal_(std=0.1)
    return Subject.of(model, KINDS[kind])


def given_for(subject: Subject) -> Given:
    windows = torch.randint(VOCABULARY, (16, 32), generator=torch.Generator().manual_seed(1))
    return Given(windows, Subject.of(subject.model, subject.fields).model)


def logits(model, windows):
    with torch.no_grad():
        return model(windows)


def distance(subject, given):
    """How far the subject's logits are from the original's, as a share of their size."""
    original = logits(given.original, given.windows)
    return float((logits(subject.model, given.windows) - original).norm() / original.norm())


def applied(method, kind, **settings):
    subject = subject_of(kind)
    given = given_for(subject)
    METHODS[method](**settings)(subject, given)
    return subject, given


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())

"""Small models to be rounded, and a text for them."""

import torch
from torch import nn

from firsthand.compress.subject import Given, Subject
from firsthand.model.make import build_model

FIELDS = {"preset": "llama", "n_layers": 2, "d_model": 64, "n_heads": 4, "n_kv_heads": 2, "context_length": 32}
MIXERS = ["attention", "latent_attention", "linear_attention", "retention", "delta", "gated_delta", "mamba", "mamba2"]
VOCAB = 71
WINDOWS = torch.randint(VOCAB, (10, 24), generator=torch.Generator().manual_seed(5))


def subject_of(**more):
    """Its weights are not alike: some channels of the norms, and so of what maps read, are far larger than others."""
    torch.manual_seed(0)
    fields = FIELDS | more
    model = build_model(fields, VOCAB)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2:
            nn.init.normal_(parameter, std=0.5 * parameter.shape[1] ** -0.5)
        elif name.endswith("norm.gain"):
            parameter.data.copy_(torch.randn_like(parameter).exp())
    return Subject.of(model, fields)


def given_for(subject, **more):
    return Given(WINDOWS, Subject.of(subject.model, {}).model, **more)


def scores(model):
    with torch.no_grad():
        return model(WINDOWS[:4])

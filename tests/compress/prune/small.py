"""Small models to prune, and a text's tokens to prune them by."""

import torch

from firsthand.compress.subject import Given, Subject
from firsthand.model.make import build_model

VOCAB = 40


def subject_of(**fields):
    fields = {"n_layers": 2, "d_model": 32, "n_heads": 2, "context_length": 16} | fields
    torch.manual_seed(0)
    model = build_model(fields, VOCAB)
    with torch.no_grad():
        for parameter in model.parameters():  # some parts begin with zeros
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return Subject.of(model, fields)


def given_for(subject, rows=8):
    windows = torch.randint(VOCAB, (rows, 16), generator=torch.Generator().manual_seed(1))
    return Given(windows, subject.model)


def sparsities(model):
    return {name: (part.weight == 0).float().mean().item() for name, part in maps(model).items()}


def maps(model):
    return {
        name: part
        for name, part in model.named_modules()
        if name.startswith("blocks.") and type(part) is torch.nn.Linear
    }


def inputs_of(model, windows):
    """What each linear map of the layers reads, by its name, as rows in float64."""
    seen, handles = {}, []
    for name, part in maps(model).items():

        def keep(_, inputs, name=name):
            seen.setdefault(name, []).append(inputs[0].detach().double().flatten(0, -2))

        handles.append(part.register_forward_pre_hook(keep))
    with torch.no_grad():
        model.eval()(windows)
    for handle in handles:
        handle.remove()
    return {name: torch.cat(rows) for name, rows in seen.items()}

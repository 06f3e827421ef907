"""torch's own. It passes, with a note."""

from torch.optim import AdamW


def parameter_groups(named_parameters, weight_decay):
    return [{"params": [one], "weight_decay": weight_decay * (one.ndim > 1)} for _, one in named_parameters]


def adamw(named_parameters, lr=1e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1):
    return AdamW(parameter_groups(named_parameters, weight_decay), lr, betas, eps)

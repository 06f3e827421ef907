"""Optimizers: `(named_parameters, **arguments) -> torch.optim.Optimizer`, each deciding for itself which parameters
decay (see groups.py). To write your own: a function with that signature and a line here."""

from collections.abc import Callable

from torch.optim import Optimizer

from firsthand.train.optimizers.adamw import adamw
from firsthand.train.optimizers.muon import muon

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {"adamw": adamw, "muon": muon}

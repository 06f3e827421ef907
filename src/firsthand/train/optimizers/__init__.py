"""Optimizers: `(named_parameters, **arguments) -> torch.optim.Optimizer`, each deciding for itself which parameters
decay (see groups.py). To write your own: a function with that signature and a line here; `Descent` has the rest.

`width_ratio` is offered to those that name it: how many times wider the model is than the one `lr` was found with, if
its initial weights follow muP (`initialize: mup`)."""

from collections.abc import Callable

from torch.optim import Optimizer

from firsthand.train.optimizers.adamw import adamw
from firsthand.train.optimizers.lion import lion
from firsthand.train.optimizers.muon import muon
from firsthand.train.optimizers.sgd import sgd

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {"adamw": adamw, "muon": muon, "lion": lion, "sgd": sgd}

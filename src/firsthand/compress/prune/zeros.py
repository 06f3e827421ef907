"""From a recipe's `compress` to masks on a model that learns."""

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from firsthand.compress.prune.masks import Masks, matrices
from firsthand.compress.prune.schedule import PRUNERS, Pruner
from firsthand.config import CompressNode, Config
from firsthand.errors import UserError
from firsthand.parts import build


def hold_zeros(node: CompressNode, model: nn.Module, optimizer: Optimizer) -> Masks | None:
    """What keeps the zeros of a model that begins now, and adds to them; None if `compress` asks for neither.

    The optimizer is the one that will move the model's weights. UserError if no matrix of the layers learns.
    """
    pruner, masks = _pruner(node), _zeros(model)
    if pruner is None and not node.keep_zeros:
        return None
    if not node.keep_zeros:
        masks = {name: torch.ones_like(masks[name]) for name in matrices(model) if name in masks}
    if not masks:
        raise UserError("compress: no matrix of the layers learns, so none can be pruned. Set adapt.train=all.")
    return Masks(model, optimizer, masks, pruner)


def check_zeros(config: Config) -> None:
    """UserError, before there is a model, if the recipe asks of its zeros what cannot be."""
    pruner, keep = _pruner(config.compress), config.compress.keep_zeros
    if keep and not config.model.weights:
        raise UserError(
            "compress.keep_zeros keeps the zeros of a pruned model, and this recipe begins with random weights: name "
            "the model in model.weights, or let zeros come while it learns (compress.prune=gradual)."
        )
    if (keep or pruner) and config.adapt.adapter:
        raise UserError(
            f"adapt.adapter={config.adapt.adapter!r} adds to every weight in the end, also to zeros that compress asks "
            "to keep. Let the weights themselves learn (adapt.adapter=null), or leave compress out."
        )


def _pruner(node: CompressNode) -> Pruner | None:
    pruner: Pruner | None = build("compress.prune", PRUNERS, node.prune) if node.prune else None
    return pruner


def _zeros(model: nn.Module) -> dict[str, Tensor]:
    """Masks of what is zero now, in all matrices and tables that learn."""
    return {
        name: weight.detach() != 0
        for name, weight in model.named_parameters()
        if weight.ndim >= 2 and weight.requires_grad
    }

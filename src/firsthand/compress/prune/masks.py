"""Masks on a model's weights: what is pruned is zero, and stays zero while the rest learns."""

from collections.abc import Callable, Collection, Mapping

import torch
from jaxtyping import Bool
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from firsthand.compress.subject import Subject
from firsthand.errors import DamagedError, UserError
from firsthand.train.optimizers.groups import is_hidden_matrix


@torch.no_grad()
def apply_masks(model: nn.Module, masks: Mapping[str, Bool[Tensor, "..."]]) -> list[RemovableHandle]:
    """Set to zero, by the names of parameters, the weights whose mask is False, and let no gradient reach them.

    Without a gradient, an optimizer that begins now leaves a zero where it is (decay included). Returns what undoes
    the second part.
    """
    handles = []
    for name, mask in masks.items():
        weight = model.get_parameter(name)
        weight.mul_(mask)
        handles.append(weight.register_hook(lambda gradient, mask=mask: gradient * mask))  # type: ignore[no-untyped-call]
    return handles


@torch.no_grad()
def zero(model: nn.Module, masks: Mapping[str, Bool[Tensor, "..."]]) -> None:
    """Set to zero, by the names of parameters, the weights whose mask is False. A stack's mask may be flat."""
    for name, mask in masks.items():
        weight = model.get_parameter(name)
        weight.mul_(mask.view_as(weight))


def matrices(model: nn.Module) -> dict[str, nn.Parameter]:
    """The weights that can be pruned, by name: matrices of the layers, (d_out, d_in), or stacks of them (experts).

    UserError if there are none, or one has numbers that are none.
    """
    found = {
        name: weight
        for name, weight in model.named_parameters()
        if name.startswith("blocks.") and is_hidden_matrix(name, weight)
    }
    if not found:
        raise UserError(
            "There is nothing to prune: no layer has a weight in full. Prune first, and quantize afterwards."
        )
    for name, weight in found.items():
        if not bool(torch.isfinite(weight).all()):
            raise UserError(
                f"{name} has numbers that are not finite, so none is the smallest. Use an earlier checkpoint."
            )
    return found


def tell(subject: Subject, left: Collection[str] = ()) -> None:
    """Note what has become of the subject: how much of it is zero, what is empty, and what was `left` as it was."""
    found = matrices(subject.model)
    zeros = {name: int((weight == 0).sum()) for name, weight in found.items()}
    share = sum(zeros.values()) / sum(weight.numel() for weight in found.values())
    subject.notes.append(f"{share:.1%} of the weights of {len(found)} matrices are zero: fewer bytes, the same time.")
    empty = sorted(name for name, weight in found.items() if zeros[name] == weight.numel())
    if empty:
        subject.notes.append(f"Nothing is left of {', '.join(empty[:4])}{' …' if len(empty) > 4 else ''}.")
    if left:
        subject.notes.append(
            f"{len(left)} of them stay as they were, {min(left)} among them: no linear map has read anything there."
        )


class Masks:
    """Zeros that stay zero through training with whatever optimizer, and can grow in number.

    No gradient reaches them, so that clipping and momenta see what lives; and after each step they are zero again,
    whatever the optimizer did: Muon's orthogonal step revives them, and so does momentum from before they were zero.
    `masks`: by the names of parameters, of their shapes; changed in place. `grow(self, steps, fraction)`: called after
    each step of a run, and may `put` others.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        masks: dict[str, Tensor],
        grow: Callable[["Masks", int, float], None] | None = None,
    ) -> None:
        self.model, self.masks, self.grow = model, masks, grow
        apply_masks(model, masks)
        optimizer.register_step_post_hook(lambda *_: zero(model, masks))

    @property
    def share(self) -> float:
        """Of the masked matrices' weights, those held at zero."""
        held = sum(mask.numel() - int(mask.sum()) for mask in self.masks.values())
        return held / sum(mask.numel() for mask in self.masks.values())

    def put(self, masks: Mapping[str, Tensor]) -> None:
        """Let these masks hold from now on."""
        for name, mask in masks.items():
            self.masks[name].copy_(mask)
        zero(self.model, self.masks)

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint keeps, by {parameter}.mask: a weight that lives may be zero by chance, so zeros alone do
        not say which are held."""
        return {f"{name}.mask": mask for name, mask in self.masks.items()}

    def load(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Put back what `tensors` gave; returns those that are none of its own. DamagedError if some are missing."""
        own = {name: tensors.get(f"{name}.mask") for name in self.masks}
        for name, mask in own.items():
            if mask is None or mask.dtype != torch.bool or mask.shape != self.masks[name].shape:
                raise DamagedError(f"The checkpoint has no mask for {name}, so it cannot say which zeros must stay.")
        self.put({name: mask for name, mask in own.items() if mask is not None})
        return {key: tensor for key, tensor in tensors.items() if key.removesuffix(".mask") not in own}

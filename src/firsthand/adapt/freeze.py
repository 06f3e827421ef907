"""What learns and what stays as it is."""

from torch import nn

from firsthand.adapt.heads import ClassifierHead
from firsthand.errors import UserError, suggest
from firsthand.model.language_model import LanguageModel

POLICIES = ("all", "head", "last_block", "adapter")


def freeze(model: LanguageModel, policy: str) -> list[str]:
    """Let learn what `policy` names, and nothing else; returns the names of the parameters that learn.

    "all"; the "head" (a tied one is the embedding); the "last_block" with the last norm and a head of its own; the
    "adapter" alone. Adapters learn in any case, and so does a head for classes, which knows nothing yet. What an
    adapter stands around never learns.
    """
    if policy not in POLICIES:
        raise UserError(f"adapt.train: there is no policy {policy!r}. {suggest(policy, POLICIES)}")
    head = "embedding." if model.unembedding is None else "unembedding."
    last = (f"blocks.{len(model.blocks) - 1}.", "norm.", "unembedding.")
    starts = {"all": ("",), "head": (head,), "last_block": last, "adapter": ()}[policy]
    fresh = ("unembedding.",) if isinstance(model.unembedding, ClassifierHead) else ()
    adapters = {name: part for name, part in model.named_modules() if hasattr(part, "merged")}
    own = {f"{name}.{key}" for name, part in adapters.items() for key in part.own}
    fixed = tuple(f"{name}.linear." for name in adapters)
    learning = []
    for name, parameter in model.named_parameters():
        learns = name in own or (name.startswith((*starts, *fresh)) and not name.startswith(fixed))
        parameter.requires_grad_(learns)
        if learns:
            learning.append(name)
    if not learning:
        raise UserError(f"adapt.train={policy}: nothing would learn. Give adapt.adapter a part, or another policy.")
    return learning


def learning(model: nn.Module) -> list[str]:
    """The names of the parameters that learn."""
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]

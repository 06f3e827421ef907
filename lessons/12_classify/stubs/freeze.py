"""What learns and what stays as it is."""

from firsthand.model.language_model import LanguageModel


def freeze(model: LanguageModel, policy: str) -> list[str]:
    """Let learn what `policy` names, and nothing else; returns the names of the parameters that learn, in their order.

    A parameter learns if its requires_grad is True. The model's parameters are called "embedding.weight",
    "blocks.0.…", "blocks.1.…" and so on, "norm.…", and, for the head, "unembedding.…". Policies:

    - "all": everything;
    - "head": the head alone;
    - "last_block": the last of model.blocks, the last norm and the head.

    For any other policy: ValueError. The model may have been frozen before, in another way.
    """
    raise NotImplementedError

"""How many numbers a model has, and where."""

from torch import nn


def count_parameters(model: nn.Module) -> dict[str, int]:
    """Numbers in the model's parameters, frozen or not, by part: {"embedding", "position", "mixers", "ffns", "norms",
    "head"}, each there even if it is 0. Buffers are no parameters.

    The names of the parameters tell: embedding.*, position.*, norm.* (norms), unembedding.* (head), and in the blocks
    blocks.N.mixer.*, blocks.N.ffn.*, blocks.N.mixer_norm.* and blocks.N.ffn_norm.* (both norms). A parameter that is
    used in two places is counted once, where it is met first.
    """
    raise NotImplementedError

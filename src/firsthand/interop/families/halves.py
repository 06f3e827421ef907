"""RoPE pairs channels that are neighbours, or those of two halves: the same model, its channels in another order."""

from collections.abc import Mapping

from torch import Tensor

from firsthand.interop import channels
from firsthand.interop.families.full import Full


def halves(weights: Mapping[str, Tensor], full: Full) -> tuple[Mapping[str, Tensor], Full]:
    """The model with pairs of two halves, as all published families have them; itself if it has none of neighbours.

    Queries and keys meet in inner products, which know no order of channels: those of each head are put in the new one.
    """
    if full["position"].get("layout") != "interleaved":
        return weights, full
    d_head = full["position"]["d_head"]

    def moved(name: str, tensor: Tensor) -> Tensor:
        parts = name.split(".")
        if parts[0] != "blocks" or not {"query", "key", "query_norm", "key_norm"} & set(parts):
            return tensor
        return channels.halves(tensor, len(tensor) // d_head)

    position = {**full["position"], "layout": "half"}
    return {name: moved(name, tensor) for name, tensor in weights.items()}, {**full, "position": position}

"""LoRA: a linear map that stays as it is, and two thin matrices that learn what to add to it."""

from torch import Tensor, nn


class Around(nn.Module):
    """Given: what the rest of the project asks of an adapter."""

    own = ("lora_a", "lora_b")
    linear: nn.Linear

    @property
    def weight(self) -> Tensor:
        return self.linear.weight

    def merged(self) -> nn.Linear:
        return merge_lora(self)


class LoRALinear(Around):
    """linear(x) + alpha / rank · dropout(x) Aᵀ Bᵀ, where `linear` is frozen.

    Its parameters are `linear` (the map itself), `lora_a` (rank, d_in), random, and `lora_b` (d_out, rank), zero.
    """

    def __init__(self, linear: nn.Linear, rank: int, alpha: float, dropout: float = 0.0) -> None:
        super().__init__()
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """x (..., d_in) to (..., d_out)."""
        raise NotImplementedError


def merge_lora(module: LoRALinear) -> nn.Linear:
    """A new nn.Linear that does the same as `module`, which is left as it is. The bias stays, if there is one."""
    raise NotImplementedError


def lora_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """What the LoRALinear layers of a model have learnt, by parameter name ("blocks.0.query.lora_a"); nothing else."""
    raise NotImplementedError


class LoRA:
    """Given: makes a LoRALinear of each map that `targets` names, so that a run takes adapt.adapter=lora.py:LoRA."""

    own = LoRALinear.own

    def __init__(
        self, rank: int = 8, alpha: float = 16.0, dropout: float = 0.0, targets: str | list[str] = "attention"
    ) -> None:
        self.rank, self.alpha, self.dropout, self.targets = rank, alpha, dropout, targets

    def __call__(self, linear: nn.Linear) -> LoRALinear:
        return LoRALinear(linear, self.rank, self.alpha, self.dropout)

"""Ways to keep experts equally busy. A router left alone sends ever more tokens to the experts that are ahead."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class Unbalanced(nn.Module):
    """Let the router do as it likes."""

    def __init__(self, n_experts: int, weight: float = 0.0) -> None:
        super().__init__()
        self.weight = weight

    def rank(self, scores: Float[Tensor, "tokens experts"]) -> Float[Tensor, "tokens experts"]:
        """What the choice of experts goes by."""
        return scores

    def loss(self, scores: Float[Tensor, "tokens experts"], counts: Int[Tensor, " experts"]) -> Float[Tensor, ""]:
        """What is added to the loss of a training step."""
        return torch.zeros((), dtype=scores.dtype, device=scores.device)


class LossBalance(Unbalanced):
    """weight · n_experts · Σ_e (share of visits to e) · (mean score of e): 1 · weight when all are equally busy.

    Switch Transformers (arXiv 2101.03961, section 2.2, eq. 4 to 6). Scores that are no probabilities are made so.
    """

    def __init__(self, n_experts: int, weight: float = 0.01) -> None:
        super().__init__(n_experts, weight)

    def loss(self, scores: Float[Tensor, "tokens experts"], counts: Int[Tensor, " experts"]) -> Float[Tensor, ""]:
        likely = (scores / scores.sum(-1, keepdim=True)).mean(0)
        return self.weight * len(counts) * (counts / counts.sum() * likely).sum()


class BiasBalance(Unbalanced):
    """A bias for each expert that counts in the choice and never in the weights (Wang et al. 2024, arXiv 2408.15664).

    The paper moves each bias by a fixed step against its expert's surplus of visits. Here the bias is a parameter whose
    gradient *is* the surplus (the loss is weight · Σ_e bias_e · surplus_e), and the optimizer moves it: Lion by just
    that fixed step, Adam by nearly that. So sums over microbatches and ranks, checkpoints and schedules hold for it
    as for all parameters. `weight` keeps the gradient small beside the others, for the sake of clipping; the model's
    own gradient is not touched, which is the point of the method.
    """

    def __init__(self, n_experts: int, weight: float = 1e-3) -> None:
        super().__init__(n_experts, weight)
        self.bias = nn.Parameter(torch.zeros(n_experts))

    def rank(self, scores: Float[Tensor, "tokens experts"]) -> Float[Tensor, "tokens experts"]:
        return scores.detach() + self.bias.detach()

    def loss(self, scores: Float[Tensor, "tokens experts"], counts: Int[Tensor, " experts"]) -> Float[Tensor, ""]:
        surplus = counts / counts.sum() * len(counts) - 1
        return self.weight * (self.bias * surplus).sum()


BALANCES: dict[str, type[Unbalanced]] = {"none": Unbalanced, "loss": LossBalance, "bias": BiasBalance}

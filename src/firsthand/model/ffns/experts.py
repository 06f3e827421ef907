"""Many feed-forward parts of which each token meets a few: a mixture of experts."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from firsthand.errors import UserError, suggest
from firsthand.model import no_extra_loss
from firsthand.model.ffns.activations import activation as activation_called
from firsthand.model.ffns.balance import BALANCES
from firsthand.model.ffns.gated import Gated
from firsthand.ops.grouped_linear import grouped_linear

SCORES = ("softmax", "sigmoid")


class ExpertLinear(nn.Module):
    """A matrix (d_out, d_in) for each expert."""

    def __init__(self, n_experts: int, d_in: int, d_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_experts, d_out, d_in).uniform_(-1, 1) / d_in**0.5)

    def forward(self, x: Float[Tensor, "rows d_in"], counts: Int[Tensor, " experts"]) -> Float[Tensor, "rows d_out"]:
        """The first counts[0] rows go through expert 0, the next counts[1] through expert 1, and so on."""
        return grouped_linear(x, self.weight, counts)


class Experts(nn.Module):
    """Σ over the top_k experts e of weight_e · down_e(activation(gate_e(x)) · up_e(x)), `d_ff` wide each.

    The router scores all experts ("softmax" over them, as in Mixtral, arXiv 2401.04088, section 2.1; or "sigmoid" of
    each, as in DeepSeek-V3, arXiv 2412.19437, eq. 12 to 16); a token goes to its top_k, whatever room there is: none is
    dropped. Their scores become the weights: divided by their sum if `normalize`, times `scale`. `n_shared` more
    experts see every token (DeepSeekMoE, arXiv 2401.06066, section 3.2). `balance` keeps experts equally busy: "loss",
    "bias" or "none" (balance.py); `balance_weight` is its strength.
    """

    def __init__(
        self,
        d_model: int,
        d_ff: int,
        n_experts: int = 8,
        top_k: int = 2,
        n_shared: int = 0,
        activation: str = "silu",
        score: str = "softmax",
        normalize: bool = True,
        scale: float = 1.0,
        balance: str = "loss",
        balance_weight: float | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not 1 <= top_k <= n_experts:
            raise UserError(f"experts: top_k = {top_k} must lie between 1 and n_experts = {n_experts}.")
        if score not in SCORES:
            raise UserError(f"experts: there is no score {score!r}. {suggest(score, SCORES)}")
        if balance not in BALANCES:
            raise UserError(f"experts: there is no balance {balance!r}. {suggest(balance, BALANCES)}")
        self.n_experts, self.top_k = n_experts, top_k
        self.score, self.normalize, self.scale = score, normalize, scale
        self.activation = activation_called(activation)
        self.router = nn.Linear(d_model, n_experts, bias=False)
        self.balance = BALANCES[balance](n_experts, **({} if balance_weight is None else {"weight": balance_weight}))
        self.up = ExpertLinear(n_experts, d_model, d_ff)
        self.gate = ExpertLinear(n_experts, d_model, d_ff)
        self.down = ExpertLinear(n_experts, d_ff, d_model)
        self.shared = Gated(d_model, n_shared * d_ff, activation) if n_shared else None
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "batch time d_model"]
    ) -> tuple[Float[Tensor, "batch time d_model"], Float[Tensor, ""]]:
        tokens = x.flatten(0, 1)
        weights, experts, scores = self.route(tokens)
        counts = self.counts(experts)
        order = experts.flatten().argsort(stable=True)  # the visits, those of one expert side by side
        visitor = order // self.top_k
        rows = tokens[visitor]
        hidden = self.activation(self.gate(rows, counts)) * self.up(rows, counts)
        out = self.down(hidden, counts) * weights.flatten()[order, None].to(hidden.dtype)
        y = torch.zeros_like(tokens, dtype=out.dtype).index_add(0, visitor, out).view_as(x)
        if self.shared is not None:
            y = y + self.shared(x)[0]
        extra_loss = self.balance.loss(scores, counts) if self.training else no_extra_loss(x)
        return self.dropout(y), extra_loss

    def route(
        self, tokens: Float[Tensor, "tokens d_model"]
    ) -> tuple[Float[Tensor, "tokens top_k"], Int[Tensor, "tokens top_k"], Float[Tensor, "tokens experts"]]:
        """For each token the weights of its experts, which these are, and the scores of all. In fp32 at least."""
        with torch.autocast(tokens.device.type, enabled=False):
            exact = torch.promote_types(tokens.dtype, torch.float32)
            logits = tokens.to(exact) @ self.router.weight.to(exact).t()
        scores = logits.softmax(-1) if self.score == "softmax" else logits.sigmoid()
        experts = self.balance.rank(scores).topk(self.top_k, dim=-1).indices
        weights = scores.gather(1, experts)
        if self.normalize:
            weights = weights / weights.sum(-1, keepdim=True)
        return weights * self.scale, experts, scores

    def counts(self, experts: Int[Tensor, "tokens top_k"]) -> Int[Tensor, " experts"]:
        """How many visits each expert gets."""
        known = torch.zeros(self.n_experts, dtype=torch.long, device=experts.device)
        flat = experts.flatten()
        return known.scatter_add(0, flat, torch.ones_like(flat))

    def active_parameters(self) -> int:
        """How many of the parameters one token meets."""
        idle = sum(stack.weight.numel() for stack in (self.up, self.gate, self.down))
        return sum(p.numel() for p in self.parameters()) - idle * (self.n_experts - self.top_k) // self.n_experts

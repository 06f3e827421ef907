"""Mamba-2: every head keeps a matrix, and the token decides how much is kept, what is written and what is read."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from firsthand.errors import UserError
from firsthand.model.mixers.mamba import time_bias
from firsthand.model.mixers.segments import segments
from firsthand.model.side_by_side import side_by_side
from firsthand.ops.causal_convolution import causal_convolution
from firsthand.ops.linear_attention import linear_attention
from firsthand.ops.rms_norm import rms_norm
from firsthand.ops.state import fresh_state
from firsthand.types import Place


@dataclass
class Mamba2State:
    """What a row remembers, whatever its length: the convolution's last d_conv - 1 inputs, and a matrix a head."""

    window: Float[Tensor, "batch past channels"]
    memory: Float[Tensor, "batch heads d_state d_head"]
    document: Int[Tensor, " batch"] | None = None


class Mamba2(nn.Module):
    """The block of Mamba-2, whose state space is linear attention with a decay (arXiv 2405.21060, section 7, figure 6).

    The letters of the paper, and of its code, are here:

        x, z    value, gate  the two halves that enter, n_heads = expand · d_model / d_head heads of d_head channels
        B       key          what is written to, d_state numbers for each of n_groups groups of heads
        C       query        what is read, likewise
        Δ, dt   step         how long a head listens to this token: softplus(time(x) + time_bias)
        A       rate         -exp(log_decay), how fast a head forgets (A_log): S_t = exp(Δ A) S_{t-1} + B (Δ x)ᵀ
        D       skip         what goes past the memory

    x, B and C pass a short convolution and SiLU; what is read passes a gate and then an RMS norm over each group.
    `bias` is that of the large matrices; the convolution always has one. `d_head` is that of the model unless given.
    The sizes of state-spaces/mamba2-130m … 2.7b: d_head = 64, d_state = 128, d_conv = 4, expand = 2, n_groups = 1,
    without bias, n_layers = 24, 48, 48, 48, 64 and d_model = 768, 1024, 1536, 2048, 2560.
    """

    readers = ("gate", "enter", "time")

    def __init__(
        self,
        d_model: int,
        d_head: int = 64,
        d_state: int = 64,
        d_conv: int = 4,
        expand: int = 2,
        n_groups: int = 1,
        bias: bool = False,
        dropout: float = 0.0,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        channels = expand * d_model
        if channels % d_head or channels // d_head % n_groups:
            raise UserError(
                f"mamba2: expand · d_model = {channels} channels cannot be shared by heads of d_head = {d_head} in "
                f"n_groups = {n_groups} equal groups. Change one of them."
            )
        self.d_head, self.d_state, self.n_groups, self.eps = d_head, d_state, n_groups, eps
        n_heads, mixed = channels // d_head, channels + 2 * n_groups * d_state
        self.gate = nn.Linear(d_model, channels, bias=bias)
        self.enter = nn.Linear(d_model, mixed, bias=bias)
        self.time = nn.Linear(d_model, n_heads, bias=bias)
        self.taps = nn.Parameter(torch.empty(mixed, d_conv).uniform_(-1, 1) / d_conv**0.5)
        self.taps_bias = nn.Parameter(torch.zeros(mixed))
        self.time_bias = nn.Parameter(time_bias(n_heads))
        self.log_decay = nn.Parameter(torch.empty(n_heads).uniform_(1, 16).log())
        self.skip = nn.Parameter(torch.ones(n_heads))
        self.gain = nn.Parameter(torch.ones(channels))
        self.out = nn.Linear(channels, d_model, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def initial_state(self, batch: int, length: int) -> Mamba2State:
        channels, width = self.taps.shape
        memory = fresh_state(self.taps, batch, len(self.skip), self.d_state, self.d_head)
        return Mamba2State(self.taps.new_zeros(batch, width - 1, channels), memory)

    def state_size(self, length: int) -> int:
        channels, width = self.taps.shape
        return channels * (width - 1) + len(self.gain) * self.d_state

    def mixing_flops(self, context_length: int) -> float:
        """Forward operations a token beside the weight matrices: the convolution, then for each number of memory its
        fading (1), the writing (2) and the reading (2)."""
        return 2.0 * self.taps.numel() + 5.0 * len(self.gain) * self.d_state

    def forward(
        self, x: Float[Tensor, "batch time d_model"], place: Place, state: Mamba2State | None = None
    ) -> tuple[Float[Tensor, "batch time d_model"], Mamba2State | None]:
        window, memory, document = (None, None, None) if state is None else (state.window, state.memory, state.document)
        segment, document = segments(place, document)
        gate, mixed, time = side_by_side(self, x)
        mixed, window = causal_convolution(mixed, self.taps, self.taps_bias, window, segment)
        y, memory = self.scan(F.silu(mixed), time, memory, segment)
        y = y * F.silu(gate)
        y = rms_norm(torch.unflatten(y, 2, (self.n_groups, -1)), eps=self.eps).flatten(2) * self.gain
        return self.dropout(self.out(y)), None if state is None else Mamba2State(window, memory, document)

    def scan(
        self,
        mixed: Float[Tensor, "batch time channels"],
        time: Float[Tensor, "batch time heads"],
        memory: Float[Tensor, "batch heads d_state d_head"] | None,
        segment: Int[Tensor, "batch time"] | None,
    ) -> tuple[Float[Tensor, "batch time values"], Float[Tensor, "batch heads d_state d_head"]]:
        """The state space: what is kept and written depends on the token (section 7.2). Steps are fp32 at least."""
        exact = torch.promote_types(time.dtype, torch.float32)
        step = F.softplus(time.to(exact) + self.time_bias)
        decay = -self.log_decay.to(exact).exp() * step
        shared = self.n_groups * self.d_state
        x, key, query = torch.split(mixed, [len(self.gain), shared, shared], dim=2)
        key, query = (torch.unflatten(heads, 2, (self.n_groups, -1)).transpose(1, 2) for heads in (key, query))
        x = torch.unflatten(x, 2, (-1, self.d_head))
        value = (x * step.unsqueeze(3).to(x.dtype)).transpose(1, 2)
        y, memory = linear_attention(query, key, value, decay.transpose(1, 2), memory, segment)
        return torch.addcmul(y.transpose(1, 2), x, self.skip.to(x.dtype).unsqueeze(1)).flatten(2), memory

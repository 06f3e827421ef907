"""Mamba: every channel keeps a small memory, and the token decides what is written, kept and read."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from firsthand.model.mixers.segments import segments
from firsthand.model.side_by_side import side_by_side
from firsthand.ops.causal_convolution import causal_convolution
from firsthand.ops.selective_scan import selective_scan
from firsthand.ops.state import fresh_state
from firsthand.types import Place

SHORTEST, LONGEST = 1e-3, 1e-1
"""The steps with which channels begin (section 3.6)."""


@dataclass
class MambaState:
    """What a row remembers, whatever its length: the last d_conv - 1 inputs of the convolution, and h."""

    window: Float[Tensor, "batch past channels"]
    h: Float[Tensor, "batch channels d_state"]
    document: Int[Tensor, " batch"] | None = None


class Mamba(nn.Module):
    """The block of Mamba with its selective state space, S6 (arXiv 2312.00752, figure 3 and algorithm 2).

    The letters of the paper, and of its code, are here:

        Δ, dt   step     how long a channel listens to this token: softplus(time_up(time_down(x)) + time_bias)
        A       rates    -exp(log_decay), how fast each number of a channel's memory fades (A_log)
        B       write    where in the memory the token is written
        C       read     where in the memory it looks
        D       skip     what goes past the memory
        x, z    x, gate  the two halves that enter
        N       d_state  numbers of memory a channel;  E is expand, R (dt_rank) is time_rank

    `time_rank` is ceil(d_model / 16) unless given. `bias` is that of the three large matrices; the convolution always
    has one. The sizes of state-spaces/mamba-130m … 2.8b are all these defaults, without bias, n_layers = 24, 48, 48,
    48, 64 and d_model = 768, 1024, 1536, 2048, 2560 (appendix E.2).
    """

    readers = ("enter", "gate")

    def __init__(
        self,
        d_model: int,
        d_state: int = 16,
        d_conv: int = 4,
        expand: int = 2,
        time_rank: int | None = None,
        bias: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.d_state = d_state
        channels, rank = expand * d_model, time_rank or math.ceil(d_model / 16)
        self.enter = nn.Linear(d_model, channels, bias=bias)
        self.gate = nn.Linear(d_model, channels, bias=bias)
        self.taps = nn.Parameter(torch.empty(channels, d_conv).uniform_(-1, 1) / d_conv**0.5)
        self.taps_bias = nn.Parameter(torch.empty(channels).uniform_(-1, 1) / d_conv**0.5)
        self.time_down = nn.Linear(channels, rank, bias=False)
        self.time_up = nn.Linear(rank, channels, bias=False)
        self.time_bias = nn.Parameter(time_bias(channels))
        self.write = nn.Linear(channels, d_state, bias=False)
        self.read = nn.Linear(channels, d_state, bias=False)
        self.log_decay = nn.Parameter(torch.arange(1, d_state + 1).float().log().repeat(channels, 1))
        self.skip = nn.Parameter(torch.ones(channels))
        self.out = nn.Linear(channels, d_model, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def initial_state(self, batch: int, length: int) -> MambaState:
        channels, width = self.taps.shape
        h = fresh_state(self.taps, batch, channels, self.d_state)
        return MambaState(self.taps.new_zeros(batch, width - 1, channels), h)

    def state_size(self, length: int) -> int:
        channels, width = self.taps.shape
        return channels * (width - 1 + self.d_state)

    def mixing_flops(self, context_length: int) -> float:
        """Forward operations a token beside the weight matrices: the convolution, then for each number of memory its
        fading (2: product and exponential), the update (3) and the reading (2)."""
        channels, width = self.taps.shape
        return float(channels * (2 * width + 7 * self.d_state))

    def forward(
        self, x: Float[Tensor, "batch time d_model"], place: Place, state: MambaState | None = None
    ) -> tuple[Float[Tensor, "batch time d_model"], MambaState | None]:
        window, h, document = (None, None, None) if state is None else (state.window, state.h, state.document)
        segment, document = segments(place, document)
        x, gate = side_by_side(self, x)
        x, window = causal_convolution(x, self.taps, self.taps_bias, window, segment)
        y, h = self.scan(F.silu(x), h, segment)
        after = None if state is None else MambaState(window, h, document)
        return self.dropout(self.out(y * F.silu(gate))), after

    def scan(
        self,
        x: Float[Tensor, "batch time channels"],
        h: Float[Tensor, "batch channels d_state"] | None,
        segment: Int[Tensor, "batch time"] | None,
    ) -> tuple[Float[Tensor, "batch time channels"], Float[Tensor, "batch channels d_state"]]:
        """Selection: the step, and what is written and read, depend on the token (section 3.2, algorithm 2)."""
        step = F.softplus(self.time_up(self.time_down(x)) + self.time_bias)
        return selective_scan(x, step, -self.log_decay.exp(), self.write(x), self.read(x), self.skip, h, segment)


def time_bias(channels: int) -> Float[Tensor, " channels"]:
    """What softplus takes to steps that are spread log-uniformly over SHORTEST to LONGEST (section 3.6)."""
    step = torch.empty(channels).uniform_(math.log(SHORTEST), math.log(LONGEST)).exp()
    return step + torch.log(-torch.expm1(-step))

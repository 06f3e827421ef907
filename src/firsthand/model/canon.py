"""A layer whose FFN sees a few tokens: a causal convolution between the second norm and the FFN."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from firsthand.model.block import Block
from firsthand.model.mixers.segments import segments
from firsthand.model.residuals import Residual
from firsthand.ops.causal_convolution import causal_convolution
from firsthand.types import Place, State


@dataclass
class CanonState:
    """What the mixer remembers, the last width - 1 tokens as the FFN would see them, and the last token's document."""

    mixer: State
    window: Float[Tensor, "batch past d_model"]
    document: Int[Tensor, " batch"] | None = None


class Canon(Block):
    """x + mixer(norm(x)), then x + ffn(n + scale · conv(n)) with n = norm(x), channel by channel over `width` tokens.

    One of the four places of Canon layers (Allen-Zhu 2025, "Physics of language models: part 4.1": the one called C);
    the layer costs width · d_model numbers and no matrix product. Attention then need not learn first who
    stands next to whom, which on characters is most of what a short run learns. The taps begin at 0, and `scale`
    multiplies their learning rate, in effect: at AdamW's rate for gains they would not arrive in a run of 200 steps.
    Where there is no FFN to show anything to, it is the plain layer.
    """

    def __init__(
        self,
        mixer: nn.Module,
        ffn: nn.Module | None,
        mixer_norm: nn.Module,
        ffn_norm: nn.Module | None,
        d_model: int,
        residual: Residual | None = None,
        width: int = 4,
        scale: float = 8.0,
    ) -> None:
        super().__init__(mixer, ffn, mixer_norm, ffn_norm, residual)
        if ffn is None:
            return
        self.scale = scale
        self.taps = nn.Parameter(torch.zeros(d_model, width))
        self.itself = nn.Buffer(torch.eye(width)[-1], persistent=False)

    def initial_state(self, batch: int, length: int) -> State:
        if self.ffn is None:
            return super().initial_state(batch, length)
        d_model, width = self.taps.shape
        return CanonState(super().initial_state(batch, length), self.taps.new_zeros(batch, width - 1, d_model))

    def state_size(self, length: int) -> int:
        return super().state_size(length) + (0 if self.ffn is None else self.taps[:, 1:].numel())

    def mixing_flops(self, context_length: int) -> float:
        return super().mixing_flops(context_length) + (0.0 if self.ffn is None else 2.0 * self.taps.numel())

    def forward(
        self, x: Float[Tensor, "batch time d_model"], place: Place, state: State = None
    ) -> tuple[Float[Tensor, "batch time d_model"], State, Float[Tensor, ""]]:
        if self.ffn is None or self.ffn_norm is None:
            return super().forward(x, place, state)
        within, window, last = (None, None, None) if state is None else (state.mixer, state.window, state.document)
        y, within = self.mixer(self.mixer_norm(x), place, within)
        x = self.residual.join(x, y)
        segment, document = segments(place, last)
        seen = self.ffn_norm(x)
        seen, window = causal_convolution(seen, self.scale * self.taps + self.itself, None, window, segment)
        y, extra_loss = self.ffn(seen)
        return self.residual.join(x, y), None if state is None else CanonState(within, window, document), extra_loss

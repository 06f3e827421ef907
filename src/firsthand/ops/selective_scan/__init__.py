"""The selective scan of Mamba: one function, three versions, and the rule that chooses among them."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from firsthand.errors import UserError
from firsthand.ops.choice import version_for
from firsthand.ops.selective_scan import blocks, step
from firsthand.ops.selective_scan.reference import selective_scan as _definition
from firsthand.ops.state import fresh_state

__all__ = ["VERSIONS", "selective_scan"]


def _reference(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, state: Tensor, segment: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The definition, called as the others are."""
    zeros = torch.zeros(x.shape[:2], dtype=torch.long, device=x.device)
    return _definition(x, dt, A, B, C, state, zeros if segment is None else segment)


VERSIONS: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {
    "reference": _reference,
    "blocks": blocks.selective_scan,
    "step": step.selective_scan,
}


def selective_scan(
    x: Float[Tensor, "batch time channels"],
    dt: Float[Tensor, "batch time channels"],
    A: Float[Tensor, "channels d_state"],
    B: Float[Tensor, "batch time d_state"],
    C: Float[Tensor, "batch time d_state"],
    skip: Float[Tensor, " channels"] | None = None,
    state: Float[Tensor, "batch channels d_state"] | None = None,
    segment: Int[Tensor, "batch time"] | None = None,
    version: str = "auto",
) -> tuple[Float[Tensor, "batch time channels"], Float[Tensor, "batch channels d_state"]]:
    """h_t = exp(dt_t A) h_{t-1} + dt_t B_t x_t, y_t = C_t h_t + skip x_t (arXiv 2312.00752, eq. 2 and algorithm 2).

    dt >= 0 is how long each channel listens to a token; A < 0 are the rates at which its d_state numbers fade; B_t and
    C_t, shared by the channels, say where a token is written and read; `skip` is the paper's D. `state`: h before the
    first token (None: zeros). `segment` counts the document borders in each row: tokens of segment 0 go on from the
    state, every other segment starts from zeros. Returns y in the dtype of x, and the h after the last token, which is
    computed and kept in fp32 at least. `version` forces one of VERSIONS; UserError if that one cannot do it.
    """
    run = version_for("selective_scan", VERSIONS, version, "step" if x.shape[1] == 1 else "blocks", x)
    if version == "step" and x.shape[1] != 1:
        raise UserError(f"The step version of selective_scan takes one token, not {x.shape[1]}. Use version blocks.")
    exact = torch.promote_types(x.dtype, torch.float32)
    with torch.autocast(x.device.type, enabled=False):
        state = fresh_state(x, len(x), *A.shape) if state is None else state
        y, state = run(*(tensor.to(exact) for tensor in (x, dt, A, B, C, state)), segment)
        y = y if skip is None else torch.addcmul(y, x.to(exact), skip.to(exact))
    return y.to(x.dtype), state

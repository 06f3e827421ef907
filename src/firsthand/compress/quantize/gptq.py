"""GPTQ: weights are rounded column by column, and those still to come make up for the error so far."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from firsthand.compress.calibration import Gram, layers
from firsthand.compress.quantize import maps_to_round, round_tables
from firsthand.compress.quantize.grids import best_grid
from firsthand.compress.subject import Given, Subject
from firsthand.errors import UserError
from firsthand.model.quantized import put
from firsthand.ops.quantized import Quantized
from firsthand.ops.quantized.affine import Affine


class GPTQ:
    """Makes ‖Ŵ X - W X‖² small, layer by layer, where X is what each map reads (Frantar et al., arXiv 2210.17323).

    `bits`, `group`, `symmetric`, `scales` and `reach` are those of ops/quantized/affine.py. `damping`: so much of the
    mean of H's diagonal is added to it. `block`: so many columns are rounded before the others hear of it (speed only).
    `order`: "activation" rounds the columns with the largest inputs first; null goes from left to right. `search`
    chooses each group's range (grids.py). `sequential`: maps of a layer see what earlier ones of the same layer have
    become, which takes a pass of the text for each. `embedding` and `targets` as in round_to_nearest.
    """

    def __init__(
        self,
        bits: int = 4,
        group: int | None = 128,
        symmetric: bool = False,
        scales: str = "fp16",
        reach: float | None = None,
        damping: float = 0.01,
        block: int = 32,
        order: str | None = "activation",
        search: bool = True,
        sequential: bool = False,
        embedding: dict[str, Any] | None = None,
        targets: str | list[str] = "layers",
    ) -> None:
        if damping <= 0 or block < 1 or order not in (None, "activation"):
            raise UserError(
                f"gptq: damping={damping}, block={block}, order={order!r} cannot be: damping is above 0 (0.01 is the "
                "paper's), a block has at least one column, and order is activation or null."
            )
        self.format = Affine(bits, group, symmetric, scales, reach)
        self.rule: dict[str, Any] = {"damping": damping, "block": block, "order": order, "search": search}
        self.sequential, self.embedding, self.targets = sequential, embedding, targets

    def __call__(self, subject: Subject, given: Given) -> None:
        chosen = maps_to_round(subject, self.targets)
        unread = 0
        for layer in layers(subject.model, given.windows, given.done):
            maps, readers = layer.maps, layer.readers()
            never = [name for name in maps if not any(name in names for names in readers)]
            steps = [*readers, never] if self.sequential else [list(maps)]
            for names in steps:
                grams = layer.gather(Gram, names)
                for name in chosen.keys() & set(names):
                    unread += grams[name].rows == 0
                    rounded = gptq(maps[name].weight, grams[name].total, self.format, **self.rule)
                    put(subject.model, name, rounded)
        for name in [name for name in chosen if not name.startswith("blocks.")]:
            put(subject.model, name, Quantized.of(chosen[name].weight, self.format))
        if unread:
            subject.notes.append(f"{unread} maps read nothing of the calibration text and were rounded to the nearest.")
        round_tables(subject, self.embedding)


@torch.no_grad()
def gptq(
    weight: Float[Tensor, "d_out d_in"],
    gram: Float[Tensor, "d_in d_in"],
    format: Affine,
    damping: float = 0.01,
    block: int = 32,
    order: str | None = None,
    search: bool = False,
) -> Quantized:
    """The weight as GPTQ rounds it for inputs with XᵀX = `gram` (algorithm 1 of the paper), in float64.

    With U the upper Cholesky factor of H⁻¹, H = gram + λI: column i is rounded, its error over U_ii is e, and every
    later column j gets -e · U_ij. Columns of one `block` hear of it at once, those behind it when the block is done
    (section 3, step 2). With an `order` the groups keep their columns, and their scales are made beforehand.
    """
    rest, hessian = weight.detach().double(), gram.double()
    diagonal = hessian.diagonal()
    columns = diagonal.argsort(descending=True, stable=True) if order else torch.arange(len(diagonal))
    rest, inverse = rest[:, columns].clone(), _factor(hessian[columns][:, columns], damping)
    width = format.width(len(columns))
    scales, zeros = _grid(format, weight, diagonal, search)
    codes = torch.empty(rest.shape, dtype=torch.int16)
    ahead = not order and width < len(columns)  # whether a group's scale waits until its turn
    size = width * max(1, block // width) if ahead else block
    for start in range(0, len(columns), size):
        end = min(start + size, len(columns))
        work = rest[:, start:end].t().contiguous()
        errors = torch.empty_like(work)
        for i in range(start, end):
            group = int(columns[i]) // width
            own = slice(group, group + 1)
            if ahead and i % width == 0:
                now = work[i - start : i - start + width].t()
                scales[:, own], zero = _grid(format, now, diagonal[i : i + width], search)
                if zeros is not None and zero is not None:
                    zeros[:, own] = zero
            beside = scales[:, own], None if zeros is None else zeros[:, own]
            code = format.nearest(work[i - start, :, None], *beside)
            codes[:, columns[i]] = code[:, 0]
            errors[i - start] = (work[i - start] - format.values(code, *beside)[:, 0]) / inverse[i, i]
            work[i - start :].addr_(inverse[i, i:end], errors[i - start], alpha=-1)
        rest[:, end:] -= errors.t() @ inverse[start:end, end:]
    return Quantized(format, (weight.shape[0], weight.shape[1]), format.keep(codes, scales, zeros))


def _factor(hessian: Float[Tensor, "d_in d_in"], damping: float) -> Float[Tensor, "d_in d_in"]:
    """The upper triangular U with UᵀU = H⁻¹. Where nothing was read H is the identity."""
    level = float(hessian.diagonal().mean()) or 1.0
    damped = hessian + damping * level * torch.eye(len(hessian), dtype=torch.float64)
    upper: Tensor = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(damped)), upper=True)
    return upper


def _grid(format: Affine, weight: Tensor, importance: Tensor, search: bool) -> tuple[Tensor, Tensor | None]:
    """Scales and zeros for what is to be rounded next."""
    return best_grid(format, weight, importance) if search else format.grid(weight)

"""A model made ready to write text: one precision, weights laid out for the machine, products of one input joined."""

import copy
import logging
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from firsthand.errors import UserError, suggest
from firsthand.generate.native.library import Unavailable, library
from firsthand.generate.native.program import Program, program_of
from firsthand.model.language_model import LanguageModel
from firsthand.ops.packed_linear import packed, packed_linear

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
ENGINES = ("auto", "native", "torch")
LARGE = 50_000_000
"""From so many parameters on "auto" is bf16: then most of a step goes by in reading weights, and half as many bytes
take half the time. Smaller models are quick in fp32 as well, and so write exactly the texts of fp32 unless asked."""

logger = logging.getLogger(__name__)


class Product(nn.Module):
    """An nn.Linear for inference. `weight` stays at hand, for parts that read it or ask it about dtype and device."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.weight, self.bias = weight, bias
        self.layout, self.dtype = packed(weight), weight.dtype

    def forward(self, x: Float[Tensor, "*rows d_in"]) -> Float[Tensor, "*rows d_out"]:
        return packed_linear(x, self.layout, self.bias)


class Joined(nn.Module):
    """Several maps of one input as a single product: one call in place of three, and a longer read of memory."""

    def __init__(self, maps: list[nn.Linear]) -> None:
        super().__init__()
        self.widths = [each.out_features for each in maps]
        weights: list[Tensor] = [each.weight for each in maps]
        biases: list[Tensor] = [
            each.weight.new_zeros(each.out_features) if each.bias is None else each.bias for each in maps
        ]
        without = all(each.bias is None for each in maps)
        self.layout, self.dtype = packed(torch.cat(weights)), weights[0].dtype
        self.bias = None if without else torch.cat(biases)

    def forward(self, x: Float[Tensor, "*rows d_in"]) -> tuple[Float[Tensor, "*rows _"], ...]:
        return tuple(packed_linear(x, self.layout, self.bias).split_with_sizes(self.widths, -1))


@torch.no_grad()
def pack(model: LanguageModel, precision: str = "auto", engine: str = "auto") -> LanguageModel:
    """A copy of the model for inference, which computes and remembers in `precision`.

    Linear maps are laid out for the machine (ops/packed_linear.py), and those that a part reads side by side are one
    product. Scores are those of the model in that precision, to rounding. Weights that need no cast are shared with the
    model, so pack again after training. `precision` is one of PRECISIONS, or "auto": bf16 for a large model where the
    machine has bf16, else fp32; the choice is logged. `engine` is one of ENGINES: "native" computes the steps after the
    prompt by compiled instructions (generate/native), "auto" does where it can. UserError for another name, and for
    "native" where that is not possible.
    """
    check_engine(engine)
    ready: Any = _cast(_plain(model), PRECISIONS[choose(precision, model)])
    for part in list(ready.modules()):
        readers: tuple[str, ...] = getattr(part, "readers", ())
        if readers:
            part.joined = Joined([getattr(part, name) for name in readers])
        for name, child in list(part.named_children()):
            if type(child) is nn.Linear and name not in readers:
                setattr(part, name, Product(child.weight, child.bias))
            elif type(child) is nn.Dropout:
                setattr(part, name, nn.Identity())
    if ready.unembedding is None:
        ready.unembedding = Product(ready.embedding.weight, None)
    ready.program = _program(ready, engine)
    packed_model: LanguageModel = ready
    return packed_model


def _program(model: LanguageModel, engine: str) -> Program | None:
    """The instructions for the model's steps; None where torch computes them. UserError if that was not asked for."""
    if engine == "torch":
        return None
    try:
        if next(model.parameters()).device.type != "cpu":
            raise Unavailable("the model is not on a CPU")
        library()
        return program_of(model)
    except Unavailable as reason:
        if engine == "native":
            raise UserError(f"The native engine cannot write with this model: {reason}. Use auto or torch.") from None
        logger.info("torch computes the steps: %s", reason)
        return None


def choose(precision: str, model: LanguageModel) -> str:
    """The name in PRECISIONS that `precision` means for this model."""
    check_precision(precision)
    if precision != "auto":
        return precision
    numbers = sum(weight.numel() for weight in model.parameters())
    able = _has_bf16(next(model.parameters()).device)
    chosen = "bf16" if able and numbers >= LARGE else "fp32"
    logger.info("%d million parameters, bf16 %s: generating in %s", numbers // 10**6, ("absent", "there")[able], chosen)
    return chosen


def check_precision(precision: str) -> None:
    """UserError unless it is "auto" or one of PRECISIONS."""
    if precision not in ("auto", *PRECISIONS):
        known = suggest(precision, ("auto", *PRECISIONS))
        raise UserError(f"There is no precision {precision!r} to generate in. {known}")


def check_engine(engine: str) -> None:
    """UserError unless it is one of ENGINES."""
    if engine not in ENGINES:
        raise UserError(f"There is no engine {engine!r} to generate with. {suggest(engine, ENGINES)}")


def _has_bf16(device: torch.device) -> bool:
    """Whether the device multiplies numbers in bf16 by instructions of its own."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    capabilities = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def _plain(model: LanguageModel) -> LanguageModel:
    """The model, or a copy with the same weights in which every adapter is the one map that it has become."""
    if not any(hasattr(part, "merged") for part in model.modules()):
        return model
    plain = copy.deepcopy(model, {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())})
    parts: list[nn.Module] = [plain]
    for part in parts:
        for name, child in list(part.named_children()):
            merged: Any = getattr(child, "merged", None)
            if merged:
                setattr(part, name, merged())
            else:
                parts.append(child)
    return plain


def _cast(model: LanguageModel, dtype: torch.dtype) -> LanguageModel:
    """A copy whose weights have this dtype. Those that have it already are the model's own, seen once more."""
    copies: dict[int, Any] = {}
    for tensor in (*model.parameters(), *model.buffers()):
        cast = tensor.detach().to(dtype) if tensor.is_floating_point() else tensor.detach()
        copies[id(tensor)] = nn.Parameter(cast, False) if isinstance(tensor, nn.Parameter) else cast
    return copy.deepcopy(model, copies).eval()

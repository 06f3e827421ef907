"""A model made ready to write text: one precision, weights laid out for the machine, products of one input joined."""

import copy
import logging
from typing import Any

import torch
from torch import nn

from firsthand.errors import UserError, suggest
from firsthand.generate.native.codes import alike, codes_of
from firsthand.generate.native.library import Unavailable, library
from firsthand.generate.native.program import Program, program_of
from firsthand.generate.products import Apart, CodesEmbedding, CodesProduct, Joined, JoinedCodes, Product
from firsthand.model.embedding import Embedding
from firsthand.model.language_model import LanguageModel
from firsthand.model.make import Unfilled
from firsthand.model.quantized import QuantizedEmbedding, QuantizedLinear, quantized_parts

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
ENGINES = ("auto", "native", "torch")
LARGE = 50_000_000
"""From so many parameters on "auto" is bf16: then most of a step goes by in reading weights, and half as many bytes
take half the time. Smaller models are quick in fp32 as well, and so write exactly the texts of fp32 unless asked."""

logger = logging.getLogger(__name__)


@torch.no_grad()
def pack(model: LanguageModel, precision: str = "auto", engine: str = "auto") -> LanguageModel:
    """A copy of the model for inference, which computes and remembers in `precision`.

    Linear maps are laid out for the machine (ops/packed_linear.py), and those that a part reads side by side are one
    product. Weights in few bits stay so where the native library multiplies with them (native/few_bits.h), on either
    engine; else they are there in full, which is logged. Scores are those of the model in that precision, to rounding.
    Weights that need no cast are shared with the model, so pack again after training. `precision` is one of PRECISIONS,
    or "auto": bf16 for a large model where the machine has bf16, else fp32; the choice is logged. `engine` is one of
    ENGINES: "native" computes the steps after the prompt by compiled instructions (generate/native), "auto" does where
    it can. UserError for another name, and for "native" where that is not possible.
    """
    check_engine(engine)
    dtype = PRECISIONS[choose(precision, model)]
    ready: Any = _cast(_plain(model), dtype)
    _lay_out(ready, dtype)
    for part in list(ready.modules()):
        readers: tuple[str, ...] = getattr(part, "readers", ())
        if readers:
            _join(part, readers)
        for name, child in list(part.named_children()):
            if type(child) is nn.Linear and name not in readers:
                setattr(part, name, Product(child.weight, child.bias))
            elif type(child) is nn.Dropout:
                setattr(part, name, nn.Identity())
    if ready.unembedding is None:
        table = ready.embedding
        few = isinstance(table, CodesEmbedding)
        ready.unembedding = CodesProduct(table.codes, None, dtype) if few else Product(table.weight, None)
    ready.program = _program(ready, engine)
    packed_model: LanguageModel = ready
    return packed_model


def _lay_out(model: nn.Module, dtype: torch.dtype) -> None:
    """Parts in few bits as the machine reads them; those that nothing here multiplies with become plain ones."""
    reasons = set()
    for part in list(model.modules()):
        for name, child in list(part.named_children()):
            if type(child) not in (QuantizedLinear, QuantizedEmbedding):
                continue
            try:
                setattr(part, name, _few(child, dtype))
            except Unavailable as why:
                reasons.add(str(why))
                setattr(part, name, _whole(child, dtype))
    for reason in sorted(reasons):
        logger.info("weights in few bits are multiplied in full: %s", reason)


def _few(part: Any, dtype: torch.dtype) -> nn.Module:
    codes = codes_of(part.quantized)
    return CodesProduct(codes, part.bias, dtype) if type(part) is QuantizedLinear else CodesEmbedding(codes, dtype)


def _whole(part: Any, dtype: torch.dtype) -> nn.Module:
    """The part with its weight in full."""
    with Unfilled():
        linear = type(part) is QuantizedLinear
        plain: Any = nn.Linear(part.in_features, part.out_features, bias=False) if linear else Embedding(*part.shape)
    plain.weight = nn.Parameter(part.weight.to(dtype), False)
    if linear:
        plain.bias = part.bias
    whole: nn.Module = plain
    return whole


def _join(part: Any, readers: tuple[str, ...]) -> None:
    """Make one product of the maps that a part reads side by side, if their weights stand in one way."""
    if all(type(getattr(part, name)) is nn.Linear for name in readers):
        part.joined = Joined([getattr(part, name) for name in readers])
        return
    for name in readers:
        if type(child := getattr(part, name)) is nn.Linear:
            setattr(part, name, Product(child.weight, child.bias))
    maps = [getattr(part, name) for name in readers]
    if all(type(each) is CodesProduct for each in maps) and alike([each.codes for each in maps]):
        part.joined = JoinedCodes(maps)
    elif all(type(each) in (Product, CodesProduct) for each in maps):
        part.joined = Apart(maps)


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
    numbers += sum(part.shape[0] * part.shape[1] for _, part in quantized_parts(model))
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
    """A copy whose weights have this dtype. Those that have it already are the model's own, seen once more, as are
    those in few bits."""
    copies: dict[int, Any] = {id(tensor): tensor for _, part in quantized_parts(model) for tensor in part.buffers()}
    for tensor in (*model.parameters(), *model.buffers()):
        if id(tensor) in copies:
            continue
        cast = tensor.detach().to(dtype) if tensor.is_floating_point() else tensor.detach()
        copies[id(tensor)] = nn.Parameter(cast, False) if isinstance(tensor, nn.Parameter) else cast
    return copy.deepcopy(model, copies).eval()

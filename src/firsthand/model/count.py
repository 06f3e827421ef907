"""What a model costs: parameters, arithmetic, memory. Nothing here allocates the model."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from firsthand.model.language_model import LanguageModel
from firsthand.model.make import build_model, import_parts
from firsthand.ops.cross_entropy import linear_cross_entropy
from firsthand.types import Place

COUNTED_ROWS = 4


@dataclass(frozen=True)
class Count:
    """`parameters` by part, and how many of them one token meets; `flops_per_token` of training; `memory` of a training
    step in bytes by purpose, weights in fp32; `state`: numbers that decoding holds for one row of full context."""

    parameters: dict[str, int]
    active: int
    flops_per_token: float
    memory: dict[str, int]
    state: int


def count(
    fields: dict[str, Any],
    vocab_size: int,
    batch_rows: int = 1,
    optimizer_floats: tuple[int, int] = (2, 2),
    precision: torch.dtype = torch.float32,
    files: bool = True,
) -> Count:
    """The cost of the model that `build_model(fields, vocab_size)` would make.

    Memory is that of a training step of `batch_rows` full contexts, computing in `precision`. `optimizer_floats`: how
    many fp32 numbers the optimizer keeps for each weight of a hidden matrix, and for each other (AdamW: 2 and 2; Muon
    with AdamW: 1 and 2).
    """
    with _imagined(fields, vocab_size, files) as model:
        parameters = count_parameters(model)
        total = sum(parameters.values())
        hidden = hidden_weights(model)
        memory = {
            "parameters": 4 * total,
            "gradients": 4 * total,
            "optimizer": 4 * (optimizer_floats[0] * hidden + optimizer_floats[1] * (total - hidden)),
            "activations": _activations_of_many(model, batch_rows, precision),
        }
        blocks: Iterable[Any] = model.blocks
        state = sum(block.state_size(model.context_length) for block in blocks)
        return Count(parameters, total - idle_parameters(model), flops_per_token(model), memory, state)


def count_blocks(fields: dict[str, Any], files: bool = True) -> tuple[int, float]:
    """Of the blocks alone, whatever the vocabulary: matrix weights that a token meets, operations to train on it."""
    with _imagined(fields, 1, files) as model:
        return hidden_weights(model) - idle_parameters(model), _blocks_flops(model)[0]


@contextmanager
def _imagined(fields: dict[str, Any], vocab_size: int, files: bool) -> Iterator[LanguageModel]:
    """The model in tensors of the right shape and kind without memory, as is all that is made meanwhile."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    if files:
        import_parts(fields)
    with FakeTensorMode(), torch.random.fork_rng(devices=[]):
        yield build_model(fields, vocab_size, files)


def count_parameters(model: LanguageModel) -> dict[str, int]:
    """Numbers in the model's parameters, frozen or not, by part. A tied head has none of its own."""
    parts = {"embedding": 0, "position": 0, "mixers": 0, "ffns": 0, "norms": 0, "head": 0}
    plural = {"mixer": "mixers", "ffn": "ffns", "unembedding": "head", "residual": "norms", "taps": "mixers"}
    for name, parameter in model.named_parameters():
        top, *rest = name.split(".")
        part = rest[1] if top == "blocks" else top
        part = "norms" if part.endswith("norm") else plural.get(part, part)
        parts[part] = parts.get(part, 0) + parameter.numel()
    return parts


def flops_per_token(model: LanguageModel) -> float:
    """Floating-point operations of forward and backward for one token at full context: 6·N + 3·M where all learns.

    N counts the weights of every matrix that the token is multiplied with, the head included and the embedding not: two
    operations forward, two backward for the matrix's input, and two for its own gradient, which only a matrix that
    learns has. M is what the mixers do beside their matrices; for causal attention that is
    2 · n_heads · d_head · context_length a layer (a query meets half the context on average), which makes the usual
    6·N + 6·n_layers·d_model·context_length. Nothing goes back beyond the first layer in which something learns.
    """
    blocks, back = _blocks_flops(model)
    head = model.head_weight
    return blocks + head.numel() * (2.0 + 2.0 * back + 2.0 * head.requires_grad)


def hidden_weights(model: LanguageModel) -> int:
    """Numbers in the blocks' matrices. By name, as optimizers tell them: only such parameters are called `weight`."""
    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    return sum(
        p.numel()
        for name, p in model.named_parameters()
        if name.startswith("blocks.") and name.endswith("weight") and p.ndim >= 2 and id(p) not in tables
    )


def idle_parameters(model: LanguageModel) -> int:
    """Parameters that a token does not meet: those of the experts it is not sent to."""
    return sum(_idle(block.ffn) for block in model.blocks)


def _idle(ffn: nn.Module | Tensor | None) -> int:
    active = getattr(ffn, "active_parameters", None)  # an FFN that uses all it has need not say so
    if not (callable(active) and isinstance(ffn, nn.Module)):
        return 0
    return sum(parameter.numel() for parameter in ffn.parameters()) - int(active())


def _blocks_flops(model: LanguageModel) -> tuple[float, bool]:
    """Of the blocks: their operations, and whether gradients go back through the last of them."""
    inner = ("blocks.", "norm.", "unembedding.")
    back = any(p.requires_grad for name, p in model.named_parameters() if not name.startswith(inner))
    blocks: Iterable[Any] = model.blocks
    matrices = list(_matrices(model))
    total = 0.0
    for number, block in enumerate(blocks):
        back = back or any(p.requires_grad for p in block.parameters())
        met = sum(size for where, size, _ in matrices if where == number) - _idle(block.ffn)
        learning = sum(size for where, size, learns in matrices if where == number and learns)
        if block.ffn is not None and any(p.requires_grad for p in block.ffn.parameters()):
            learning -= _idle(block.ffn)
        total += 2.0 * met * (1 + back) + 2.0 * learning + _mixing(block, model.context_length) * (1.0 + 2.0 * back)
    return total, back


def _mixing(block: nn.Module, context_length: int) -> float:
    """Operations a token beside the matrices, as the block says, or its mixer: a block from elsewhere need not know."""
    for part in (block, getattr(block, "mixer", None)):
        own = getattr(part, "mixing_flops", None)
        if callable(own):
            return float(own(context_length))
    return 0.0


def _matrices(model: LanguageModel) -> Iterator[tuple[int, int, bool]]:
    """Of each matrix in the blocks: the number of its block, its size, and whether it learns.

    With those that adapters bring (`own`), and those that are no parameter because they are quantized.
    """
    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    parts = {name: part for name, part in model.named_modules() if name.startswith("blocks.")}
    for name, p in model.named_parameters():
        place, _, last = name.rpartition(".")
        known = last.endswith("weight") or last in getattr(parts.get(place), "own", ())
        if name.startswith("blocks.") and known and p.ndim >= 2 and id(p) not in tables:
            yield int(name.split(".")[1]), p.numel(), p.requires_grad
    for name, part in parts.items():
        size: Any = getattr(part, "out_features", None)
        if size is not None and "weight" not in part._parameters:
            yield int(name.split(".")[1]), size * part.in_features, False


def _activations_of_many(model: LanguageModel, rows: int, precision: torch.dtype) -> int:
    """Few rows are counted; of more, each is as large as the last of the few: the loss goes through them in slices."""
    if rows <= COUNTED_ROWS:
        return _activation_bytes(model, rows, precision)
    last, all_but_last = (_activation_bytes(model, few, precision) for few in (COUNTED_ROWS, COUNTED_ROWS - 1))
    return last + (rows - COUNTED_ROWS) * (last - all_but_last)


def _activation_bytes(model: LanguageModel, rows: int, precision: torch.dtype) -> int:
    """What one forward pass keeps for the backward pass, the weights aside."""
    weights = {p.untyped_storage()._cdata for p in model.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage.nbytes()
        return tensor

    ids = torch.zeros(rows, model.context_length, dtype=torch.long)
    place = Place.of(ids)
    model.train()
    with (
        torch.autocast("cpu", precision, enabled=precision != torch.float32),
        torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
    ):
        x, _, extra_loss = model.trunk(model.embed(ids, place), place)
        loss, _ = linear_cross_entropy(model.final(x), model.head_weight, ids, model.softcap)
        total = loss + extra_loss  # held until the sum below, so that nothing noted is freed and noted twice
    assert total.requires_grad
    return sum(size for storage, size in kept.items() if storage not in weights)

"""A model's step as a list of instructions on strips of numbers: plain parts only, in the order of their work."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from firsthand.generate.native.codes import Codes
from firsthand.generate.native.library import Instruction, Unavailable
from firsthand.generate.products import CodesEmbedding, CodesProduct, JoinedCodes, Product
from firsthand.model.block import Block
from firsthand.model.embedding import Embedding
from firsthand.model.ffns.activations import ACTIVATIONS
from firsthand.model.ffns.gated import Gated
from firsthand.model.ffns.mlp import MLP
from firsthand.model.language_model import LanguageModel
from firsthand.model.mixers.attention import CausalSelfAttention
from firsthand.model.mixers.heads import UnitNorm
from firsthand.model.norms import LayerNorm, RMSNorm
from firsthand.model.positions.learned import LearnedPosition
from firsthand.model.positions.none import NoPosition
from firsthand.model.positions.rope import Rope
from firsthand.model.residuals import Residual, Scaled, Shortcut
from firsthand.model.value_embedding import PlainValues

KINDS = ("embed", "place", "rms_norm", "layer_norm", "product", "rotate", "attend", "activate", "mix", "cap")
BENDS = ("identity", "gelu", "gelu_tanh", "relu", "relu2", "silu")
"""Both in the order of step.c."""


@dataclass
class Program:
    """Instructions for one token of every row, and where in a row's strip they leave the logits.

    `maps[i]`: the packed module that does the work of instruction i and of those after it that have None, where there
    are many rows. `kept`: tensors whose numbers the instructions point to.
    """

    instructions: list[Instruction] = field(default_factory=list)
    maps: dict[int, tuple[Any, int]] = field(default_factory=dict)
    kept: list[Tensor] = field(default_factory=list)
    strip: int = 0
    places: dict[tuple[str, int], int] = field(default_factory=dict)
    logits: int = 0
    vocab_size: int = 0
    groups: int = 1

    def room(self, name: str, numbers: int) -> int:
        """Where in the strip the place of this name and size begins: at a line of the cache, the same in all layers."""
        if (name, numbers) not in self.places:
            self.places[name, numbers] = self.strip
            self.strip += -(-numbers // 16) * 16
        return self.places[name, numbers]

    def add(self, kind: str, *, weight: Tensor | None = None, bias: Tensor | None = None, **fields: Any) -> None:
        """One more instruction; a weight in fp32 or bf16, a bias in any precision."""
        half = weight is not None and weight.dtype == torch.bfloat16
        pointers = [
            None if each is None else self._keep(each) for each in (weight, None if bias is None else bias.float())
        ]
        self.instructions.append(
            Instruction(kind=KINDS.index(kind), format=half, weight=pointers[0], bias=pointers[1], **fields)
        )

    def add_codes(self, kind: str, codes: Codes, bias: Tensor | None = None, **fields: Any) -> None:
        """One more instruction with a weight in few bits."""
        exact = None if bias is None else bias.detach().float()
        self.kept += [
            each for each in (codes.packed, codes.scales, codes.zeros, codes.levels, exact) if each is not None
        ]
        self.instructions.append(codes.instruction(KINDS.index(kind), exact, **fields))

    def _keep(self, numbers: Tensor) -> int:
        self.kept.append(numbers.detach().contiguous())
        return self.kept[-1].data_ptr()


def program_of(model: LanguageModel) -> Program:
    """The step of a packed model. Unavailable names the first part that is none of the plain ones."""
    program, d_model = Program(vocab_size=model.vocab_size), model.embedding.d_model
    x, first, normed = (program.room(name, d_model) for name in ("stream", "first", "normed"))
    _only(model, LanguageModel)
    table: Any = model.embedding
    _only(table, Embedding, CodesEmbedding)
    if isinstance(table, CodesEmbedding):
        program.add_codes("embed", table.codes, y=x, n=d_model)
    else:
        program.add("embed", weight=table.weight, y=x, n=d_model)
    _only(model.position, Rope, LearnedPosition, NoPosition)
    if isinstance(model.position, LearnedPosition):
        program.add("place", weight=model.position.table.float(), y=x, n=d_model)
    shortcuts = any(type(residual) is Shortcut for residual in model.residuals)
    if shortcuts:
        program.add("mix", x=x, y=first, n=d_model, a=0.0, b=1.0)
    for number, (block, residual) in enumerate(zip(model.blocks, model.residuals, strict=True)):
        _only(block, Block)
        _only(residual, Residual, Scaled, Shortcut)
        if isinstance(residual, Shortcut):
            program.add("mix", x=first, y=x, n=d_model, a=float(residual.kept), b=float(residual.added))
        _normalize(program, block.mixer_norm, x, normed, d_model)
        _attend(program, block.mixer, number, normed, x, _share(residual))
        if block.ffn is not None:
            _normalize(program, block.ffn_norm, x, normed, d_model)
            _think(program, block.ffn, normed, x, _share(residual))
    _normalize(program, model.norm, x, normed, d_model)
    if model.logits_scale != 1.0:
        program.add("mix", x=normed, y=normed, n=d_model, a=float(model.logits_scale))
    program.logits = program.room("logits", model.vocab_size)
    _multiply(program, model.unembedding, [model.unembedding], normed, program.logits)
    if model.softcap is not None:
        program.add("cap", y=program.logits, n=model.vocab_size, a=float(model.softcap))
    return program


def _attend(program: Program, mixer: Any, layer: int, x: int, y: int, share: float) -> None:
    _only(mixer, CausalSelfAttention)
    _only(mixer.position, Rope, LearnedPosition, NoPosition)
    _only(mixer.value_embedding, PlainValues)
    if mixer.lookup.softcap is not None or mixer.lookup.sinks is not None or mixer.reach["window"] is not None:
        raise Unavailable("attention with a window, a softcap or sinks has no instruction")
    if mixer.cache_bits is not None:
        raise Unavailable("a cache in few bits has no instruction")
    heads, kv_heads, n = mixer.n_heads, mixer.n_kv_heads, mixer.d_head
    program.groups = max(program.groups, kv_heads)
    found, looked_up = program.room("found", (heads + 2 * kv_heads) * n), program.room("looked up", heads * n)
    _multiply(program, mixer._modules.get("joined"), [mixer.query, mixer.key, mixer.value], x, found)
    for norm, start, count in ((mixer.query_norm, found, heads), (mixer.key_norm, found + heads * n, kv_heads)):
        _only(norm, UnitNorm, nn.Identity)
        if isinstance(norm, UnitNorm):
            gain = None if norm.gain is None else norm.gain.float()
            program.add("rms_norm", weight=gain, x=start, y=start, n=n, groups=count, a=norm.eps)
    if isinstance(mixer.position, Rope):
        turns, flag = mixer.position.turns.float(), mixer.position.layout == "half"
        program.add("rotate", weight=turns, x=found, n=n, groups=heads + kv_heads, flag=flag)
    scale = n**-0.5 if mixer.lookup.scale is None else float(mixer.lookup.scale)
    program.add("attend", layer=layer, x=found, y=looked_up, n=n, m=heads // kv_heads, groups=kv_heads, a=scale)
    _multiply(program, mixer.out, [mixer.out], looked_up, y, share)


def _think(program: Program, ffn: Any, x: int, y: int, share: float) -> None:
    _only(ffn, MLP, Gated)
    names = {part: name for name, part in ACTIVATIONS.items()}
    bend = BENDS.index(names[ffn.activation])
    n = ffn.up.out_features
    wide = program.room("wide", 2 * n)
    if isinstance(ffn, Gated):
        _multiply(program, ffn._modules.get("joined"), [ffn.gate, ffn.up], x, wide)
    else:
        _multiply(program, ffn.up, [ffn.up], x, wide)
    program.add("activate", x=wide, y=wide, z=wide + n if isinstance(ffn, Gated) else -1, n=n, flag=bend)
    _multiply(program, ffn.down, [ffn.down], wide, y, share)


def _multiply(program: Program, module: Any, maps: list[Any], x: int, y: int, share: float | None = None) -> None:
    """Products of one input, their outputs side by side from `y`; with a share they are added to what stands there."""
    pieces = [module] if isinstance(module, JoinedCodes) else maps
    program.maps[len(program.instructions)] = (module, len(pieces))
    for each in pieces:
        _only(each, nn.Linear, Product, CodesProduct, JoinedCodes)
        fields: dict[str, Any] = {"x": x, "y": y, "flag": share is not None, "a": share or 0.0}
        if isinstance(each, CodesProduct | JoinedCodes):
            n = each.codes.shape[0]
            program.add_codes("product", each.codes, each.bias, n=n, **fields)
        else:
            n = each.out_features
            if each.in_features % 2:
                raise Unavailable("a map of an odd number of channels has no instruction")
            program.add("product", weight=each.weight, bias=each.bias, n=n, m=each.in_features, **fields)
        y += n


def _normalize(program: Program, norm: Any, x: int, y: int, n: int) -> None:
    _only(norm, RMSNorm, LayerNorm)
    kind, bias = ("rms_norm", None) if isinstance(norm, RMSNorm) else ("layer_norm", norm.bias)
    program.add(kind, weight=norm.gain.float(), bias=bias, x=x, y=y, n=n, groups=1, a=norm.eps)


def _share(residual: Any) -> float:
    """How much of what a part says is added to the stream."""
    if not isinstance(residual, Scaled):
        return 1.0
    share: float = residual.constant * (1.0 if residual.scale is None else float(residual.scale))
    return share


def _only(part: Any, *known: type) -> None:
    """A subclass may compute something else."""
    if type(part) not in known:
        raise Unavailable(f"{type(part).__name__} has no instruction")

"""What every position scheme promises: the table of checks."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from firsthand.contracts import flow, memory, module
from firsthand.contracts.difference import same_shape
from firsthand.contracts.finding import Broken
from firsthand.contracts.interface import WIRING, has_methods
from firsthand.contracts.part import Check, Part, heads_of
from firsthand.errors import UserError

TIME = 9


def interface(part: Part) -> None:
    """It can be built, and has the methods of a position scheme."""
    position: Any = part.make()
    has_methods(position, {"embed": "x, index", "rotate": "heads, index", "bias": "query_index, key_index"})
    if not hasattr(position, "context_length"):
        raise Broken(
            "It has no attribute context_length.",
            "The model asks it how many places the scheme knows.",
            "Write class MyPosition(firsthand.model.Position), which has it (None: no end) and does nothing where you "
            "override nothing.",
        )


@torch.no_grad()
def shapes(part: Part) -> None:
    """Stream and heads keep shape and dtype; a bias fits the attention scores."""
    position: Any = part.make(dtype=torch.float32)
    index = torch.arange(TIME).unsqueeze(0)
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        text = part.text(2, TIME, dtype)
        heads = heads_of(text, part.sizes)
        same_shape("embed(x, index)", position.embed(text.x, index), text.x.shape)
        turned = position.rotate(heads, index)
        same_shape("rotate(heads, index)", turned, heads.shape, ("batch", "heads", "time", "d_head"))
        if turned.dtype != dtype:
            found, wanted = (str(kind).removeprefix("torch.") for kind in (turned.dtype, dtype))
            raise Broken(f"rotate returned {found} for heads in {wanted}.", WIRING, "Return ….to(heads.dtype).")
    bias = position.bias(index[:, 4:], index)
    if bias is not None:
        _fits(bias, (2, part.sizes["n_heads"], TIME - 4, TIME))


def _fits(bias: Tensor, scores: tuple[int, ...]) -> None:
    fits = bias.ndim == 4 and all(axis in (1, whole) for axis, whole in zip(bias.shape, scores, strict=True))
    if not fits or bias.shape[2:] != scores[2:]:
        raise Broken(
            f"bias(query_index, key_index) is {tuple(bias.shape)} for scores of (batch, heads, query, key) = {scores}.",
            "It is added to them.",
            "Return (rows, heads, query, key); rows and heads may be 1.",
        )


@torch.no_grad()
def index(part: Part) -> None:
    """Only a token's index counts: not its column, not its row, not who stands beside it."""
    position: Any = part.make()
    text = part.text(2, TIME)
    heads = heads_of(text, part.sizes)
    here = torch.stack((torch.arange(TIME), torch.arange(20, 20 + TIME)))
    for name, ask, x in (("embed", position.embed, text.x), ("rotate", position.rotate, heads)):
        together = ask(x, here)
        for row in (0, 1):
            alone = ask(x[row : row + 1], here[row : row + 1])
            _equal(alone, together[row : row + 1], f"{name} treats row {row} otherwise when it is alone")
            late = ask(x[row : row + 1, ..., 4:5, :], here[row : row + 1, 4:5])
            _equal(late, alone[..., 4:5, :], f"{name} treats token 4 otherwise when it is alone")
        one = ask(x, here[:1])
        _equal(one, ask(x, here[:1].expand(2, -1)), f"{name} treats one index for all rows and the same for each apart")
    bias = position.bias(here, here)
    if bias is not None:
        _equal(position.bias(here[:, 4:5], here), bias[:, :, 4:5], "bias treats a query otherwise when it is alone")


def _equal(found: Tensor, expected: Tensor, what: str) -> None:
    if found.shape != expected.shape or not bool((found - expected).abs().amax() <= flow.UNMOVED):
        raise Broken(
            f"{what[0].upper()}{what[1:]}.",
            "Rows begin at different places when prompts are padded, and each step of generation is one late column.",
            "Go by index alone: table[index], angles = index * speed. Never by the column (torch.arange(time)).",
        )


@torch.no_grad()
def heads(part: Part) -> None:
    """It turns any number of heads, each like the others."""
    position: Any = part.make()
    x = part.text(2, TIME).x.repeat(1, 1, 5)[..., : 5 * part.sizes["d_head"]]
    five = x.view(2, TIME, 5, -1).transpose(1, 2)
    here = torch.arange(TIME).unsqueeze(0)
    if not torch.equal(position.rotate(five, here)[:, 2:3], position.rotate(five[:, 2:3], here)):
        raise Broken(
            "A head is turned otherwise among five than alone.",
            "Queries and keys have different numbers of heads and meet in one product.",
            "Let rotate treat all heads alike.",
        )


@torch.no_grad()
def places(part: Part) -> None:
    """It tells places apart, unless it says `blind = True`; then it does nothing at all."""
    position: Any = part.make()
    text = part.text(1, 1)
    x = torch.cat([text.x] * TIME, dim=1)  # the same token everywhere
    many = type(text)(x, part.text(1, TIME).place)
    said = part.ask(position, many)
    differ = bool((said[:, :1] - said).abs().amax() > 1e-6)
    if getattr(position, "blind", False):
        if differ:
            raise Broken(
                "It says blind = True, and tells places apart.",
                "What a part says about itself is relied on.",
                "Leave the attribute out.",
            )
    elif not differ:
        raise Broken(
            "The same token got the same at every place: embed, rotate and bias all ignore the index.",
            "Tokens would not know their order. A method with a slip in its name is never called.",
            "Override at least one of embed, rotate, bias; or say blind = True, if that is the idea.",
        )


@torch.no_grad()
def end(part: Part) -> None:
    """Beyond its context_length a scheme refuses, in words; without one it has no end."""
    position: Any = part.make()
    length = position.context_length
    last = 10**6 if length is None else length - 1
    _at(part, position, last)
    if length is None:
        return
    try:
        _at(part, position, length)
    except UserError as error:
        if str(length) in str(error):
            return
        raise Broken(
            f"At position {length} it said: {error}",
            "The message should say how long the context is.",
            f"Name the number {length} in it.",
        ) from error
    except IndexError:
        pass
    raise Broken(
        f"It knows {length} places, and position {length} was not refused with a UserError.",
        "A wrong row of a table, silently, is worse than an error.",
        "rows(table, index) in firsthand.model.positions.tables looks up and refuses.",
    )


def _at(part: Part, position: Any, index: int) -> None:
    text, here = part.text(1, 1), torch.tensor([[index]])
    position.embed(text.x, here)
    position.rotate(heads_of(text, part.sizes), here)
    position.bias(here, here)


def attention(part: Part) -> None:
    """Attention with it is causal, keeps documents apart, ignores padding, and decodes as it trains."""
    mixer = Part("mixer", "attention", schemes=(part.spec,))
    for check in (flow.causality, flow.prefix, flow.documents, flow.padding, memory.decoding):
        check(mixer)


CHECKS: Mapping[str, Check] = {
    "interface": interface,
    "shapes": shapes,
    "index": index,
    "heads": heads,
    "places": places,
    "end": end,
    "attention": attention,
    **module.CHECKS,
}

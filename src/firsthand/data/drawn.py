"""Rows drawn by a function, in place of epochs: from anywhere in the text, as often as chance has it."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from firsthand.config import DataNode
from firsthand.data.loader import index_of, rows_of
from firsthand.data.packing import get_batch
from firsthand.data.permutation import keys
from firsthand.data.shards import Tokens
from firsthand.errors import UserError
from firsthand.parts import find
from firsthand.types import Batch, Place

Draw: TypeAlias = Callable[[Tensor, int, int, torch.Generator], tuple[Tensor, Tensor]]
"""get_batch(ids, batch_size, context_length, generator) -> inputs and targets, each (batch_size, context_length)."""

BATCHES: dict[str, Draw] = {"drawn": get_batch}


class DrawnLoader:
    """Batches from `draw`, called `name`, over all ids at once, which are held in memory: 8 bytes a token.

    Step k's generator depends on (seed, k) alone, so nothing has to be saved, and every rank draws the whole batch and
    takes its own rows. What is drawn counts as an epoch when it has had as many targets as the corpus.
    """

    def __init__(
        self,
        draw: Draw,
        tokens: Tokens,
        context_length: int,
        batch_tokens: int,
        seed: int = 0,
        microbatches: int = 1,
        rank: int = 0,
        world: int = 1,
        device: str | torch.device = "cpu",
        name: str = "drawn",
    ) -> None:
        self.rows = rows_of(context_length, batch_tokens, microbatches, world)
        self.rows_per_epoch = -(-(len(tokens) - 1) // context_length)
        self.context_length, self.microbatches = context_length, microbatches // world
        self._draw, self._seed, self._rank, self._world, self._name = draw, seed, rank, world, name
        self._ids = torch.from_numpy(tokens.slice(0, len(tokens)).astype(np.int64))
        self._device = torch.device(device)
        self._index = index_of(context_length, self._device)

    def batch(self, step: int) -> list[Batch]:
        """This rank's microbatches of step `step` (0, 1, ...). UserError if what was drawn is no batch."""
        generator = torch.Generator().manual_seed(int(keys("drawn", self._seed, step, count=1)[0] >> np.uint64(1)))
        found = self._draw(self._ids, self.rows, self.context_length, generator)
        shape, shapes = (self.rows, self.context_length), [_shape(part) for part in _parts(found)]
        if shapes != [f"int64 {shape}"] * 2:
            raise UserError(
                f"data.batches={self._name} gave {' and '.join(shapes)}. It is to give inputs and targets, each int64 "
                f"of shape {shape}: rows of model.context_length token ids."
            )
        x, y = (part.chunk(self._world)[self._rank].to(self._device).chunk(self.microbatches) for part in found)
        return [Batch(inputs, targets, Place(self._index, None, inputs)) for inputs, targets in zip(x, y, strict=True)]


def draw_of(node: DataNode) -> Draw | None:
    """What `node.batches` names; None for epochs. UserError for data that are no text, or options of rows in order."""
    if node.batches == "epochs":
        return None
    draw = find("data.batches", BATCHES | {"epochs": None}, node.batches)
    if node.kind != "text":
        raise UserError(f"data.batches={node.batches} draws rows of a text; data.kind={node.kind} has rows of its own.")
    if node.stride or node.mask_documents:
        name = "stride" if node.stride else "mask_documents"
        raise UserError(f"data.{name} is for rows in order: set data.batches=epochs, or leave data.{name} out.")
    return draw


def _parts(found: object) -> tuple[object, ...]:
    return found if isinstance(found, tuple) else (found,)


def _shape(part: object) -> str:
    if not isinstance(part, Tensor):
        return f"a {type(part).__name__}"
    return f"{str(part.dtype).removeprefix('torch.')} {tuple(part.shape)}"

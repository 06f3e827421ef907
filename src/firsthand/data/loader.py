"""From tokens to batches. Batch k is a pure function of (tokens, seed, k): nothing to save, nothing to fast-forward."""

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from firsthand.data.packing import windows
from firsthand.data.permutation import ROUNDS, keys, permute
from firsthand.data.shards import Tokens
from firsthand.errors import UserError
from firsthand.types import IGNORE, Batch, Place


class Loader:
    """Batches of windows over a corpus, in a fresh random order each epoch.

    The corpus is a ring of len(tokens) - 1 targets. Epoch e cuts it into windows of `context_length` targets,
    beginning at an offset that depends on (seed, e), and visits them in a permutation that does too. The last window
    is filled up with IGNORE targets, so every token is a target exactly once an epoch. With a `stride`, windows
    start every `stride` tokens instead: they overlap if it is smaller than context_length, and leave out tokens
    (other ones each epoch) if it is larger.

    `batch_tokens`: tokens of one optimizer step over all ranks. `microbatches`: into how many equal parts that batch
    is cut, over all ranks; rank r of `world` gets the r-th contiguous block of them. The batch is the same for any
    number of ranks. `mask_documents`: say in `place.document` which document each token is of.
    Raises UserError if the corpus is too short for one window or the batch cannot be cut as asked.
    """

    def __init__(
        self,
        tokens: Tokens,
        context_length: int,
        batch_tokens: int,
        seed: int = 0,
        stride: int | None = None,
        microbatches: int = 1,
        rank: int = 0,
        world: int = 1,
        mask_documents: bool = False,
        device: str | torch.device = "cpu",
    ) -> None:
        assert 0 <= rank < world, f"rank {rank} of {world}"
        _long_enough(tokens, context_length)
        self.rows = rows_of(context_length, batch_tokens, microbatches, world)
        self.context_length = context_length
        self.microbatches = microbatches // world
        self.device = torch.device(device)
        self._tokens, self._seed, self._rank = tokens, seed, rank
        self._rows_here = self.rows // world
        self._targets = len(tokens) - 1
        self._stride = stride or context_length
        # overlapping windows run on around the ring until the first tokens have had as many windows as the others
        self._limit = self._targets + max(0, context_length - self._stride)
        self.windows_per_epoch = -(-self._targets // self._stride)
        self._mask_documents = mask_documents
        self._span = np.arange(context_length)
        self._index = index_of(context_length, self.device)

    @property
    def rows_per_epoch(self) -> int:
        return self.windows_per_epoch

    @property
    def steps_per_epoch(self) -> int:
        """Steps after which every window was used at least once."""
        return -(-self.windows_per_epoch // self.rows)

    def batch(self, step: int) -> list[Batch]:
        """This rank's microbatches of step `step` (0, 1, ...): int64, each (rows of a microbatch, context_length)."""
        start, used = self._rows_from(step * self.rows + self._rank * self._rows_here)
        position = start[:, None] + self._span
        around = position >= self._targets
        np.subtract(position, self._targets, out=position, where=around)
        inputs = self._tokens.gather(position).astype(np.int64)
        targets = self._tokens.gather(position + 1).astype(np.int64)
        padding = None
        if (used < self.context_length).any():
            padding = self._span >= used[:, None]
            targets[padding] = IGNORE
        documents: list[Tensor] | list[None] = [None] * self.microbatches
        if self._mask_documents:
            # past the ring's end stands another text, even if the corpus is a single document
            document = document_ids(self._tokens, position) + around * (len(self._tokens.document_starts) + 1)
            if padding is not None:
                document[padding] = -1
            documents = self._cut(document)
        parts = zip(self._cut(inputs), self._cut(targets), documents, self._cut(position), strict=True)
        return [Batch(x, y, Place(self._index, document, x), where) for x, y, document, where in parts]

    def _rows_from(self, first: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For this rank's rows from the `first`-th row of the run on: where each starts, and its number of targets."""
        start, used = [], []
        last = first + self._rows_here
        while first < last:
            epoch, window = divmod(first, self.windows_per_epoch)
            count = min(last - first, self.windows_per_epoch - window)
            key, shift = _epoch(self._seed, epoch)
            chosen = permute(np.arange(window, window + count), self.windows_per_epoch, key) * self._stride
            start.append((chosen + shift % self._targets) % self._targets)
            used.append(self._limit - chosen)
            first += count
        return np.concatenate(start), np.concatenate(used)

    def _cut(self, array: NDArray[np.int64]) -> list[Tensor]:
        return list(torch.from_numpy(array).to(self.device).chunk(self.microbatches))


def evaluation(
    tokens: Tokens,
    context_length: int,
    batch_rows: int,
    mask_documents: bool = False,
    device: str | torch.device = "cpu",
) -> Iterator[Batch]:
    """The whole text in order, in windows that do not overlap: every token but the first is a target exactly once.

    All batches have one shape of at most `batch_rows` rows; what is left over at the end has IGNORE targets.
    Raises UserError if there is no target at all.
    """
    targets = len(tokens) - 1
    if targets < 1:
        raise UserError(
            f"The validation text is {len(tokens)} token(s) long, which leaves nothing to predict. Hold out more of "
            "the data, for example data.validation=tail:0.1."
        )
    count = -(-targets // context_length)
    batches = -(-count // batch_rows)
    rows = -(-count // batches)
    index = index_of(context_length, torch.device(device))
    for first in range(0, count, rows):
        start = first * context_length
        stop = min(start + rows * context_length, targets)
        x, y = windows(torch.from_numpy(tokens.slice(start, stop + 1).astype(np.int64)), context_length)
        empty = (0, 0, 0, rows - len(x))
        x, y = torch.nn.functional.pad(x, empty), torch.nn.functional.pad(y, empty, value=IGNORE)
        document = None
        if mask_documents:
            position = np.minimum(np.arange(start, start + x.numel()), targets - 1)
            document = torch.from_numpy(document_ids(tokens, position)).view_as(x)
            document = torch.where(y == IGNORE, -1, document).to(device)
        x = x.to(device)
        yield Batch(x, y.to(device), Place(index, document, x))


def document_ids(tokens: Tokens, position: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """The document each input token is of.

    An end-of-text mark counts to the document after it: as a target it ends one text, as an input it opens the next.
    """
    return tokens.documents_at(position if tokens.end_of_text is None else position + 1)


@functools.lru_cache(maxsize=8)
def _epoch(seed: int, epoch: int) -> tuple[NDArray[np.uint64], int]:
    *key, shift = keys("order", seed, epoch, count=ROUNDS + 1)
    return np.array(key, dtype=np.uint64), int(shift)


def index_of(context_length: int, device: torch.device) -> Tensor:
    """The index of each token in its row, for `place`: (1, context_length)."""
    return torch.arange(context_length, device=device).unsqueeze(0)


def _long_enough(tokens: Tokens, context_length: int) -> None:
    missing = context_length + 1 - len(tokens)
    if missing > 0:
        raise UserError(
            f"The corpus is {len(tokens):,} tokens long, {missing:,} too short for one window of model.context_length="
            f"{context_length:,} (which needs one token more than that). Give more text (data.source), or set "
            f"model.context_length to at most {max(1, len(tokens) - 1):,}."
        )


def rows_of(context_length: int, batch_tokens: int, microbatches: int, world: int) -> int:
    """Rows of the global batch."""
    if microbatches % world:
        near = _nearest(microbatches, world)
        raise UserError(
            f"train.microbatches={microbatches} cannot be shared equally by {world} ranks. Nearest valid: {near}."
        )
    unit = context_length * microbatches
    if batch_tokens % unit:
        raise UserError(
            f"data.batch_tokens={batch_tokens} is not made of {microbatches} equal microbatch(es) of whole rows of "
            f"{context_length} tokens (model.context_length). Nearest valid: {_nearest(batch_tokens, unit)}."
        )
    return batch_tokens // context_length


def _nearest(value: int, unit: int) -> str:
    """The multiples of `unit` on both sides of `value`."""
    below = value // unit * unit
    return f"{below} or {below + unit}" if below else str(unit)

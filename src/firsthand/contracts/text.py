"""What checks feed to parts: random vectors for a text, and where each token stands."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from firsthand.types import Place

VOCABULARY = 50


@dataclass(frozen=True)
class Text:
    """`x` (batch, time, d_model) and its `place`."""

    x: Tensor
    place: Place

    @staticmethod
    def random(batch: int, time: int, d_model: int, dtype: torch.dtype = torch.float64, seed: int = 1) -> "Text":
        """Rows of one document each; of two texts with one seed, the shorter is not the beginning of the longer."""
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(batch, time, d_model, generator=generator, dtype=torch.float64).to(dtype)
        ids = torch.randint(VOCABULARY, (batch, time), generator=generator)
        return Text(x, Place(torch.arange(time).unsqueeze(0), None, ids))

    @property
    def time(self) -> int:
        return self.x.shape[1]

    def to(self, dtype: torch.dtype) -> "Text":
        return replace(self, x=self.x.to(dtype))

    def cut(self, start: int, stop: int) -> "Text":
        """Tokens `start` to `stop`; they stand where they stood."""
        here = slice(start, stop)
        place = self.place
        document = None if place.document is None else place.document[:, here]
        ids = None if place.ids is None else place.ids[:, here]
        return Text(self.x[:, here], Place(place.index[:, here], document, ids))

    def pieces(self, lengths: list[int]) -> list["Text"]:
        """One after another, each so long."""
        ends = torch.tensor(lengths).cumsum(0).tolist()
        return [self.cut(end - length, end) for length, end in zip(lengths, ends, strict=True)]

    def row(self, row: int) -> "Text":
        here, place = slice(row, row + 1), self.place
        index = place.index if len(place.index) == 1 else place.index[here]
        document = None if place.document is None else place.document[here]
        return Text(self.x[here], Place(index, document, None if place.ids is None else place.ids[here]))

    def alone(self) -> "Text":
        """The same tokens as the beginning of a text that knows of no documents."""
        return replace(self, place=Place(torch.arange(self.time).unsqueeze(0), None, self.place.ids))

    def changed(self, start: int, stop: int) -> "Text":
        """Other tokens from `start` to `stop`, the same ones elsewhere."""
        x, ids = self.x.clone(), self.place.ids
        x[:, start:stop] += 1.0
        if ids is not None:
            ids = ids.clone()
            ids[:, start:stop] = (ids[:, start:stop] + 1) % VOCABULARY
        return Text(x, replace(self.place, ids=ids))

    def packed(self, lengths: list[int]) -> "Text":
        """Every row is documents of these lengths, whose positions start anew."""
        index = torch.cat([torch.arange(length) for length in lengths])
        document = torch.cat([torch.full((length,), 7 * number) for number, length in enumerate(lengths)])
        rows = (len(self.x), -1)
        return replace(self, place=Place(index.expand(rows), document.expand(rows), self.place.ids))

    def padded(self, padding: list[int]) -> "Text":
        """Row i begins with padding[i] columns that are no tokens."""
        columns = torch.arange(self.time)
        before = torch.tensor(padding).unsqueeze(1)
        document = torch.where(columns < before, -1, 0)
        return replace(self, place=Place((columns - before).clamp(min=0), document, self.place.ids))

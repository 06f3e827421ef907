"""Tokens after tokens: read the prompts once, then feed back one token a step and remember the rest.

`reference.py` is the same without the memory.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Unpack

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from firsthand.errors import UserError
from firsthand.generate.memory import Memory
from firsthand.generate.native.rows import Rows
from firsthand.generate.sampling import Drawing, check, keyed_uniform, sample
from firsthand.model.language_model import LanguageModel
from firsthand.types import Place, State

NOISE_BLOCK = 256
"""Steps whose random numbers are made at once."""


def generate(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    max_tokens: int,
    *,
    seed: int = 0,
    stop_ids: Collection[int] = (),
    sequences: Sequence[int] | None = None,
    memory: Memory | None = None,
    vocab_size: int | None = None,
    **sampling: Unpack[Drawing],
) -> "Generation":
    """Continue every prompt by up to `max_tokens` tokens, all at once, token by token.

    Iterating gives, for each step, a list with one new id per prompt, or None for prompts that have ended. A row
    ends with an id of `stop_ids` (which is given back), at `max_tokens`, or when the caller says `stop(row)`.

    A row comes out as it would alone (up to rounding in near-ties): shorter prompts are padded on the left where
    nobody looks, and the random number behind a token depends on `seed`, the row's entry in `sequences` and the
    token's position. By default a sequence is a hash of the prompt and of how many before it are the same, so that
    neighbours change nothing and copies of a prompt differ.

    A prompt longer than the context keeps its last part (`dropped`). A text that outgrows the context goes on from
    its last half (`slid`): the model reads that half anew, from position 0, and forgets what came before.

    With a `vocab_size`, only ids below it are drawn: the rows of a model's head from there on, which only pad it, have
    no token.

    With a `memory`, of one prompt, tokens at its beginning that the call before has read are not computed again.

    Raises UserError for a setting out of its range, a prompt without tokens, an id outside the vocabulary, and a
    model whose scores are not numbers.
    """
    return Generation(model, prompts, max_tokens, seed, stop_ids, sequences, sampling, memory, vocab_size)


class Generation(Iterator[list[int | None]]):
    """What `generate` returns: an iterator over steps that knows how its rows stand.

    `ids[row]`: the prompt and all that was drawn. `finish[row]`: None while it goes on, then "length", "stop" or
    "end_of_text". `dropped[row]`: how many of the prompt's tokens did not fit. `slid[row]`: whether it outgrew
    the context.
    """

    def __init__(
        self,
        model: LanguageModel,
        prompts: Sequence[Sequence[int]],
        max_tokens: int,
        seed: int,
        stop_ids: Collection[int],
        sequences: Sequence[int] | None,
        sampling: Drawing,
        memory: Memory | None = None,
        vocab_size: int | None = None,
    ) -> None:
        settings: dict[str, Any] = {key: value for key, value in sampling.items() if key != "sampler"}
        check(max_tokens=max_tokens, **settings)
        for number, prompt in enumerate(prompts, 1):
            if not prompt:
                raise UserError(f"Prompt {number} has no tokens. Begin with the tokenizer's end_of_text instead.")
        if sequences is not None and len(sequences) != len(prompts):
            raise UserError(f"{len(sequences)} sequence numbers were given for {len(prompts)} prompts.")
        assert memory is None or (memory.model is model and len(prompts) == 1)
        self.ids = [list(prompt) for prompt in prompts]
        self.finish: list[str | None] = [None] * len(prompts)
        self.dropped = [max(0, len(prompt) - model.context_length) for prompt in prompts]
        self.slid = [False] * len(prompts)
        self._model = model
        self._device = next(model.parameters()).device
        # draws need float64, which mps lacks
        self._draw_device = torch.device("cpu") if self._device.type == "mps" else self._device
        self._max_tokens = max_tokens
        self._seed = seed
        self._stop_ids = frozenset(stop_ids)
        self._sequences = list(_sequences(prompts) if sequences is None else sequences)
        self._sampling, self._sampler = settings, sampling.get("sampler")
        self._penalized = settings.get("repetition_penalty", 1.0) != 1.0
        self._starts = list(self.dropped)  # where each row's window begins in its ids
        self._drawn = 0
        # made by _prefill, for the rows that are alive then
        self._rows: list[int] = []
        self._states: list[State] | None = None
        self._place: Place
        self._column = self._capacity = 0
        self._noise: Tensor | None = None
        self._noise_used = 0
        self._seen: Tensor | None = None
        self._last: list[int]
        self._written: Rows | None = None
        self._memory = memory
        self._vocab_size = model.vocab_size if vocab_size is None else vocab_size

    def stop(self, row: int) -> None:
        """The caller has seen enough of this row."""
        self.finish[row] = "stop"

    @torch.inference_mode()
    def __next__(self) -> list[int | None]:
        if all(self.finish):
            raise StopIteration
        with evaluating(self._model):
            # a full cache is also how everything begins
            logits = self._prefill() if self._column == self._capacity else self._step()
        ids = self._draw(logits[:, : self._vocab_size].to(self._draw_device))
        self._last = ids.tolist()
        return self._record(self._last)

    def _prefill(self) -> Float[Tensor, "batch vocab_size"]:
        """Read the windows of all living rows into fresh states; rows that outgrew the context slide first."""
        context = self._model.context_length
        self._rows = [row for row, finish in enumerate(self.finish) if finish is None]
        for row in self._rows:
            if len(self.ids[row]) - self._starts[row] > context:
                self._starts[row] = len(self.ids[row]) - max(1, context // 2)
                self.slid[row] = True
        windows = [self.ids[row][self._starts[row] :] for row in self._rows]
        width = max(len(window) for window in windows)
        self._capacity = min(context, width + self._max_tokens - self._drawn - 1)
        self._noise = None
        self._place = self._places([width - len(window) for window in windows])
        if self._memory is None:
            self._states, self._column = self._model.initial_states(len(windows), self._capacity), 0
        else:
            self._states, self._column = self._memory.recall(windows[0], self._capacity)
        if self._penalized:
            self._seen = torch.zeros((len(windows), self._model.vocab_size), dtype=torch.bool, device=self._draw_device)
            for seen, row in zip(self._seen, self._rows, strict=True):
                seen[self.ids[row]] = True
            self._seen = self._seen[:, : self._vocab_size]
        ids = torch.tensor([[0] * (width - len(window)) + window for window in windows], device=self._device)
        self._model.check(ids)
        logits = self._forward(ids[:, self._column :])
        if bool(logits.isnan().any()):
            raise UserError(
                "The model's scores are not numbers (NaN), so there is nothing to draw from. Its weights come from a "
                "training run that diverged: generate from an earlier checkpoint, or train with a lower learning rate."
            )
        program = getattr(self._model, "program", None)
        if program is not None:
            padding = [width - len(window) for window in windows]
            self._written = Rows(program, self._states, padding, width)
        return logits

    def _step(self) -> Float[Tensor, "batch vocab_size"]:
        """Logits after the tokens that were drawn last."""
        if self._written is not None:
            self._column += 1
            logits = self._written.step(self._last)
            if self._memory is not None:
                self._memory.hold(self._states or [], self._last, self._written)
            return logits
        return self._forward(torch.tensor(self._last, device=self._device).unsqueeze(1))

    def _places(self, padding: list[int]) -> Place:
        """Position and document of every column up to the capacity, for rows with so many columns of padding."""
        columns = torch.arange(self._capacity, device=self._device).unsqueeze(0)
        if not any(padding):
            return Place(columns)
        index = columns - torch.tensor(padding, device=self._device).unsqueeze(1)
        return Place(index.clamp(min=0), torch.where(index < 0, -1, 0))

    def _forward(self, ids: Int[Tensor, "batch time"]) -> Float[Tensor, "batch vocab_size"]:
        """Logits after the last of `ids`, which continue what the states have seen."""
        columns = slice(self._column, self._column + ids.shape[1])
        document = self._place.document
        place = Place(self._place.index[:, columns], None if document is None else document[:, columns], ids)
        x, self._states, _ = self._model.trunk(self._model.embed(ids, place), place, self._states)
        self._column = columns.stop
        if self._memory is not None:
            self._memory.hold(self._states or [], ids[0].tolist())
        return self._model.head(x[:, -1])

    def _draw(self, logits: Float[Tensor, "batch vocab_size"]) -> Int[Tensor, " batch"]:
        if self._sampler is not None:
            return self._sampler(logits, self._sampling)
        uniform = None
        if self._sampling.get("temperature", 1.0) != 0:
            if self._noise is None or self._noise_used == self._noise.shape[1]:
                sequences = [self._sequences[row] for row in self._rows]
                positions = [len(self.ids[row]) for row in self._rows]
                self._noise = keyed_uniform(self._seed, sequences, positions, NOISE_BLOCK).to(self._draw_device)
                self._noise_used = 0
            uniform = self._noise[:, self._noise_used]
            self._noise_used += 1
        ids = sample(logits, **self._sampling, seen=self._seen, uniform=uniform)
        if self._seen is not None:
            self._seen.scatter_(1, ids.unsqueeze(1), True)
        return ids

    def _record(self, ids: list[int]) -> list[int | None]:
        self._drawn += 1
        new: list[int | None] = [None] * len(self.ids)
        for row, id in zip(self._rows, ids, strict=True):
            if self.finish[row] is None:
                self.ids[row].append(id)
                new[row] = id
                if id in self._stop_ids:
                    self.finish[row] = "end_of_text"
                elif self._drawn == self._max_tokens:
                    self.finish[row] = "length"
        return new


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Without dropout; afterwards every module is as it was."""
    training = [module for module in model.modules() if module.training] if model.training else []
    if training:
        model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def sequence_of(prompt: Sequence[int], copy: int = 0) -> int:
    """A number of 64 bits for this copy of a prompt: different prompts must not share their random numbers, or their
    texts would resemble each other."""
    return int.from_bytes(hashlib.blake2b(str((copy, *prompt)).encode(), digest_size=8).digest())


def _sequences(prompts: Sequence[Sequence[int]]) -> Iterator[int]:
    """For each prompt its number; the copy counts how many before it are the same."""
    before: Counter[tuple[int, ...]] = Counter()
    for prompt in map(tuple, prompts):
        yield sequence_of(prompt, before[prompt])
        before[prompt] += 1

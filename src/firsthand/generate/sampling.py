"""From scores to the next token: filter, then draw.

Randomness is arithmetic, not state: the number that decides a token is a hash of (seed, sequence, position). So a
text can be drawn again on its own, in a batch, or from the middle, and comes out the same.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from firsthand.errors import UserError

Real: TypeAlias = int | float


class Sampling(TypedDict, total=False):
    """The settings of `sample` that a user chooses; each may be absent."""

    temperature: Real
    top_k: int | None
    top_p: Real | None
    min_p: Real | None
    repetition_penalty: Real


class Drawing(Sampling, total=False):
    """Beside them `sampler`: what draws in place of `sample`, from logits and the other settings (outside.py)."""

    sampler: Callable[[Tensor, dict[str, Any]], Tensor]


def sample(
    logits: Float[Tensor, "batch vocab_size"],
    temperature: Real = 1.0,
    top_k: int | None = None,
    top_p: Real | None = None,
    generator: torch.Generator | None = None,
    *,
    min_p: Real | None = None,
    repetition_penalty: Real = 1.0,
    seen: Bool[Tensor, "batch vocab_size"] | None = None,
    uniform: Float[Tensor, " batch"] | None = None,
) -> Int[Tensor, " batch"]:
    """Draw one token id for each row; temperature 0 takes the most probable.

    The settings act in the order of `distribution`. The draw inverts the cumulative distribution at `uniform`, one
    number in [0, 1) for each row (see `keyed_uniform`); without it they come from `generator`. `logits` are not
    changed. Raises UserError for a setting out of its range.
    """
    check(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, repetition_penalty=repetition_penalty)
    if seen is not None and repetition_penalty != 1.0:
        logits = penalize(logits, seen, repetition_penalty)
    if temperature == 0:
        return _largest(logits)
    probabilities, ids = _candidates(logits, temperature, top_k, top_p, min_p)
    cumulative = probabilities.cumsum(-1, dtype=torch.float64)
    if uniform is None:
        uniform = torch.rand(len(logits), generator=generator, device=logits.device, dtype=torch.float64)
    # the first candidate whose cumulative probability exceeds the number: one with probability zero never does
    drawn = torch.searchsorted(cumulative, uniform.to(cumulative).unsqueeze(-1) * cumulative[:, -1:], right=True)
    return (drawn if ids is None else ids.gather(-1, drawn)).squeeze(-1)


def _largest(logits: Float[Tensor, "batch vocab_size"]) -> Int[Tensor, " batch"]:
    """The first id of the largest score. NumPy finds it in a tenth of the time that torch takes on a CPU."""
    if logits.device.type == "cpu" and logits.dtype == torch.float32 and not logits.requires_grad:
        return torch.from_numpy(logits.numpy().argmax(-1))
    return logits.argmax(-1)


def distribution(
    logits: Float[Tensor, "batch vocab_size"],
    temperature: Real = 1.0,
    top_k: int | None = None,
    top_p: Real | None = None,
    *,
    min_p: Real | None = None,
    repetition_penalty: Real = 1.0,
    seen: Bool[Tensor, "batch vocab_size"] | None = None,
) -> Float[Tensor, "batch vocab_size"]:
    """The probabilities that `sample` draws from (temperature above 0), in this order:

    1. repetition penalty: see `penalize`;
    2. temperature: softmax(logits / temperature);
    3. top_k: only the k most probable (of equals, the lower ids);
    4. top_p (nucleus, Holtzman et al. 2020): only the smallest set of the most probable that holds at least p of
       what the steps before left;
    5. min_p (Nguyen et al. 2024): only those at least min_p times as probable as the most probable.
    """
    check(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, repetition_penalty=repetition_penalty)
    if seen is not None:
        logits = penalize(logits, seen, repetition_penalty)
    kept, ids = _candidates(logits, temperature, top_k, top_p, min_p)
    kept = kept / kept.sum(-1, keepdim=True)
    return kept if ids is None else torch.zeros_like(logits, dtype=kept.dtype).scatter(-1, ids, kept)


def penalize(
    logits: Float[Tensor, "batch vocab_size"], seen: Bool[Tensor, "batch vocab_size"], penalty: Real
) -> Float[Tensor, "batch vocab_size"]:
    """Tokens that were `seen` before lose score: positive ones are divided by the penalty, negative ones multiplied
    (CTRL, Keskar et al. 2019, section 4.1)."""
    return torch.where(seen, torch.where(logits > 0, logits / penalty, logits * penalty), logits)


def _candidates(
    logits: Tensor, temperature: Real, top_k: int | None, top_p: Real | None, min_p: Real | None
) -> tuple[Tensor, Tensor | None]:
    """What survives the filters: unnormalised probabilities (zero where filtered) and their ids, most probable first.

    The ids are None when the candidates are the whole vocabulary in its own order: sorting is the costly part.
    """
    # subtracting the largest first keeps tiny temperatures from overflowing
    scores = (logits.float() - logits.amax(-1, keepdim=True).float()) / temperature
    ids = None
    nucleus = top_p if top_p is not None and top_p < 1 else None
    if nucleus or (top_k is not None and top_k < logits.shape[-1]):
        scores, ids = scores.sort(dim=-1, descending=True, stable=True)
        scores, ids = scores[:, :top_k], ids[:, :top_k]
    probabilities = scores.softmax(-1)
    if nucleus:
        before = probabilities.cumsum(-1) - probabilities
        before[:, 0] = 0  # whatever the rounding, the most probable token stays
        probabilities = probabilities.masked_fill(before >= nucleus, 0)
    if min_p:
        probabilities = probabilities.masked_fill(probabilities < min_p * probabilities.amax(-1, keepdim=True), 0)
    return probabilities, ids


_RANGES: Final[dict[str, tuple[Callable[[Real], bool], str]]] = {
    "temperature": (
        lambda value: value >= 0,
        "0 (always the most probable token) or more; 1 leaves the model as it is",
    ),
    "top_k": (lambda value: value >= 1, "1 or more; leave it out to keep all tokens"),
    "top_p": (lambda value: 0 < value <= 1, "above 0 and at most 1"),
    "min_p": (lambda value: 0 <= value <= 1, "between 0 and 1"),
    "repetition_penalty": (lambda value: value > 0, "above 0; 1 changes nothing, 1.1 discourages repetition"),
    "max_tokens": (lambda value: value >= 1, "1 or more"),
}


def check(**settings: Real | None) -> None:
    """Raise UserError, naming the first setting that is out of its range."""
    for name, value in settings.items():
        fits, wanted = _RANGES[name]
        if value is not None and not (math.isfinite(value) and fits(value)):
            raise UserError(f"{name} = {value} makes no sense: it must be {wanted}.")


_MASK: Final = (1 << 64) - 1
Words: TypeAlias = npt.NDArray[np.uint64]


def keyed_uniform(
    seed: int, sequences: Sequence[int], positions: Sequence[int], count: int
) -> Float[Tensor, "batch count"]:
    """Numbers in [0, 1) for `count` positions of each sequence, starting at `positions`: (batch, count), float64.

    Each is a pure function of (seed, sequence, position): a SplitMix64 hash (Steele et al. 2014) of the three.
    """
    row = np.array([[sequence & _MASK] for sequence in sequences], dtype=np.uint64)
    column = np.array([[position] for position in positions], dtype=np.uint64) + np.arange(count).astype(np.uint64)
    key = _absorb(np.zeros((1, 1), dtype=np.uint64), np.array([[seed & _MASK]], dtype=np.uint64))
    bits = _absorb(_absorb(key, row), column)
    return torch.from_numpy((bits >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def _absorb(state: Words, word: Words) -> Words:
    """A state that depends on every bit of the old one and of `word`: one step of SplitMix64."""
    bits: Words = state + (word + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    bits ^= bits >> np.uint64(31)
    return bits

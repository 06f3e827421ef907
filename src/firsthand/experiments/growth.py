"""How the cost of a mixer grows with the length of the context: a training step, a decode step, and what is remembered.

One mixer alone is measured, without the rest of a layer, so that nothing hides how it grows.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from firsthand.errors import UserError
from firsthand.experiments.memory import PeakMemory
from firsthand.model.mixers import MIXERS
from firsthand.model.positions import POSITIONS
from firsthand.parts import PartSpec, build
from firsthand.types import Place

DECODED = 16
"""Tokens of one measurement of decoding."""


@dataclass(frozen=True)
class Sizes:
    """Of the mixers that are compared. `position`: for those that ask where tokens stand."""

    d_model: int = 256
    n_heads: int = 4
    position: PartSpec = "rope"


@dataclass
class Cost:
    """Of one mixer at one length, for one row. What was too slow or too large to measure is None.

    `train_seconds`, `train_bytes`: forward and backward over the whole length, and the most memory that held beyond
    the weights. `decode_seconds`: the next token after `length` tokens. `state_numbers`: what the state holds then.
    """

    mixer: str
    length: int
    train_seconds: float | None = None
    train_bytes: int | None = None
    decode_seconds: float | None = None
    state_numbers: int | None = None


def growth(
    mixers: dict[str, PartSpec],
    lengths: Sequence[int],
    sizes: Sizes | None = None,
    seconds: float = 10.0,
    rounds: int = 3,
    report: Callable[[Cost], None] = lambda cost: None,
) -> list[Cost]:
    """Measure each mixer (a label and what a recipe would say) at each length, in turn within a length.

    A mixer is left out of longer lengths once a training step would take more than `seconds`; decoding likewise.
    The best of `rounds` counts. UserError for an unknown mixer or impossible sizes.
    """
    sizes = sizes or Sizes()
    if sorted(lengths) != list(lengths) or not lengths or lengths[0] < 1:
        raise UserError(f"Lengths must be positive and grow, not {list(lengths)}.")
    if sizes.d_model % sizes.n_heads:
        raise UserError(f"d_model = {sizes.d_model} cannot be shared by n_heads = {sizes.n_heads} heads.")
    modules = {label: make(spec, sizes, lengths[-1] + 2 * DECODED) for label, spec in mixers.items()}
    for module in modules.values():
        _step(module, torch.randn(1, 2, sizes.d_model))  # what torch sets up once is nobody's cost
    training, decoding = dict.fromkeys(mixers, 0.0), dict.fromkeys(mixers, 0.0)
    found = []
    for before, length in zip([lengths[0], *lengths], lengths, strict=False):
        worst_growth = (length / before) ** 2
        costs = {label: Cost(label, length, state_numbers=modules[label].state_size(length)) for label in mixers}
        trained = [label for label in mixers if training[label] * worst_growth <= seconds]
        for label, value, most in _train(modules, trained, length, sizes.d_model, rounds):
            training[label] = costs[label].train_seconds = value
            costs[label].train_bytes = most
        decoded = [label for label in mixers if decoding[label] * worst_growth <= seconds]
        for label, prefill, value in _decode(modules, decoded, length, sizes.d_model, rounds):
            decoding[label], costs[label].decode_seconds = prefill, value
        for cost in costs.values():
            report(cost)
            found.append(cost)
    return found


def make(spec: PartSpec, sizes: Sizes, context_length: int) -> Any:
    """The mixer alone, with random weights."""
    given: dict[str, Any] = {
        "d_model": sizes.d_model,
        "n_heads": sizes.n_heads,
        "n_kv_heads": sizes.n_heads,
        "d_head": sizes.d_model // sizes.n_heads,
        "d_ff": 4 * sizes.d_model,
        "context_length": context_length,
        "n_layers": 1,
        "layer": 0,
    }
    torch.manual_seed(0)
    position = build("position", POSITIONS, sizes.position, **given)
    return build("mixer", MIXERS, spec, **given, position=position)


def _train(
    modules: dict[str, nn.Module], labels: list[str], length: int, d_model: int, rounds: int
) -> Iterator[tuple[str, float, int | None]]:
    """Label, seconds and bytes of a training step, the mixers in turn."""
    x = torch.randn(1, length, d_model)
    best, most = dict.fromkeys(labels, float("inf")), dict[str, int | None]()
    for number in range(rounds + 1):  # the first is not timed; its memory counts
        for label in labels:
            leaf = x.clone().requires_grad_()
            modules[label].zero_grad()
            if number == 0:
                base = _resident()
                with PeakMemory(torch.device("cpu")) as peak:
                    _step(modules[label], leaf)
                most[label] = None if peak.bytes is None or base is None else max(0, peak.bytes - base)
                continue
            start = time.perf_counter()
            _step(modules[label], leaf)
            best[label] = min(best[label], time.perf_counter() - start)
    for label in labels:
        yield label, best[label], most[label]


def _step(mixer: nn.Module, x: Tensor) -> None:
    place = Place(torch.arange(x.shape[1]).unsqueeze(0))
    mixer(x, place)[0].square().mean().backward()


@torch.inference_mode()
def _decode(
    modules: dict[str, Any], labels: list[str], length: int, d_model: int, rounds: int
) -> Iterator[tuple[str, float, float]]:
    """Label, seconds to read `length` tokens, and seconds for each token after them."""
    x, new = torch.randn(1, length, d_model), torch.randn(1, 1, d_model)
    for label in labels:
        mixer = modules[label].eval()
        state = mixer.initial_state(1, length + rounds * DECODED)
        start = time.perf_counter()
        _, state = mixer(x, Place(torch.arange(length).unsqueeze(0)), state)
        prefill, best = time.perf_counter() - start, float("inf")
        for number in range(rounds):
            start = time.perf_counter()
            for step in range(DECODED):
                index = length + (number * DECODED + step) % DECODED
                _, state = mixer(new, Place(torch.tensor([[index]])), state)
            best = min(best, (time.perf_counter() - start) / DECODED)
        mixer.train()
        yield label, prefill, best


def _resident() -> int | None:
    """The process's memory now, as PeakMemory counts it."""
    with PeakMemory(torch.device("cpu")) as now:
        pass
    return now.bytes


def crossings(costs: Sequence[Cost], baseline: str) -> dict[str, dict[str, int | None]]:
    """For each other mixer, the first length from which on it is cheaper than `baseline` in training and in decoding.

    None where it never is, at the lengths that were measured.
    """
    labels = dict.fromkeys(cost.mixer for cost in costs)
    table = {(cost.mixer, cost.length): asdict(cost) for cost in costs}
    found: dict[str, dict[str, int | None]] = {}
    for label in labels:
        if label != baseline:
            found[label] = {key: _crossing(table, label, baseline, key) for key in ("train_seconds", "decode_seconds")}
    return found


def _crossing(table: dict[tuple[str, int], dict[str, Any]], label: str, baseline: str, key: str) -> int | None:
    first = None
    for name, length in table:
        if name != label:
            continue
        own, other = table[label, length][key], table[baseline, length][key]
        if own is None or (other is not None and own >= other):
            first = None if own is not None else first
        elif first is None:
            first = length
    return first

"""How fast a model reads and writes beside others: each in a process of its own, in turns, so that a busy moment of the
machine meets all of them."""

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from firsthand.errors import UserError

KINDS = ("prefill", "decode")


@dataclass(frozen=True)
class Rates:
    """Tokens a second, the median over the rounds. `beside`: by the name of another, the median of the quotients with
    what that one did in the same round. `memory`: the most bytes the process had at once; None where unknown."""

    prefill: float
    decode: float
    beside: dict[str, dict[str, float]]
    memory: int | None
    threads: int
    precision: str


class Runner:
    """A process with a model (worker.py); a context. `precision`: of generate.pack. UserError if it fails."""

    def __init__(self, model: str, precision: str, threads: int | None = None, parts: Sequence[str] = ()) -> None:
        self.settings = {"model": model, "precision": precision, "threads": threads, "parts": list(parts)}

    def __enter__(self) -> "Runner":
        command = [sys.executable, "-m", "firsthand.experiments.compression.worker", json.dumps(self.settings)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.told = self._read()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def rate(self, kind: str) -> float:
        """Tokens a second of one piece of work, one of KINDS."""
        return float(self._ask(kind)["rate"])

    def memory(self) -> int | None:
        """Asked at the end: then the process is done."""
        found: int | None = self._ask("memory")["bytes"]
        return found

    def _ask(self, word: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(word + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # what it said last tells why
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            _, complaint = self._process.communicate()
            last = complaint.strip().splitlines()[-1:] or ["it said nothing"]
            raise UserError(f"The process that times {self.settings['model']} ended: {last[0]}")
        answer: dict[str, Any] = json.loads(line)
        return answer


Rounds = dict[str, dict[str, list[float]]]
"""By name and kind: tokens a second in every round."""


def in_turns(
    runners: Mapping[str, Runner], rounds: int, done: Callable[[float, str], object] = lambda share, what: None
) -> Rounds:
    """All runners read and write in each round, one after another."""
    found: Rounds = {name: {kind: [] for kind in KINDS} for name in runners}
    for number in range(rounds):
        for name, runner in runners.items():
            for kind in KINDS:
                found[name][kind].append(runner.rate(kind))
            done((number + 1) / rounds, f"timing {name}, round {number + 1} of {rounds}")
    return found


def rates(name: str, found: Rounds, runner: Runner) -> Rates:
    """What the rounds say of one that was in them. Its process is done then."""
    own = {kind: statistics.median(found[name][kind]) for kind in KINDS}
    beside = {
        other: {
            kind: statistics.median(a / b for a, b in zip(found[name][kind], theirs[kind], strict=True))
            for kind in KINDS
        }
        for other, theirs in found.items()
        if other != name
    }
    told = runner.told
    return Rates(own["prefill"], own["decode"], beside, runner.memory(), told["threads"], told["precision"])

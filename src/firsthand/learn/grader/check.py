"""Checking a file: in a process that is thrown away, so that nothing in it can hang or end the one who asks."""

import json
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from firsthand.learn.manifest import PACKAGE, Exercise
from firsthand.learn.verdict import Verdict

START = 120.0
"""Seconds for Python and torch to be loaded, on the slowest of machines."""
PREPARE = 300.0
GRACE = 1.0
"""What a process gets beyond the timeout, to say where it is."""
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
    "MPLBACKEND": "agg",
    "PYTHONHASHSEED": "0",
    "PYTHONIOENCODING": "utf-8",
}
PRINTED = 2000


def check(exercise: Exercise, file: Path, seed: int = 0, timeout: float = 20.0, blocked: Sequence[str] = ()) -> Verdict:
    """The verdict on a file. `timeout`: seconds for the check itself. `blocked`: modules whose
    names of this exercise raise when they are called.

    Never raises for what the file does. A lesson that is wrong itself gives the status "error".
    """
    with Grader(spare=False) as grader:
        return grader.check(exercise, file, seed, timeout, blocked)


class Grader:
    """Checks one file after another, with a warm process waiting: torch, and the checks of `near`, are loaded in it."""

    def __init__(self, near: Exercise | None = None, spare: bool = True) -> None:
        self.near, self.spare = near, spare
        self._waiting: _Worker | None = None

    def __enter__(self) -> "Grader":
        if self.spare:
            self._waiting = _Worker(self.near)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the waiting process."""
        if self._waiting is not None:
            self._waiting.kill()
            self._waiting = None

    def warm(self) -> None:
        """Return when the waiting process is warm."""
        if self._waiting is not None:
            self._waiting.until_ready()

    def check(
        self, exercise: Exercise, file: Path, seed: int = 0, timeout: float = 20.0, blocked: Sequence[str] = ()
    ) -> Verdict:
        """As the function `check`."""
        from firsthand.learn.grader import prepare  # torch comes with it, and a command without a check needs none

        start = time.perf_counter()
        worker, self._waiting = self._waiting or _Worker(exercise), None
        try:
            if not prepare.ready(exercise, seed):
                in_worker(exercise, "prepare", seed=seed)
            pairs = prepare.ready(exercise, seed, pairs=True)
            verdict = worker.grade(exercise, file, seed, timeout, blocked, pairs)
            if verdict.status == "failed" and verdict.stage not in ("", "import") and not (verdict.mutant or pairs):
                # once for each version of the lesson: what two slips at once look like
                in_worker(exercise, "prepare", seed=seed, pairs=True)
                verdict = _Worker(exercise).grade(exercise, file, seed, timeout, blocked, True)
        except LessonError as error:
            verdict = Verdict(
                exercise.id, "error", what=str(error), why="The lesson itself is at fault, not your file."
            )
        finally:
            worker.kill()
        if self.spare:
            self._waiting = _Worker(exercise)
        return verdict.taking(round(time.perf_counter() - start, 3))


class LessonError(Exception):
    """The lesson, or the grader, failed; the learner did not."""


def in_worker(exercise: Exercise, what: str, **request: Any) -> Any:
    """What a worker answers that runs the shipped part: to "prepare" right answers and slips, or to "judge" them."""
    worker = _Worker(exercise)
    try:
        worker.until_ready()
        worker.ask({"do": what, "seed": 0, "pairs": False} | request, exercise)
        answer = worker.answer() or {"error": worker.tail()}
    except queue.Empty:
        answer = {"error": f"nothing came in {PREPARE:g} s"}
    finally:
        worker.kill()
    if "done" not in answer:
        raise LessonError(
            f"The shipped part could not be run: {answer.get('error')}\n{answer.get('trace', '')}".strip()
        )
    return answer["done"]


class _Worker:
    """One process, one check."""

    def __init__(self, near: Exercise | None) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="firsthand-check-", ignore_cleanup_errors=True)
        self.printed = Path(self.folder.name, "printed")
        self.trace = Path(self.folder.name, "trace")
        self.at = ""
        self.is_ready = False
        paths = [str(PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        with self.printed.open("wb") as printed:
            self.process = subprocess.Popen(
                # -P: a file in the current folder must not hide a module of the same name
                [sys.executable, "-P", "-m", "firsthand.learn.grader.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=printed,
                env=os.environ | ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(paths)},
                start_new_session=True,
            )
        self.lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        self._send({"folder": str(near.folder), "exercise": near.id} if near else {})

    def _listen(self) -> None:
        assert self.process.stdout is not None, "it is a pipe"
        for line in self.process.stdout:
            try:
                self.lines.put(json.loads(line))
            except ValueError:
                continue  # an exercise that found the pipe and wrote to it
        self.lines.put(None)

    def _send(self, words: dict[str, Any]) -> None:
        assert self.process.stdin is not None, "it is a pipe"
        try:
            self.process.stdin.write(json.dumps(words).encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            return  # it has died, which reading from it will tell

    def until_ready(self) -> None:
        if self.is_ready:
            return
        try:
            answer = self.lines.get(timeout=START)
        except queue.Empty:
            answer = None
        if answer is None or "ready" not in answer:
            raise LessonError((answer or {}).get("error", f"The grader did not start: {self.tail()}"))
        self.is_ready = True

    def ask(self, request: dict[str, Any], exercise: Exercise) -> None:
        self._send(request | {"folder": str(exercise.folder), "exercise": exercise.id})

    def answer(self, timeout: float = 0.0) -> dict[str, Any] | None:
        """The last word; None if it died without one. queue.Empty if none came `timeout` after the work began."""
        end = time.monotonic() + PREPARE
        while True:
            words = self.lines.get(timeout=max(0.0, end - time.monotonic()))
            if not isinstance(words, dict) or "at" not in words:
                return words
            if not self.at:
                end = time.monotonic() + timeout
            self.at = str(words["at"])

    def grade(
        self, exercise: Exercise, file: Path, seed: int, timeout: float, blocked: Sequence[str], pairs: bool
    ) -> Verdict:
        try:
            self.until_ready()
            request = {"do": "grade", "file": str(file.resolve()), "seed": seed, "timeout": timeout, "pairs": pairs}
            self.ask(request | {"blocked": list(blocked), "trace": str(self.trace)}, exercise)
            try:
                answer = self.answer(timeout + GRACE)
            except queue.Empty:
                return self._endless(exercise, file, timeout)
            if answer is None:
                # saying where a loop was when its time was over may kill it: its frames change meanwhile
                return self._endless(exercise, file, timeout) if self._late() else self._ended(exercise, file)
            if "verdict" not in answer:
                raise LessonError(f"{answer.get('error')}\n{answer.get('trace', '')}".strip())
            verdict = Verdict.of_json(answer["verdict"])
            said = self.tail()
            return replace(verdict, evidence=verdict.evidence | {"printed": said}) if said else verdict
        finally:
            self.kill()

    def _endless(self, exercise: Exercise, file: Path, timeout: float) -> Verdict:
        from firsthand.learn.grader.mutate import mutants

        where = self._line(file)
        slips = [one for one in mutants(exercise).values() if one.symptom == f"timeout:{self.at}"]
        slip = slips[0] if len(slips) == 1 else None
        todo = f"Print what changes from one turn of the loop {where and f'at {where} '}to the next."
        evidence = {"where": where, "failed": ["timeout"], "heard": self.tail()} | ({"say": slip.say} if slip else {})
        return Verdict(
            exercise.id,
            "failed",
            self._stage(),
            "timeout",
            slip.name if slip else None,
            f"After {timeout:g} s it was still running{where and f', at {where}'} (the check was {self.at}).",
            "The inputs are tiny, so this loop has no end, or the work grows far too fast with the size.",
            (slip and slip.next) or todo,
            evidence,
        )

    def _ended(self, exercise: Exercise, file: Path) -> Verdict:
        code = self.process.wait()
        where = self._line(file)
        how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        return Verdict(
            exercise.id,
            "failed",
            self._stage(),
            "crash",
            None,
            f"The process ended {how}{where and f', at {where}'} (the check was {self.at}).",
            "Something in the file ended Python itself: os._exit, a crash in native code, or too much memory.",
            f"Look at {where or 'what the file does at that point'}, and let functions return or raise.",
            {"where": where, "failed": ["crash"]},
        )

    def _late(self) -> bool:
        """Whether its time was over: faulthandler has begun to say where it was."""
        return self.trace.exists() and "Timeout (" in self.trace.read_text(encoding="utf-8", errors="replace")

    def _stage(self) -> str:
        return self.at if self.at in ("import", "shapes", "reference", "gradients", "purity") else "properties"

    def _line(self, file: Path) -> str:
        """The line of the learner's file that was running when the process was stopped."""
        text = self.trace.read_text(encoding="utf-8", errors="replace") if self.trace.exists() else ""
        found = re.findall(r'File "([^"]+)", line (\d+)', text)
        lines = [line for name, line in found if Path(name) == file.resolve()]
        return f"{file.name}:{lines[0]}" if lines else ""

    def tail(self) -> str:
        """The end of what was printed."""
        return self.printed.read_bytes()[-PRINTED:].decode("utf-8", errors="replace").strip()

    def kill(self) -> None:
        """End it, with all that it has started."""
        if self.process.poll() is None:
            if hasattr(os, "killpg"):
                try:
                    os.killpg(self.process.pid, signal.SIGKILL)
                except ProcessLookupError:
                    self.process.kill()
            else:
                self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue  # what was still to be sent is of no use to anyone
        self.folder.cleanup()

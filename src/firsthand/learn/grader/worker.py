"""A process that does one check and ends: JSON lines on its standard input and output, nothing else.

It is started as `python -m firsthand.learn.grader.worker`. Whatever an exercise prints goes to standard error.
"""

import faulthandler
import importlib
import inspect
import json
import os
import random
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FunctionType
from typing import Any

MEMORY = 2 * 1024**3
"""What an exercise may ask for, in bytes, beside what Python and torch already have."""


def block(modules: Sequence[str], names: Sequence[str]) -> None:
    """From here on these names of these modules raise, however one has come by them."""
    for module in modules:
        loaded = importlib.import_module(module)
        for name in names:
            one = inspect.unwrap(getattr(loaded, name, _answer))  # what a decorator made has a code of another kind
            if isinstance(one, type):
                one.__init__ = _answer  # type: ignore[misc]
            elif isinstance(one, FunctionType):
                one.__code__ = _answer.__code__


def _answer(*_: Any, **__: Any) -> None:
    raise ImportError("this is the answer, and not to be had here")


def limit_memory() -> None:
    """A soft cap: asking for more raises an error in Python instead of stopping the machine. Linux only."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        wanted = pages * resource.getpagesize() + MEMORY
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (wanted if hard < 0 else min(wanted, hard), hard))
    except (ImportError, OSError, ValueError):
        return


def main() -> None:
    """Get warm, say so, do what the next line asks for, end."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    # before anything is imported, so that waiting costs no time
    first = json.loads(sys.stdin.readline() or "{}")

    def say(**words: Any) -> None:
        out.write(json.dumps(words) + "\n")
        out.flush()

    try:
        _warm(first.get("folder"), first.get("exercise"))
    except Exception as error:
        say(error=f"{type(error).__name__}: {error}", trace=traceback.format_exc())
        os._exit(1)
    say(ready=True)
    line = sys.stdin.readline()
    if not line:
        return
    request = json.loads(line)
    sys.stdin.close()
    try:
        say(**_work(request, lambda what: say(at=what)))
    except Exception as error:
        say(error=f"{type(error).__name__}: {error}", trace=traceback.format_exc())
    out.flush()
    os._exit(0)  # threads that an exercise has left behind do not keep it alive


def _warm(folder: str | None, exercise: str | None) -> None:
    import torch

    torch.set_num_threads(1)
    from firsthand.learn.grader import checks, pipeline  # noqa: F401 - loaded before it is needed

    if folder and exercise:
        checks.load(_exercise(folder, exercise))


def _exercise(folder: str, name: str) -> Any:
    from firsthand.learn.manifest import read

    return next(one for one in read(Path(folder) / "lesson.toml").exercises if one.id == name)


def _work(request: dict[str, Any], tell: Callable[[str], None]) -> dict[str, Any]:
    import torch

    from firsthand.learn.grader import pipeline, prepare
    from firsthand.learn.grader.printed import Heard

    exercise, seed = _exercise(request["folder"], request["exercise"]), request["seed"]
    if request["do"] == "prepare":
        prepare.prepare(exercise, seed, request["pairs"])
        return {"done": True}
    if request["do"] == "judge":
        from firsthand.learn.grader.gate import judge

        return {"done": judge(exercise)}
    prepared = prepare.read(exercise, seed, request["pairs"])
    sys.stdout = Heard(sys.stdout)
    block(request["blocked"], exercise.entry)
    random.seed(seed)
    torch.manual_seed(seed)
    limit_memory()
    tell("import")  # from here on the time counts
    with open(request["trace"], "w") as trace:
        faulthandler.enable(trace)
        faulthandler.dump_traceback_later(request["timeout"], file=trace)
        verdict = pipeline.grade(exercise, Path(request["file"]), seed, prepared, tell)
        faulthandler.cancel_dump_traceback_later()
        faulthandler.disable()
    return {"verdict": verdict.as_json()}


if __name__ == "__main__":
    main()

"""torch.compile gives the same: asked in a process of its own.

Shape checks of a test run cannot be traced, and a compiler that fails should not take the asker with it.
"""

import dataclasses
import functools
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from firsthand.contracts.finding import Broken, raised
from firsthand.contracts.part import Part
from firsthand.contracts.text import Text
from firsthand.errors import line_in

TIME, PACKED = 70, [3, 10, 5]
"""Tokens of one document, enough for two chunks of 64; and of three documents in a row."""
SECONDS = 240
ROUNDING = 1e-6
"""In fp64, for outputs of about 1: the compiler may take another formula for the same."""


def compiled(part: Part) -> None:
    """Traced by torch.compile in one piece, it gives the same outputs and gradients."""
    specs = sorted({json.dumps(spec, sort_keys=True) for spec in (part.spec, *part.beside)})
    said = _ask(part.slot, tuple(specs)).get(json.dumps(part.spec, sort_keys=True))
    if said is not None:
        raise Broken(**said)


@functools.lru_cache
def _ask(slot: str, specs: tuple[str, ...]) -> dict[str, dict[str, str] | None]:
    """For each spec what is broken; one new process for all."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        command = [sys.executable, "-m", "firsthand.contracts.compiled", slot, str(answer), *specs]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired:
            said = f"the compiler was not done after {SECONDS} seconds"
        else:
            if answer.is_file():
                found: dict[str, dict[str, str] | None] = json.loads(answer.read_text())
                return found
            lines = done.stderr.strip().splitlines() or ["nothing"]
            said = f"the process that compiled it ended with code {done.returncode} and said: {lines[-1]}"
    return dict.fromkeys(specs, vars_of(Broken(f"{said[0].upper()}{said[1:]}.", WHY, ADVICE)))


WHY = "Training on a GPU compiles the model; what cannot be traced in one piece runs slower or not at all."
ADVICE = "Branch on shapes and settings, never on the numbers of a tensor (.item(), if tensor), and print nothing."


def vars_of(broken: Broken) -> dict[str, str]:
    return {"what": broken.what, "why": broken.why, "todo": broken.todo, "where": broken.where}


def main(slot: str, answer: str, *specs: str) -> None:
    """Write what is broken in each spec as JSON to the file `answer`."""
    found: dict[str, dict[str, str] | None] = {}
    for spec in specs:
        part = Part(slot, json.loads(spec))
        broken: Broken | None = None
        try:
            _compare(part)
        except Broken as error:
            broken = error
        except Exception as error:
            broken = raised(error, part.file)
        found[spec] = vars_of(broken) if broken else None
    Path(answer).write_text(json.dumps(found))


def _compare(part: Part) -> None:
    module = part.make()

    def ask(text: Text) -> Tensor:
        return part.ask(module, text)

    def traced(text: Text) -> Tensor:
        try:
            y: Tensor = torch.compile(ask, fullgraph=True, backend="aot_eager")(text)
        except Exception as error:
            said = [line.strip() for line in str(error).splitlines() if line.strip()]
            reason = [line for line in said if line.startswith("Developer debug context: ")]
            words = ": ".join([*said[:1], *(line.removeprefix("Developer debug context: ") for line in reason[:1])])
            where = line_in(error, part.file) or _line_named(str(error), part.file)
            raise Broken(f"torch.compile raised {type(error).__name__}: {words[:400]}", WHY, ADVICE, where) from error
        return y

    torch.compiler.reset()
    ways = {"": part.text(2, TIME), " with documents": part.text(2, sum(PACKED)).packed(PACKED)}
    for way, asked in ways.items():
        found = []
        for function in (ask, traced):
            module.zero_grad()
            x = asked.x.clone().requires_grad_()
            y = function(dataclasses.replace(asked, x=x))
            torch.autograd.backward(y.square().sum())
            gradients = {f"the gradient of {name}": p.grad for name, p in module.named_parameters()}
            found.append({"the output": y, "the gradient of x": x.grad, **gradients})
        eager, under_compiler = found
        for name, tensor in eager.items():
            other = under_compiler[name]
            if not _same(tensor, other):
                raise Broken(f"Under torch.compile {name} is another one{way}.", WHY, ADVICE)


def _line_named(words: str, file: Path | None) -> str:
    """The last line of `file` that the compiler speaks of, as "file.py:12"."""
    named = re.findall(rf'File "{re.escape(str(file))}", line (\d+)', words)
    return f"{file.name}:{named[-1]}" if file and named else ""


def _same(one: Tensor | None, other: Tensor | None) -> bool:
    if one is None or other is None:
        return one is other
    scale = max(1.0, float(one.detach().abs().amax()))
    return one.shape == other.shape and bool((one - other).abs().amax() <= ROUNDING * scale)


if __name__ == "__main__":
    main(*sys.argv[1:])

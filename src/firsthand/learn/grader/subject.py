"""What a property looks at: some parts, asked with inputs."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from firsthand.contracts.finding import Broken
from firsthand.errors import line_in
from firsthand.learn.grader.checks import Checks, Inputs, Parts
from firsthand.learn.grader.entry import NotStarted
from firsthand.learn.grader.leaves import Leaf, Leaves, leaves


class Sign(Broken):
    """A broken property with something exact about it, `tag`, by which slips of the same property are told apart."""

    def __init__(self, what: str, why: str, todo: str, tag: str) -> None:
        super().__init__(what, why, todo)
        self.tag = tag


class Raised(Broken):
    """The exercise's code raised something. `kind`: what."""

    kind: str = ""

    def with_more(self, what: str, todo: str = "") -> "Raised":
        """The same, with more words on what was asked for and on what to do."""
        made = Raised(f"{self.what} {what}", self.why, f"{self.todo} {todo}".strip(), self.where)
        made.kind = self.kind
        return made

    def instead(self, what: str, todo: str) -> "Raised":
        """The same where another error was asked for: not what stops is wrong, but how."""
        why = "Whoever calls it catches that, and tells what was wrong; any other error looks like a fault in the code."
        made = Raised(f"{self.what} {what}", why, todo, self.where)
        made.kind = self.kind
        return made


@dataclass
class Subject:
    """`target`: the shipped part's answers, by `key(case, seed, dtype)`. `seeds`: which the answers are for."""

    checks: Checks
    parts: Parts
    file: Path | None = None
    target: dict[str, Leaves] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0,)

    def inputs(
        self, case: str = "", seed: int | None = None, dtype: torch.dtype = torch.float64, **changed: Any
    ) -> Inputs:
        """The inputs of a case (the usual one), made anew, with some of them `changed`."""
        return self.checks.inputs(case, self.seeds[0] if seed is None else seed, dtype) | changed

    def ask(self, inputs: Inputs, grad: bool = False) -> Any:
        """What the exercise's code returns. Raised, in words, if it raises; NotStarted if a hole is met.

        It gets copies, so that code that writes into its inputs spoils nothing but `purity`.
        """
        given = {name: one.clone() if isinstance(one, Tensor) else copy.copy(one) for name, one in inputs.items()}
        return self.within(lambda parts: self.checks.call(parts, **given), grad)

    def within(self, run: Callable[[Parts], Any], grad: bool = False) -> Any:
        """Anything else that is done with the parts, with the same care."""
        with torch.random.fork_rng(devices=[]), torch.set_grad_enabled(grad):
            torch.manual_seed(0)
            try:
                return run(self.parts)
            except (Broken, NotStarted):
                raise
            except NotImplementedError as error:
                where = line_in(error, self.file)
                if not where:
                    raise raised(error, self.file) from error
                raise NotStarted(f"{where} still raises NotImplementedError.") from error
            except BaseException as error:
                raise raised(error, self.file) from error

    def leaves(self, inputs: Inputs) -> Leaves:
        """The same, taken apart."""
        return leaves(self.ask(inputs))

    def out(self, inputs: Inputs, path: str = "out") -> Tensor:
        """One tensor of it. Broken if there is none."""
        return tensor(self.leaves(inputs), path)


def tensor(found: Leaves, path: str) -> Tensor:
    """The leaf at `path`. Broken if it is missing or no tensor."""
    leaf: Leaf = found.get(path)
    if isinstance(leaf, Tensor):
        return leaf
    there = ", ".join(f"{name}: {type(one).__name__}" for name, one in found.items())
    raise Broken(
        f"A tensor was expected as {path}, and what came back is {there}.",
        "What calls it goes on with a tensor.",
        "Look at the return statement, and at the stub's docstring for what belongs there.",
    )


def key(case: str, seed: int, dtype: torch.dtype) -> str:
    """Under which an answer is kept."""
    return f"{case}|{seed}|{str(dtype).removeprefix('torch.')}"


def raised(error: BaseException, file: Path | None) -> Raised:
    """Any exception, in words for the one whose file raised it."""
    where = line_in(error, file)
    words = " ".join(str(error).split())
    said = f"{type(error).__name__}{words and ': '}{words[:300]}{' ...' * (len(words) > 300)}".rstrip(".")
    what = f"Your code raised {said}{where and f' ({where})'}."
    why, todo = _advice(error, where, words)
    if isinstance(error, MemoryError) or "can't allocate memory" in words:
        why, todo = "It asked for more memory than an exercise gets (2 GiB).", f"Look at {where or 'the sizes'}."
    elif isinstance(error, SystemExit):
        why, todo = "A function that ends the program ends training too.", "Return a value, or raise an error."
    elif isinstance(error, RecursionError):
        why, todo = "A function called itself without an end.", f"Look at {where or 'it'}: when should it stop?"
    elif not where and isinstance(error, TypeError) and "argument" in words and "() argument must be" not in words:
        what = f"It cannot be called as the stub says: {said}."
        why, todo = (
            "What calls it goes by the stub.",
            "Compare the names and the order of its arguments with the stub's.",
        )
    elif not where:
        what = f"What your code gave back cannot be worked with: {said}."
        why = "What calls it goes on with what the docstring promises."
        todo = "Look at the return statements: how many things come back, of which type, with which axes?"
    found = Raised(what, why, todo, where)
    found.kind = type(error).__name__
    return found


def _advice(error: BaseException, where: str, words: str) -> tuple[str, str]:
    """Why it matters, and where to look, for what learners meet most often."""
    why = "Code that stops here would stop training in the same way."
    if "view size is not compatible" in words:
        why = "A view reads numbers in the order in which they lie in memory, and a transpose does not move them."
        return why, f"At {where}: reshape copies where it must. Or call .contiguous() before .view()."
    if "cannot assign" in words and "as parameter" in words:
        why = "A parameter is one object for optimizer and model; a new tensor in its place would be unknown to both."
        return why, f"At {where}: fill the one that is there: .zero_(), .normal_() or .copy_(), under torch.no_grad()."
    if "probability tensor contains" in words:
        return why, f"Before {where}: how many tokens does each row keep? Where all are cut off, nothing can be drawn."
    if "before Module.__init__()" in words:
        return why, f"Before {where}: begin __init__ with super().__init__()."
    if isinstance(error, IndexError):
        return why, f"Look at {where}: print the index, and the length of what it reads. Is one of them one too large?"
    if isinstance(error, KeyError):
        return why, f"Look at {where}: print the key, and which keys are there. Is it of the same type as they are?"
    if isinstance(error, AttributeError) and "'NoneType' object" in words:
        return why, f"At {where} something is None: print it. Was it never set, or did what makes it return nothing?"
    if isinstance(error, NameError | AttributeError):
        return why, f"Look at {where}: is the name spelt as it is where it is made, and is it made before?"
    return why, f"Look at {where}: print the shapes and types of what goes in."

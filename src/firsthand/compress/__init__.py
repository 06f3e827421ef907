"""Making a model smaller: its numbers in fewer bits, its weights fewer, or a small model taught by it.

A method is one file: a class whose arguments are what a plan may set, and `__call__(subject, given)`, which changes the
subject's own copy of the model. To write your own: such a class, and `{part: my_idea.py:Mine}` as a step of a plan; or
a line in the table.
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from firsthand.compress.subject import Given, Subject


@runtime_checkable
class Method(Protocol):
    def __call__(self, subject: Subject, given: Given) -> None: ...


METHODS: dict[str, Callable[..., Method]] = {}

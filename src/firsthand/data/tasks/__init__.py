"""Made-up tasks with known answers: what can a model hold in mind, and look up again?

To write your own: a class with the two methods below, and a line in the table.
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from jaxtyping import Int
from torch import Generator, Tensor

from firsthand.data.tasks.copying import Copying
from firsthand.data.tasks.recall import Recall


@runtime_checkable
class Task(Protocol):
    """`size` says how much is to be remembered: the number of pairs, or of symbols.

    `rows(count, size, generator)`: ids and targets, both (count, time) with the same time for all rows of a size;
    targets are IGNORE wherever there is nothing to know. `length(size)`: that time.
    """

    vocab_size: int

    def length(self, size: int) -> int: ...

    def rows(
        self, count: int, size: int, generator: Generator
    ) -> tuple[Int[Tensor, "count time"], Int[Tensor, "count time"]]: ...


TASKS: dict[str, Callable[..., Task]] = {"recall": Recall, "copying": Copying}

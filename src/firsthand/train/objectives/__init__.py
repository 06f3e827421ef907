"""What is minimised. An objective is `(model, batch) -> Loss`: the sum over the targets of a batch and their count.

To write your own: a function (or a class with __call__) that takes a LanguageModel and a Batch; give it a line here or
name it in a recipe as `train.objective=my_idea.py:my_objective`. The table holds factories: their arguments are what a
recipe may set.
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from firsthand.model.language_model import LanguageModel
from firsthand.train.objectives.classify import Classify
from firsthand.train.objectives.next_token import NextToken
from firsthand.types import Batch, Loss


@runtime_checkable
class Objective(Protocol):
    def __call__(self, model: LanguageModel, batch: Batch) -> Loss: ...


OBJECTIVES: dict[str, Callable[..., Objective]] = {"next_token": NextToken, "classify": Classify}

"""Teachers in training: what a student is told, from where, and how it is compared."""

from collections.abc import Callable

from firsthand.compress.distillation.objective import Distill
from firsthand.train.objectives import Objective

TAUGHT: dict[str, Callable[..., Objective]] = {"distill": Distill}
"""Objectives that need a teacher; assemble.py offers them beside OBJECTIVES."""

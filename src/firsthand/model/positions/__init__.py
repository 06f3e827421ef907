"""The position schemes a recipe can name."""

from collections.abc import Callable

from firsthand.model import Position
from firsthand.model.positions.alibi import ALiBi
from firsthand.model.positions.learned import LearnedPosition
from firsthand.model.positions.none import NoPosition
from firsthand.model.positions.rope import Rope
from firsthand.model.positions.sinusoidal import SinusoidalPosition

POSITIONS: dict[str, Callable[..., Position]] = {
    "learned": LearnedPosition,
    "sinusoidal": SinusoidalPosition,
    "rope": Rope,
    "alibi": ALiBi,
    "none": NoPosition,
}

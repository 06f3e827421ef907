"""A config.json that is read as if hostile: every value has a type and bounds, and what is wrong is named."""

from collections.abc import Collection, Mapping
from typing import Any, NoReturn, TypeVar

from firsthand.errors import DamagedError, UserError

LARGEST = 1 << 24
"""The most that a size may be; what it really can be, the file's tensors say."""

_Word = TypeVar("_Word")


class Settings:
    """The keys of a config.json. A key that is absent or null has the default; without one it is an error."""

    def __init__(self, tree: Mapping[str, Any], where: str) -> None:
        self.tree, self.where = tree, where
        self.read: set[str] = set()
        """The keys that were asked for."""

    def has(self, key: str) -> bool:
        """Whether the key is there at all, if only as null."""
        self.read.add(key)
        return key in self.tree

    def whole(self, key: str, default: int | None = None, least: int = 1, most: int = LARGEST) -> int:
        value = self._value(key, default)
        if type(value) is not int or not least <= value <= most:
            self._wrong(key, value, f"a whole number from {least} to {most}")
        return value

    def whole_or_none(self, key: str, default: int | None = None) -> int | None:
        """A size, or None if the key is null (or absent and `default` is None)."""
        if self.tree.get(key, default) is None:
            self.read.add(key)
            return None
        return self.whole(key, default)

    def number(self, key: str, default: float | None = None, most: float = 1e12) -> float:
        """A number above 0."""
        value = self._value(key, default)
        if type(value) not in (int, float) or not 0 < value <= most:
            self._wrong(key, value, "a number above 0")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        value = self._value(key, default)
        if type(value) is not bool:
            self._wrong(key, value, "true or false")
        return value

    def word(self, key: str, default: str | None, known: Mapping[str, _Word]) -> _Word:
        """What a word stands for. UserError for one that is not known here: it would change what is computed."""
        value = self._value(key, default)
        if not isinstance(value, str):
            self._wrong(key, value, "a word")
        if value not in known:
            self.refuse(key, value, " or ".join(known))
        return known[value]

    def only(self, key: str, *allowed: Any) -> None:
        """UserError unless the key is absent, null or one of `allowed`: other values change what is computed."""
        self.read.add(key)
        value = self.tree.get(key)
        if value is not None and value not in allowed:
            self.refuse(key, value, " or ".join(map(str, allowed)) or "nothing")

    def inner(self, key: str) -> "Settings | None":
        """A table within the table."""
        self.read.add(key)
        value = self.tree.get(key)
        if value is not None and not isinstance(value, dict):
            self._wrong(key, value, "a table")
        return None if value is None else Settings(value, f"{self.where}, {key}")

    def words(self, key: str, length: int, known: Collection[str]) -> list[str] | None:
        """A list of `length` words, or None if there is none."""
        self.read.add(key)
        value = self.tree.get(key)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) != length:
            self._wrong(key, value, f"a list of {length} words")
        for word in value:
            if word not in known:
                self.refuse(key, word, " or ".join(known))
        return value

    def refuse(self, key: str, value: Any, instead: str) -> NoReturn:
        raise UserError(
            f"{self.where} sets {key} = {_shown(value)}, which is not supported here (only {instead}); without it "
            "the model would compute something else."
        )

    def _value(self, key: str, default: Any) -> Any:
        self.read.add(key)
        value = self.tree.get(key)
        value = default if value is None else value
        if value is None:
            raise DamagedError(f"{self.where} has no {key!r}, which this kind of model needs.")
        return value

    def _wrong(self, key: str, value: Any, expected: str) -> NoReturn:
        raise DamagedError(f"{self.where} sets {key} = {_shown(value)}, which is not {expected}.")


def _shown(value: Any) -> str:
    """A value in a few words, however deep or long it is."""
    return repr(value)[:60] if isinstance(value, str | int | float) else f"a {type(value).__name__}"

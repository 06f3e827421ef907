"""The filters that templates may use: Jinja's where they cannot grow, our own where they could."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from jinja2 import Undefined
from jinja2 import filters as jinjas
from jinja2.exceptions import SecurityError

from firsthand.tokens.template.budget import Budget, check_size, weigh

KEPT = (
    *("abs", "capitalize", "count", "d", "default", "dictsort", "float", "int", "items", "length", "lower", "map"),
    *("max", "min", "reject", "rejectattr", "round", "safe", "select", "selectattr", "sort", "title", "trim", "unique"),
    "upper",
)
"""Of Jinja's own: those whose result is no longer than what they are given."""


def filters(budget: Callable[[], Budget]) -> dict[str, Callable[..., Any]]:
    """By name. `budget` gives that of the rendering that is going on."""

    def each(values: Iterable[Any]) -> Iterable[Any]:
        return budget().each(values)

    def listed(values: Iterable[Any] = ()) -> list[Any]:
        return weighed(list(each(values)))  # type: ignore[no-any-return]

    def last(values: Iterable[Any]) -> Any:
        found = listed(values)
        return found[-1] if found else Undefined()

    def reverse(value: Any) -> Any:
        return value[::-1] if isinstance(value, str) else listed(value)[::-1]

    def joined(values: Iterable[Any], between: str = "", attribute: str | None = None) -> str:
        found = listed(values)
        if attribute is not None:
            found = [value.get(attribute, "") if isinstance(value, Mapping) else "" for value in found]
        return join(found, between)

    kept = {name: jinjas.FILTERS[name] for name in KEPT}
    own = {"each": each, "list": listed, "last": last, "reverse": reverse, "join": joined, "first": first}
    free = {"string": string, "replace": replace, "indent": indent, "tojson": tojson, "glue": join, "weighed": weighed}
    return {**kept, **own, **free}


def weighed(value: Any) -> Any:
    """`value`, unless it is too large."""
    weigh(value)
    return value


def string(value: Any) -> str:
    return str(weighed(value))


def first(values: Iterable[Any]) -> Any:
    return next(iter(values), Undefined())


def join(values: list[Any], between: str = "") -> str:
    check_size(weigh(values) + len(between) * len(values))
    return between.join(map(str, values))


def replace(text: Any, old: str, new: str, count: int = -1) -> str:
    """`text.replace`, refused where it could grow too much."""
    text = string(text)
    most = text.count(old) if count < 0 else min(count, text.count(old))
    check_size(len(text) + most * len(new))
    return str(text.replace(old, new, count))


def indent(text: str, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    check_size(width if isinstance(width, int) else len(width))
    space = " " * width if isinstance(width, int) else width
    lines = text.split("\n")
    check_size(len(text) + len(space) * len(lines))
    return "\n".join(
        space + line if (line or blank) and (first or number) else line for number, line in enumerate(lines)
    )


def tojson(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    """As in Hugging Face's templates: nothing is escaped for HTML."""
    weigh(value)
    if isinstance(indent, str) or (isinstance(indent, int) and not 0 <= indent <= 16):
        raise SecurityError("it indents JSON by more than 16")
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

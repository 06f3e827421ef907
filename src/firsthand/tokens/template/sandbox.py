"""Jinja templates from strangers: rendered in its immutable sandbox, with less in reach and everything counted.

The sandbox alone keeps a template from running code (CVE-2024-34359), but not from running for ever or filling the
memory. So loops, calls, outputs and whatever makes longer texts are rewritten or caught to spend a budget.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

from jinja2 import nodes
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.ext import Extension, LoopControlExtension
from jinja2.parser import Parser
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment, safe_range
from jinja2.utils import Namespace

from firsthand.errors import UserError
from firsthand.tokens.template.budget import Budget, check_size, weigh
from firsthand.tokens.template.filters import filters, replace

LONGEST = 1 << 15
"""Characters of a template."""
MOST_NODES = 4000
"""Of its syntax tree: compiling more would take too long."""
_TEXT = "capitalize count endswith find index isdigit join lower lstrip partition removeprefix removesuffix replace"
_TEXT += " rfind rpartition rsplit rstrip split splitlines startswith strip title upper"
_LOOP = "changed cycle depth depth0 first index index0 last length nextitem previtem revindex revindex0"
ATTRIBUTES: dict[type, frozenset[str]] = {
    str: frozenset(_TEXT.split()),
    dict: frozenset(("get", "items", "keys", "values")),
    list: frozenset(("count", "index")),
    LoopContext: frozenset(_LOOP.split()),
}
_BINARY = frozenset(("+", "-", "*", "/", "//", "%", "**"))


class Generation(Extension):
    """Hugging Face's mark {% generation %} around what an assistant says: here only what is between."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment of one template."""

    intercepted_binops = _BINARY

    def __init__(self, length: int) -> None:
        self.length, self.budget = length, Budget(length)
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[LoopControlExtension, Generation],
            optimized=False,  # else constants are worked out before anything is counted
            finalize=self._written,
            cache_size=0,
        )
        self.filters = filters(lambda: self.budget)
        self.globals = {"range": safe_range, "namespace": Namespace, "dict": dict, "raise_exception": _refuse}

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        if sum(1 for _ in tree.find_all(nodes.Node)) > MOST_NODES:
            raise SecurityError(f"it has more than {MOST_NODES} parts")
        _rewrite(tree, self)
        return tree

    def _written(self, value: Any) -> Any:
        self.budget.spend(weigh(value))
        return value

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, Namespace):
            return not attr.startswith("_")
        return attr in ATTRIBUTES.get(type(obj), ())

    def wrap_str_format(self, value: Any) -> None:
        """Jinja would hand out a `format` that is safe but may pad a text to any length."""

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        self.budget.spend(1)
        if operator == "+" and isinstance(left, str) and isinstance(right, str):
            check_size(len(left) + len(right))
        elif operator == "**" or (operator != "+" and not _are_numbers(left, right)):
            raise SecurityError(f"it uses {operator} on what it should not")
        made = super().call_binop(context, operator, left, right)
        weigh(made)
        return made

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        __self.budget.turn()
        owner, name = getattr(__obj, "__self__", None), getattr(__obj, "__name__", "")
        if isinstance(owner, str) and name == "replace":
            return replace(owner, *args, **kwargs)
        if isinstance(owner, str) and name == "join":
            return __self.filters["join"](*args, owner)
        made = super().call(__context, __obj, *args, **kwargs)
        if isinstance(made, str | list | tuple | dict):
            weigh(made)
        return made


def _are_numbers(*values: Any) -> bool:
    return all(isinstance(value, int | float) for value in values)


def _refuse(message: str = "") -> None:
    raise UserError(f"The chat template does not take this conversation: {message!s:.200}")


def _rewrite(node: nodes.Node, environment: Sandbox) -> nodes.Node:
    """The same tree with loops counted, new lists weighed, and ~ held to the limit of a text."""
    for field, value in node.iter_fields():
        if isinstance(value, nodes.Node):
            setattr(node, field, _rewrite(value, environment))
        elif isinstance(value, list):
            setattr(node, field, [_rewrite(v, environment) if isinstance(v, nodes.Node) else v for v in value])
    if isinstance(node, nodes.Name) and node.name in ("varargs", "kwargs"):
        raise SecurityError("it takes arguments in any number")
    if isinstance(node, nodes.For):
        node.iter = _through("each", node.iter, environment)
    elif isinstance(node, nodes.Concat):
        return _through("glue", nodes.List(node.nodes, lineno=node.lineno, environment=environment), environment)
    elif isinstance(node, nodes.List | nodes.Dict | nodes.Tuple) and getattr(node, "ctx", "load") == "load":
        return _through("weighed", node, environment)
    return node


def _through(name: str, node: nodes.Node, environment: Sandbox) -> nodes.Filter:
    assert isinstance(node, nodes.Expr), "only values are filtered"
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno, environment=environment)


class Jinja:
    """A template, compiled. UserError if it is none, or asks for what templates here may not use."""

    def __init__(self, source: str) -> None:
        if len(source) > LONGEST:
            raise UserError(f"The chat template is longer than {LONGEST} characters, the most that is read.")
        self._environment = Sandbox(len(source))
        self._lock = threading.Lock()
        self._template = _guarded(lambda: self._environment.from_string(source))

    def render(self, now: time.struct_time, **variables: Any) -> str:
        """The text. UserError if the template refuses the conversation, fails, or does more than it may."""

        def strftime_now(form: str) -> str:
            return time.strftime(form[:100], now)

        def run() -> str:
            self._environment.budget = Budget(self._environment.length)
            return "".join(self._template.generate(**variables, strftime_now=strftime_now))

        with self._lock:
            return str(_guarded(run))


def _guarded(work: Callable[[], Any]) -> Any:
    """What `work` gives; whatever goes wrong in a stranger's template is a UserError."""
    try:
        return work()
    except UserError:
        raise
    except RecursionError:
        raise UserError("The chat template is nested too deeply.") from None
    except (SecurityError, TemplateError) as error:
        raise UserError(f"The chat template cannot be used: {error!s:.200}.") from None
    except Exception as error:
        raise UserError(f"The chat template fails: {type(error).__name__}, {error!s:.200}.") from None

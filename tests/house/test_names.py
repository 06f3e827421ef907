"""Every name that code looks up exists: shape strings in annotations keep the linters from telling."""

import builtins
import dis
import importlib
import pkgutil
from types import CodeType

import pytest

import firsthand

MODULES = [info.name for info in pkgutil.walk_packages(firsthand.__path__, "firsthand.")]


def looked_up(code):
    """The global names that `code` and all functions in it load."""
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    own = {one.argval for one in dis.get_instructions(code) if one.opname == "LOAD_GLOBAL"}
    return own.union(*map(looked_up, inner))


def undefined(source, known):
    return looked_up(compile(source, "module", "exec")) - known - vars(builtins).keys()


def test_the_rule_finds_a_name_that_is_not_there():
    assert undefined("def f(x):\n    return [helper(y) for y in x if isinstance(y, int)]", {"f"}) == {"helper"}


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("__main__")])
def test_every_name_is_defined(name):
    module = importlib.import_module(name)
    assert undefined(module.__loader__.get_source(name), vars(module).keys()) == set()

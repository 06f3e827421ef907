"""Build a GPT from scratch and know every part firsthand.

`import firsthand` is cheap: a name or folder is imported when it is first used, so torch waits until it is needed.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from firsthand.errors import DamagedError, UserError
    from firsthand.opened import load

__version__ = "0.1.0"

__all__ = ["DamagedError", "UserError", "__version__", "load"]

_HOMES = {"DamagedError": "errors", "UserError": "errors", "load": "opened"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        globals()[name] = getattr(import_module(f"firsthand.{_HOMES[name]}"), name)
        return globals()[name]
    if not name.startswith("_") and find_spec(f"firsthand.{name}"):
        return import_module(f"firsthand.{name}")
    raise AttributeError(f"module 'firsthand' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(__all__) | set(globals()) - {"TYPE_CHECKING", "Any", "find_spec", "import_module"})

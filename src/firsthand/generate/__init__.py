"""From weights and a prompt to text: `complete` for strings, `generate` for ids, `sample` for one token.

They are imported when first used, so that the command line can offer generation without waiting for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from firsthand.generate.decode import generate
    from firsthand.generate.sampling import sample
    from firsthand.generate.text import complete

__all__ = ["complete", "generate", "sample"]

_HOMES = {"complete": "text", "generate": "decode", "sample": "sampling"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"firsthand.generate.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'firsthand.generate' has no attribute {name!r}")

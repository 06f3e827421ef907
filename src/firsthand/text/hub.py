"""Data sets of the Hugging Face hub: hf:OWNER/NAME[?config=NAME&split=NAME], streamed, never stored whole."""

import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any

from firsthand.errors import UserError, suggest
from firsthand.text.formats import no_field
from firsthand.types import Document


def stream(source: str, field: str) -> Iterator[Document]:
    """The documents of the data set `source` names ("train" unless it says ?split=…).

    Raises UserError as `rows` does, and when the field is missing.
    """
    split = dict(urllib.parse.parse_qsl(source.partition("?")[2])).get("split", "train")
    for i, row in enumerate(rows(source)):
        if i == 0 and field not in row:
            raise no_field(f"hf:{source}", field, row)
        yield Document(str(row[field] or ""), f"{split}:{i}", f"hf:{source}")


def rows(source: str) -> Iterator[Mapping[str, Any]]:
    """The rows of that data set. UserError when `datasets` is missing, or the set or the network is."""
    name, _, query = source.partition("?")
    options = dict(urllib.parse.parse_qsl(query))
    if unknown := [key for key in options if key not in ("config", "split")]:
        raise UserError(f"hf:{source} has no option {unknown[0]!r}. {suggest(unknown[0], ('config', 'split'))}")
    try:
        import datasets
    except ImportError as error:
        raise UserError(f"hf:{source} needs the package datasets. Install it: pip install 'firsthand[hf]'.") from error
    split = options.get("split", "train")
    try:
        rest = iter(datasets.load_dataset(name, options.get("config"), split=split, streaming=True))
        first = next(rest, None)
    except (OSError, ValueError) as error:
        raise UserError(
            f"Could not open hf:{source}: {' '.join(str(error).split())[:300]}. Check the name, ?config= and ?split=, "
            "and the network."
        ) from error
    if first is not None:
        yield first
        yield from rest

"""Data sets of the Hugging Face hub: hf:OWNER/NAME[?config=NAME&split=NAME], streamed, never stored whole."""

import urllib.parse
from collections.abc import Iterator

from firsthand.errors import UserError, suggest
from firsthand.text.formats import no_field
from firsthand.types import Document


def stream(source: str, field: str) -> Iterator[Document]:
    """The documents of the data set `source` names ("train" unless it says ?split=…).

    Raises UserError when `datasets` is missing, the set or the network is, or the field.
    """
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
        rows = iter(datasets.load_dataset(name, options.get("config"), split=split, streaming=True))
        first = next(rows, None)
    except (OSError, ValueError) as error:
        raise UserError(
            f"Could not open hf:{source}: {' '.join(str(error).split())[:300]}. Check the name, ?config= and ?split=, "
            "and the network."
        ) from error
    if first is None:
        return
    if field not in first:
        raise no_field(f"hf:{source}", field, first)
    yield Document(str(first[field] or ""), f"{split}:0", f"hf:{source}")
    for i, row in enumerate(rows, start=1):
        yield Document(str(row[field] or ""), f"{split}:{i}", f"hf:{source}")

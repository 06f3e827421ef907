"""From sources straight into token shards: what `firsthand prepare --tokenizer` writes, and what a run reads of it.

Text is cleaned and encoded on all cores as it streams by; no copy of it is written.
"""

import contextlib
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from firsthand import tokens
from firsthand.data.index import read_index
from firsthand.data.shards import Tokens
from firsthand.data.write import Shards
from firsthand.errors import DamagedError, UserError
from firsthand.text import files, prepared
from firsthand.text.prepared import TOKENS, Partial, size_of
from firsthand.tokens import TableTokenizer
from firsthand.tokens.fast import encode_parts
from firsthand.types import Document


class ShardWriter:
    """A `Target` of `prepare`: tokenizer.json, and a folder of token shards for each split.

    `workers`: processes that encode, as in `encode_parts`. Errors are those of `Partial`.
    """

    def __init__(
        self, tokenizer: TableTokenizer, workers: int | None, folder: Path, splits: list[str], overwrite: bool = False
    ) -> None:
        self._tokenizer, self._workers = tokenizer, workers
        self._partial = Partial(folder, overwrite)
        self._open = contextlib.ExitStack()
        self._shards: dict[str, Shards] = {}
        self.splits: dict[str, dict[str, Any]] = {name: {"documents": 0, "bytes": 0, "tokens": 0} for name in splits}

    def __enter__(self) -> "ShardWriter":
        self._partial.__enter__()
        size, end, made_by = (
            self._tokenizer.vocab_size,
            self._tokenizer.end_of_text,
            tokens.fingerprint(self._tokenizer),
        )
        for name in self.splits:
            self._shards[name] = self._open.enter_context(Shards(self._partial.path / name, size, end, made_by))
        return self

    def __exit__(self, *error: Any) -> None:
        with contextlib.suppress(OSError, UserError):  # of shards that are thrown away anyway
            self._open.__exit__(*error)
        self._partial.__exit__()

    def write(self, documents: Iterable[tuple[str, Document]]) -> None:
        ahead: deque[tuple[str, str, int]] = deque()

        def texts() -> Iterator[str]:
            for split, document in documents:
                ahead.append((split, document.name, size_of(document.text)))
                yield document.text

        for parts in encode_parts(self._tokenizer, texts(), self._workers):
            split, name, size = ahead.popleft()
            with files.naming(self._partial.path):
                self._shards[split].write(parts, name)
            here = self.splits[split]
            here["documents"] += 1
            here["bytes"] += size
            here["tokens"] = self._shards[split].tokens

    def commit(self, report: dict[str, Any], readable: str) -> None:
        with files.naming(self._partial.path):
            self._open.close()
            self._tokenizer.save(self._partial.path)
        self._partial.commit(TOKENS, report, readable)


def is_shards(source: object) -> bool:
    """Whether a recipe's `data.source` is a folder that `prepare --tokenizer` wrote."""
    return isinstance(source, str) and prepared.is_prepared(source, TOKENS)


def summary(source: str, tokenizer: str) -> dict[str, Any]:
    """What a run notes of the folder `source`, which stays where it is. `tokenizer`: what its recipe says of that.

    UserError if the tokenizer is another one or no documents were held out.
    """
    folder = Path(source).expanduser().absolute()
    own = tokens.fingerprint(tokens.load(folder))
    if not (Path(tokenizer) / "tokenizer.json").is_file() or tokens.fingerprint(tokens.load(tokenizer)) != own:
        raise UserError(
            f"{source} holds tokens of its own tokenizer, and the recipe says another. Set tokenizer={source}."
        )
    report = prepared.read_report(folder, TOKENS)
    splits = report["splits"]
    if "validation" not in splits:
        raise UserError(f"{source} has no documents to validate on. Prepare it with --validation 0.1.")
    return {
        "tokens": str(folder),
        "indexes": {name: read_index(folder / name)["self"] for name in ("train", "validation")},
        "train_documents": splits["train"]["documents"],
        "validation_documents": Tokens.open(folder / "validation").names,
        "train_bytes": splits["train"]["bytes"],
        "validation_bytes": splits["validation"]["bytes"],
        "text": {"prepared": source},
    }


def folder_of(summary: dict[str, Any]) -> Path:
    """Where the tokens that `summary` noted lie. DamagedError if they are others by now."""
    folder = Path(summary["tokens"])
    for name, known in summary["indexes"].items():
        if read_index(folder / name)["self"] != known:
            raise DamagedError(
                f"{folder} holds other tokens than when this run began. Put those back, or start a new run."
            )
    return folder

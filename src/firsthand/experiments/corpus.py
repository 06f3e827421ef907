"""The data of a run: from its source to token shards, in the run's own folder, made once."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from firsthand import tokens
from firsthand.assemble import tokenizer_maker
from firsthand.config import Config
from firsthand.data.shards import Tokens
from firsthand.data.write import write_shards
from firsthand.errors import UserError
from firsthand.experiments import bulk
from firsthand.parts import split
from firsthand.text.pipeline import Pipeline, is_prepared, prepare, read_split
from firsthand.text.sources import read
from firsthand.text.split import holdout
from firsthand.tokens import Tokenizer
from firsthand.tokens.fast import encode_parts
from firsthand.types import Document

Note = Callable[[str], None]
Texts = Callable[[], Iterator[Document]]
"""The documents of one side, as often as they are asked for, without holding them in memory."""


@dataclass(frozen=True)
class Corpus:
    """Token ids to train and validate on. `validation_bytes`: of the validation text in UTF-8."""

    tokenizer: Tokenizer
    train: Tokens
    validation: Tokens
    summary: dict[str, Any]

    @property
    def validation_bytes(self) -> int:
        return int(self.summary["validation_bytes"])


def make(config: Config, folder: Path, note: Note) -> None:
    """Read, clean, split and tokenize the source into `folder`; nothing happens if that was done already."""
    if (folder / "summary.json").is_file():
        return
    if bulk.is_shards(config.data.source):
        _note_shards(config, folder)
        return
    make_tokenizer = tokenizer_maker(config)
    folder.mkdir(parents=True, exist_ok=True)
    note(f"reading and cleaning {config.data.source}")
    train, validation, report = sides(config, folder)
    note(f"training the tokenizer on {_bytes(train) / 1e6:.1f} MB of text")
    tokenizer = make_tokenizer(document.text for document in train())
    tokenizer.save(folder)
    note("encoding the text")
    for name, side in (("train", train), ("validation", validation)):
        write_shards(
            encode_parts(tokenizer, (document.text for document in side())),
            folder / name,
            tokenizer.vocab_size,
            tokenizer.end_of_text,
            tokens.fingerprint(tokenizer),
            names=(document.name for document in side()),
        )
    summary = {
        "train_documents": sum(1 for _ in train()),
        "validation_documents": [document.name for document in validation()],
        "train_bytes": _bytes(train),
        "validation_bytes": _bytes(validation),
        "text": report,
    }
    _save(summary, folder)


def open_corpus(folder: Path) -> Corpus:
    """What `make` has made."""
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    tokenizer = tokens.load(folder)
    folder = bulk.folder_of(summary) if "tokens" in summary else folder
    train, validation = Tokens.open(folder / "train"), Tokens.open(folder / "validation")
    if train.fingerprint != tokens.fingerprint(tokenizer):
        raise UserError(f"{folder} holds tokens of another tokenizer. Delete the folder and run again.")
    return Corpus(tokenizer, train, _after_a_mark(validation, tokenizer), summary)


def sides(config: Config, folder: Path) -> tuple[Texts, Texts, dict[str, Any]]:
    """The documents to train on, those held out, and what cleaning did.

    A split by documents streams through `folder`/text, whatever the corpus's size; "tail" joins all texts, so it holds
    them in memory.
    """
    data = config.data
    kind, _, share = data.validation.partition(":")
    if kind == "tail":
        pipeline = Pipeline(data.clean, data.filters, data.deduplicate)
        train, validation = holdout(pipeline.run(read(data.source, data.field)), data.validation)
        return lambda: iter(train), lambda: iter(validation), pipeline.report.to_json()
    prepared, report = folder / "text", {"prepared": str(data.source)}
    if isinstance(data.source, str) and is_prepared(data.source):
        prepared = Path(data.source)
    else:
        report = prepare(
            data.source,
            prepared,
            field=data.field,
            clean=data.clean,
            filters=data.filters,
            deduplicate=data.deduplicate,
            validation=float(share),
            overwrite=True,
        )
    return lambda: read_split(prepared, "train"), lambda: read_split(prepared, "validation"), report


def _note_shards(config: Config, folder: Path) -> None:
    """Tokens that were made before are read where they lie."""
    source = config.data.source
    assert isinstance(source, str)
    if config.data.validation.startswith("tail"):
        raise UserError(
            f"data.validation={config.data.validation} cannot be had of {source}: its documents were held out when it "
            "was prepared. Leave data.validation=documents:0.1."
        )
    folder.mkdir(parents=True, exist_ok=True)
    summary = bulk.summary(source, split(config.tokenizer)[0])
    tokens.load(source).save(folder)
    _save(summary, folder)


def _save(summary: dict[str, Any], folder: Path) -> None:
    (folder / "summary.json").write_text(json.dumps(summary, ensure_ascii=False, indent=1), encoding="utf-8")


def _after_a_mark(validation: Tokens, tokenizer: Tokenizer) -> Tokens:
    """The validation text after one end-of-text mark, so that its first token is predicted too."""
    ids = validation.slice(0, len(validation))
    mark = np.array([tokenizer.end_of_text], dtype=ids.dtype)
    starts = validation.document_starts + 1
    starts[0] = 0
    return Tokens.of(np.concatenate([mark, ids]), starts, tokenizer.vocab_size, tokenizer.end_of_text)


def _bytes(side: Texts) -> int:
    return sum(len(document.text.encode("utf-8", "surrogatepass")) for document in side())

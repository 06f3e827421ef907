"""The data of a run: from its source to token shards, in the run's own folder, made once."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from firsthand import tokens
from firsthand.assemble import tokenizer_maker
from firsthand.config import Config
from firsthand.data.conversations import Conversations
from firsthand.data.shards import Tokens
from firsthand.data.write import write_shards
from firsthand.errors import UserError
from firsthand.experiments import bulk, labels, tuning
from firsthand.interop import Imported
from firsthand.parts import split
from firsthand.text.pipeline import Pipeline, is_prepared, prepare, read_split
from firsthand.text.sources import read
from firsthand.text.split import holdout
from firsthand.tokens import Tokenizer
from firsthand.tokens.chat import ChatTemplate
from firsthand.tokens.fast import encode_parts
from firsthand.types import Document, Message

Note = Callable[[str], None]
Texts = Callable[[], Iterator[Document]]
"""The documents of one side, as often as they are asked for, without holding them in memory."""


@dataclass(frozen=True)
class Corpus:
    """Token ids to train and validate on. `validation_bytes`: of the validation text in UTF-8, or of its answers.

    `vocab_size`: rows that the model's embedding needs. `chat`: the template of a model that holds conversations.
    """

    tokenizer: Tokenizer
    train: Tokens | Conversations
    validation: Tokens | Conversations
    summary: dict[str, Any]
    chat: ChatTemplate | None = None

    @property
    def vocab_size(self) -> int:
        return max(self.tokenizer.vocab_size, int(self.summary.get("vocab_size", 0)))

    @property
    def prompts(self) -> list[list[Message]]:
        """Beginnings of held-out conversations, each with its first answer."""
        return [[Message(**message) for message in prompt] for prompt in self.summary.get("prompts", [])]

    @property
    def validation_bytes(self) -> int:
        return int(self.summary["validation_bytes"])


AnyCorpus: TypeAlias = Corpus | labels.LabelledCorpus


def make(config: Config, folder: Path, note: Note, found: Imported | None = None) -> None:
    """Read, clean, split and tokenize the source into `folder`; nothing happens if that was done already.

    `found`: the model that the run begins with, whose tokenizer and template are taken.
    """
    if (folder / "summary.json").is_file():
        return
    make_kind = {"text": _make_text, "conversations": tuning.make, "labels": labels.make}[config.data.kind]
    summary = make_kind(config, folder, note, found)
    if found is not None:
        summary["vocab_size"] = found.vocab_size
    (folder / "summary.json").write_text(json.dumps(summary, ensure_ascii=False, indent=1), encoding="utf-8")


def _make_text(config: Config, folder: Path, note: Note, found: Imported | None) -> dict[str, Any]:
    if bulk.is_shards(config.data.source):
        return _note_shards(config, folder, found)
    make_tokenizer = None if found else tokenizer_maker(config)
    folder.mkdir(parents=True, exist_ok=True)
    note(f"reading and cleaning {config.data.source}")
    train, validation, report = sides(config, folder)
    if make_tokenizer:
        note(f"training the tokenizer on {_bytes(train) / 1e6:.1f} MB of text")
        tokenizer = make_tokenizer(document.text for document in train())
    else:
        assert found is not None
        tokenizer = found.tokenizer
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
    return {
        "train_documents": sum(1 for _ in train()),
        "validation_documents": [document.name for document in validation()],
        "train_bytes": _bytes(train),
        "validation_bytes": _bytes(validation),
        "text": report,
        "chat": found.chat.to_json() if found and found.chat else None,
    }


def open_corpus(folder: Path) -> AnyCorpus:
    """What `make` has made."""
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    tokenizer = tokens.load(folder)
    if "labels" in summary:
        return labels.open_corpus(folder, summary)
    chat = ChatTemplate.of_json(summary["chat"], tokenizer) if summary.get("chat") else None
    if (folder / "train" / "ids").is_dir():
        train, validation = (Conversations.open(folder / side) for side in ("train", "validation"))
        _same_tokenizer(train.ids, tokenizer, folder)
        return Corpus(tokenizer, train, validation, summary, chat)
    folder = bulk.folder_of(summary) if "tokens" in summary else folder
    text, held_out = Tokens.open(folder / "train"), Tokens.open(folder / "validation")
    _same_tokenizer(text, tokenizer, folder)
    return Corpus(tokenizer, text, _after_a_mark(held_out, tokenizer), summary, chat)


def _same_tokenizer(ids: Tokens, tokenizer: Tokenizer, folder: Path) -> None:
    if ids.fingerprint != tokens.fingerprint(tokenizer):
        raise UserError(f"{folder} holds tokens of another tokenizer. Delete the folder and run again.")


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


def _note_shards(config: Config, folder: Path, found: Imported | None) -> dict[str, Any]:
    """Tokens that were made before are read where they lie."""
    source = config.data.source
    assert isinstance(source, str)
    if config.data.validation.startswith("tail"):
        raise UserError(
            f"data.validation={config.data.validation} cannot be had of {source}: its documents were held out when it "
            "was prepared. Leave data.validation=documents:0.1."
        )
    tokenizer = tokens.load(source)
    if found and tokens.fingerprint(tokenizer) != tokens.fingerprint(found.tokenizer):
        raise UserError(
            f"{source} holds tokens of another tokenizer than that of model.weights={config.model.weights}. Prepare "
            "the texts with `firsthand prepare --tokenizer` and that model."
        )
    folder.mkdir(parents=True, exist_ok=True)
    summary = bulk.summary(source, str(source) if found else split(config.tokenizer)[0])
    tokenizer.save(folder)
    return summary | {"chat": found.chat.to_json() if found and found.chat else None}


def _after_a_mark(validation: Tokens, tokenizer: Tokenizer) -> Tokens:
    """The validation text after one end-of-text mark, so that its first token is predicted too."""
    ids = validation.slice(0, len(validation))
    mark = np.array([tokenizer.end_of_text], dtype=ids.dtype)
    starts = validation.document_starts + 1
    starts[0] = 0
    return Tokens.of(np.concatenate([mark, ids]), starts, tokenizer.vocab_size, tokenizer.end_of_text)


def _bytes(side: Texts) -> int:
    return sum(len(document.text.encode("utf-8", "surrogatepass")) for document in side())

"""Hugging Face's folders: config.json, safetensors, tokenizer.json and a chat template."""

from pathlib import Path

from firsthand.checkpoint import files, manifest
from firsthand.errors import UserError
from firsthand.interop.hugging_face.config import read_config
from firsthand.interop.hugging_face.outgoing import write_folder
from firsthand.interop.hugging_face.weights import read_weights
from firsthand.interop.hugging_face.words import read_tokenizer
from firsthand.interop.imported import Imported, chat_or_none
from firsthand.tokens.template.folder import template_in

__all__ = ["fits", "read", "write"]

write = write_folder


def fits(path: Path) -> bool:
    """Whether `path` is such a folder. One of ours has a manifest.json beside its config.json."""
    return files.size(path / "config.json") is not None and files.size(path / manifest.NAME) is None


def read(path: Path) -> Imported:
    """The model in the folder, its weights in fp32.

    UserError for a family, setting or tensor that is not known here, DamagedError for what cannot be. Nothing is
    allocated for weights before the files' tensors have been compared with what config.json asks for.
    """
    family, settings = read_config(path)
    fields, vocab_size = family.fields_of(settings), settings.whole("vocab_size")
    tokenizer = read_tokenizer(path)
    if tokenizer.vocab_size > vocab_size:
        raise UserError(
            f"The tokenizer of {path} has {tokenizer.vocab_size:,} tokens and the model knows {vocab_size:,}: they do "
            "not belong together."
        )
    weights = read_weights(path, family, fields, vocab_size)
    chat = chat_or_none(lambda: template_in(path, tokenizer), str(path))
    return Imported(fields, vocab_size, weights, tokenizer, chat)

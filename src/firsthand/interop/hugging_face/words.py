"""A folder's tokenizer and chat template, in and out."""

from pathlib import Path
from typing import Any

from firsthand import tokens
from firsthand.checkpoint import files
from firsthand.errors import UserError
from firsthand.interop.imported import Imported
from firsthand.tokens import Tokenizer


def read_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer.json. UserError if there is none, or one that is not known here."""
    if files.size(folder / "tokenizer.json") is None:
        raise UserError(
            f"{folder} has no tokenizer.json. AutoTokenizer.from_pretrained(OLD).save_pretrained(NEW) of transformers "
            "writes one from older files (vocab.json and merges.txt, tokenizer.model)."
        )
    return tokens.load(folder)


def ends(model: Imported) -> list[int]:
    """The ids at which a text of this model ends: the marks of its chat template, then what ends any text."""
    try:
        end = [model.tokenizer.end_of_text]
    except UserError:
        end = []
    return [id for id in (model.chat.stop_ids if model.chat else []) if id not in end] + end


def begin(model: Imported) -> int | None:
    """The id that a text begins with: what ended the one before it, unless the tokenizer knows better."""
    known = getattr(model.tokenizer, "begin", None)
    return known if known is not None else next(reversed(ends(model)), None)


def tokenizer_config(model: Imported) -> dict[str, Any]:
    """tokenizer_config.json, with the chat template and the tokens that it calls by name."""
    stops = ends(model)
    first = begin(model)
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "bos_token": None if first is None else model.tokenizer.decode([first]),
        "eos_token": model.tokenizer.decode(stops[:1]) or None,
        "pad_token": model.tokenizer.decode(stops[-1:]) or None,
    }
    if model.chat:
        config |= model.chat.names
        config["chat_template"] = model.chat.jinja
    return config

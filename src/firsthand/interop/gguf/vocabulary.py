"""The tokenizer and the chat template in a GGUF file, both ways."""

import sys
from typing import Any

import numpy as np

from firsthand.errors import DamagedError, UserError
from firsthand.interop.gguf.header import Header
from firsthand.interop.imported import Imported
from firsthand.tokens import Tokenizer, file
from firsthand.tokens.bpe import BPETokenizer
from firsthand.tokens.chat import ChatTemplate
from firsthand.tokens.foreign import (
    CONTROL,
    NORMAL,
    OF_BYTE,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    bpe_from_parts,
    sentencepiece_from_parts,
)
from firsthand.tokens.lead import Lead
from firsthand.tokens.sentencepiece import BYTE, SentencePieceTokenizer
from firsthand.types import Message

GGML = "tokenizer.ggml."
TEMPLATE = "tokenizer.chat_template"
LLAMA3 = ("llama-bpe", "llama3", "llama-v3")
"""Tokenizers that begin each text with a token of its own where the file does not say."""

PRE = {
    ("gpt2", False): "gpt-2",
    ("smollm", False): "smollm",
    ("cl100k", False): "dbrx",
    ("cl100k", True): "llama-bpe",
    ("qwen2", False): "qwen2",
    ("o200k", False): "gpt-4o",
    ("tekken", True): "tekken",
}
"""How llama.cpp calls a way to cut text, by our name and whether whole pieces become tokens whatever their merges."""


def tokenizer_of(header: Header, rows: int) -> Tokenizer:
    """The file's tokenizer, of at most `rows` tokens. UserError for a kind or a way to cut text not known here."""
    kind, pre = header.fields.get(f"{GGML}model"), header.fields.get(f"{GGML}pre")
    if kind not in ("gpt2", "llama"):
        raise UserError(
            f"The tokenizer in this GGUF file is of the kind {kind!r:.40}. Known are gpt2, byte-level BPE, and llama, "
            "SentencePiece's BPE."
        )
    tokens, merges = (header.fields.get(f"{GGML}{name}") for name in ("tokens", "merges"))
    types = header.fields.get(f"{GGML}token_type", np.zeros(0, np.int32))
    if not isinstance(tokens, list) or not isinstance(types, np.ndarray):
        raise DamagedError("The tokenizer in this GGUF file lacks its tokens or their types.")
    if len(tokens) > rows:
        raise DamagedError(f"This GGUF file has {len(tokens):,} tokens and an embedding for {rows:,}.")
    adds = header.fields.get(f"{GGML}add_bos_token", kind == "llama" or pre in LLAMA3)
    marks = {"begin": _id(header, "bos_token_id") if adds else None, "end": _id(header, "eos_token_id")}
    if kind == "llama":
        scores = header.fields.get(f"{GGML}scores")
        if not isinstance(scores, np.ndarray):
            raise DamagedError("The tokenizer in this GGUF file lacks its tokens' scores.")
        lead = header.fields.get(f"{GGML}add_space_prefix", True) is not False
        return sentencepiece_from_parts(tokens, scores.tolist(), types.tolist(), lead=lead, **marks)
    if not isinstance(merges, list):
        raise DamagedError("The tokenizer in this GGUF file lacks its merges.")
    return bpe_from_parts(tokens, merges, str(pre), types.tolist(), **marks)


def _id(header: Header, name: str) -> int | None:
    value = header.fields.get(f"{GGML}{name}")
    return value if type(value) is int else None


def chat_of(header: Header, tokenizer: Tokenizer) -> ChatTemplate | None:
    """The file's chat template; None without one. UserError for one that cannot be followed here."""
    source = header.fields.get(TEMPLATE)
    return ChatTemplate(source, tokenizer) if isinstance(source, str) else None


def vocabulary_of(model: Imported) -> dict[str, Any]:
    """The keys of a model's tokenizer and template. UserError for a tokenizer that llama.cpp does not have."""
    tokenizer = model.tokenizer
    if isinstance(tokenizer, BPETokenizer):
        own, names = _byte_level(tokenizer), [file.show(token) for token in tokenizer.tokens]
    elif isinstance(tokenizer, SentencePieceTokenizer):
        own, names = _sentencepiece(tokenizer, model.vocab_size), list(tokenizer.names)
    else:
        raise UserError(
            f"A GGUF file cannot hold this model: its tokenizer is {type(tokenizer).__name__}, and llama.cpp knows "
            "byte-level BPE (train with tokenizer=bpe) and SentencePiece's."
        )
    names += [""] * (model.vocab_size - len(names))
    types = [NORMAL if name else UNUSED for name in names]
    if isinstance(tokenizer, SentencePieceTokenizer):
        types = [OF_BYTE if BYTE.fullmatch(name) else type for name, type in zip(names, types, strict=True)]
    for kind, marks in ((CONTROL, tokenizer.special_tokens), (USER_DEFINED, tokenizer.added_tokens)):
        for name, id in marks.items():
            names[id], types[id] = name, UNKNOWN if id == tokenizer.unknown else kind
    keys: dict[str, Any] = {
        **own,
        f"{GGML}tokens": [name or f"[PAD{id}]" for id, name in enumerate(names)],
        f"{GGML}token_type": types,
        f"{GGML}add_bos_token": tokenizer.begin is not None,
    }
    keys[f"{GGML}eos_token_id"] = _end_of_answer(model.chat, tokenizer) if model.chat else tokenizer.end_of_text
    keys[f"{GGML}bos_token_id"] = tokenizer.end_of_text if tokenizer.begin is None else tokenizer.begin
    if model.chat:
        keys[TEMPLATE] = model.chat.jinja
    return keys


def _byte_level(tokenizer: BPETokenizer) -> dict[str, Any]:
    merges = tokenizer.to_json()["model"]["merges"]
    if not merges:
        raise UserError("A GGUF file cannot hold this model: its tokenizer has no merges. Train a larger vocabulary.")
    name, whole = tokenizer.split.name, tokenizer.whole
    if (name, whole) not in PRE:
        does = "takes" if whole else "merges"
        raise UserError(
            f"A GGUF file cannot hold this model: its tokenizer cuts text by {name} and {does} whole pieces, and "
            "llama.cpp does not have the two together."
        )
    return {
        f"{GGML}model": "gpt2",
        f"{GGML}pre": PRE[name, whole],
        f"{GGML}merges": merges,
    }


def _sentencepiece(tokenizer: SentencePieceTokenizer, rows: int) -> dict[str, Any]:
    """llama.cpp puts a space before every text, or before none; what is between is written as before every text."""
    if tokenizer.lead in (Lead.MISSING, Lead.FIRST):
        sys.stderr.write(
            "The tokenizer puts a space before a text where none stands; llama.cpp puts it before every text"
            f"{' and behind every mark' if tokenizer.lead is Lead.FIRST else ''}. Other texts have the same ids.\n"
        )
    unknown = {f"{GGML}unknown_token_id": tokenizer.unknown} if tokenizer.unknown >= 0 else {}
    return {
        f"{GGML}model": "llama",
        f"{GGML}pre": "default",
        f"{GGML}scores": [*tokenizer.scores(), *[0.0] * rows][:rows],
        f"{GGML}add_space_prefix": tokenizer.lead is not Lead.NEVER,
        **unknown,
    }


def _end_of_answer(chat: ChatTemplate, tokenizer: Tokenizer) -> int:
    """The token that a model learns to end its answers with; that which ends texts, if the template has none."""
    talk = chat.encode([Message("user", "a"), Message("assistant", "b")])
    last = [id for id, learn in zip(talk.ids, talk.learn, strict=True) if learn][-1]
    return last if last in tokenizer.special_tokens.values() else tokenizer.end_of_text

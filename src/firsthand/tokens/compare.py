"""What sets tokenizers apart: how many bytes a token holds, in which scripts, how fast, and what is lost."""

import time
from collections.abc import Sequence
from typing import Any

import regex

from firsthand.tokens import TableTokenizer
from firsthand.tokens.fast import Engine

_SAMPLES = {
    "Latin": "The moon is bright tonight, and the sea lies still. La lune brille ce soir, et la mer se tait.",
    "Greek": "Το φεγγάρι λάμπει απόψε και η θάλασσα είναι ήσυχη.",
    "Cyrillic": "Сегодня ночью ярко светит луна, и море спокойно.",
    "Arabic": "القمر ساطع الليلة والبحر هادئ.",
    "Hebrew": "הירח בהיר הלילה והים שקט.",
    "Devanagari": "आज रात चाँद चमक रहा है और समुद्र शांत है।",
    "Thai": "คืนนี้พระจันทร์สว่างและทะเลสงบ",
    "Han": "今晚月亮很亮，大海很平静。",
    "Kana": "こんやはつきがあかるく、うみはしずかです。",
    "Hangul": "오늘 밤 달은 밝고 바다는 고요하다.",
    "digits": "3.14159, 2048, 1600-01-01, 18:30, 1,000,000",
    "emoji": "🌕🌊😴👩‍🚀👍🏽❤️🏳️‍🌈",
    "code": "for i in range(10):\n    total += weights[i] * x[i]\n",
}
"""A few words in each script: what a vocabulary makes of text unlike that which it was trained on."""
_WORD = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]\p{M}*|[\p{L}\p{M}\p{N}_]+|\p{Emoji_Presentation}")


def measure(tokenizer: TableTokenizer, texts: Sequence[str]) -> dict[str, Any]:
    """Figures for `texts`, as plain values.

    `bytes_per_token`; `fertility`: tokens per word in each script of _SAMPLES, where a word of a script that is written
    without spaces is a character; `unknown`: share of tokens that stand for something never seen in training;
    `round_trip`: whether decoding gives the texts back; `lost`: the samples that it does not give back; `cold` and
    `warm`: million bytes encoded a second on one core, with the memo empty and full.
    """
    size = sum(len(text.encode(errors="replace")) for text in texts)
    engine = Engine(tokenizer)
    cold, ids = _timed(engine, texts)
    warm, _ = _timed(engine, texts)
    count = sum(map(len, ids))
    return {
        "kind": tokenizer.kind,
        "vocab_size": tokenizer.vocab_size,
        "bytes": size,
        "tokens": count,
        "bytes_per_token": size / max(count, 1),
        "unknown": sum(int((array == tokenizer.unknown).sum()) for array in ids) / max(count, 1),
        "round_trip": all(tokenizer.decode(array) == text for array, text in zip(ids, texts, strict=True)),
        "lost": [name for name, text in _SAMPLES.items() if tokenizer.decode(tokenizer.encode(text)) != text],
        "cold": size / 1e6 / cold,
        "warm": size / 1e6 / warm,
        "fertility": {name: fertility(tokenizer, text) for name, text in _SAMPLES.items()},
    }


def fertility(tokenizer: TableTokenizer, text: str) -> float:
    """Tokens per word of `text`."""
    return len(tokenizer.encode(text)) / max(len(_WORD.findall(text)), 1)


def _timed(engine: Engine, texts: Sequence[str]) -> tuple[float, list[Any]]:
    start = time.perf_counter()
    ids = engine.encode(texts)
    return max(time.perf_counter() - start, 1e-9), ids

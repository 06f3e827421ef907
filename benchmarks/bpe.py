"""Claim: byte-level BPE in Python and NumPy keeps up with compiled tokenizers on real text; merges and ids are equal.

Plays with 8,192 tokens and Python sources with 32,768; FIRSTHAND_BENCH_TEXT=PATH puts a file or folder in the latter's
place (with fewer tokens if the text is small). Training: peers on all cores that this process may use. Encoding: one
thread, by turns. Cold: an empty memo (ours), a new object (theirs). Warm: the same texts once more. New text: held out,
of the same kind, after these. Best of three; merges and ids are compared in every turn. "hits": the share of chunks
that our memo knew. "peak": memory of a process of its own that encodes the texts, cold, beyond that of reading them.
FIRSTHAND_FUZZ=1000000 compares the ids of so many random strings too.
"""

import json
import os
import random
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from firsthand.text.sources import read
from firsthand.tokens import TOKENIZERS, TableTokenizer
from firsthand.tokens.fast import Engine

LIMIT = 25_000_000
"""Bytes of Python sources."""
HELD_OUT = 5_000_000
"""Bytes that come after those trained on, encoded with the memo that these have left: what is new is learnt."""
FUZZ = int(os.environ.get("FIRSTHAND_FUZZ", "0"))
"""So many random strings must give tiktoken's ids; 1000000 takes a minute or two."""


def rows() -> list[dict[str, Any]]:
    plays = [document.text for document in read("shakespeare")]
    texts = _other_texts()
    code, held_out = _upto(texts, LIMIT), _upto(texts, HELD_OUT)
    if not held_out:  # one text of one's own: its last tenth
        code, held_out = [text[: len(text) * 9 // 10] for text in code], [text[len(text) * 9 // 10 :] for text in code]
    return [*_rows("plays", plays[:-4], plays[-4:], 8192), *_rows("other", code, held_out, _size_for(code))]


def _size_for(texts: list[str]) -> int:
    """Tokens that these texts support."""
    return min(32_768, 1 << (max(512, int(1e3 * _size(texts))).bit_length()))


def _rows(name: str, texts: list[str], held_out: list[str], vocab_size: int) -> list[dict[str, Any]]:
    turns = _Turns()
    for _ in range(3):
        ours = turns.time("train", "firsthand", lambda: TOKENIZERS["bpe"].train(texts, vocab_size=vocab_size))
        for peer, train in (("tokenizers", _hugging_face_merges), ("rustbpe", _rustbpe)):
            merges = turns.time("train", peer, lambda: train(texts, vocab_size))  # noqa: B023
            if peer == "tokenizers" and merges is not None:  # rustbpe decides ties otherwise
                assert merges == ours.to_json()["model"]["merges"], "the merges differ"
    sizes = {"train": _size(texts)} | dict.fromkeys(("cold", "warm"), _size(texts)) | {"new text": _size(held_out)}
    hits: dict[str, float] = {}
    for _ in range(3):
        engine = Engine(ours)
        encoders = {"firsthand": engine.encode, "tokenizers": _hugging_face(ours), "tiktoken": _tiktoken(ours)}
        for state, some in (("cold", texts), ("warm", texts), ("new text", held_out)):
            engine.asked = engine.missed = 0
            found = {who: turns.time(state, who, lambda: encode(some)) for who, encode in encoders.items()}  # noqa: B023
            for ids in found.values():
                assert ids is None or all(
                    list(a) == list(b) for a, b in zip(found["firsthand"] or [], ids, strict=True)
                ), "the ids differ"
            hits[state] = 1 - engine.missed / max(engine.asked, 1)
    if FUZZ:
        _fuzz(ours)
    return [
        {
            "text": name,
            "what": what,
            "who": who,
            "seconds": seconds,
            "MB/s": sizes[what] / seconds if seconds else "not installed",
            "our speed over theirs": seconds / turns.best[what, "firsthand"] if seconds else "",
            "hits": hits.get(what, "") if who == "firsthand" else "",
            "peak (MB)": peak_of(ours, texts, who) / 1e6 if what == "cold" and seconds else "",
        }
        for (what, who), seconds in turns.best.items()
    ]


class _Turns:
    """The best time of each piece of work; 0 where a peer is not installed."""

    def __init__(self) -> None:
        self.best: dict[tuple[str, str], float] = {}

    def time(self, what: str, who: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        try:
            result = work()
        except ImportError:
            self.best[what, who] = 0.0
            return None
        self.best[what, who] = min(self.best.get((what, who), 1e9), time.perf_counter() - start)
        return result


def _other_texts() -> Iterator[str]:
    """What FIRSTHAND_BENCH_TEXT names, or the standard library's sources and then those of what is installed."""
    if path := os.environ.get("FIRSTHAND_BENCH_TEXT"):
        return iter([document.text for document in read(path)])
    folders = [Path(sysconfig.get_paths()[name]) for name in ("stdlib", "purelib")]
    files = (file for folder in folders for file in sorted(folder.rglob("*.py")))
    return (file.read_text(encoding="utf-8", errors="replace") for file in dict.fromkeys(files))


def _upto(texts: Iterator[str], limit: int) -> list[str]:
    taken, size = [], 0
    for text in texts:
        taken.append(text)
        size += len(text.encode(errors="replace"))
        if size >= limit:
            break
    return taken


def _size(texts: Iterable[str]) -> float:
    return sum(len(text.encode(errors="replace")) for text in texts) / 1e6


def _hugging_face_merges(texts: list[str], vocab_size: int) -> list[str]:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return [" ".join(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]


def _rustbpe(texts: list[str], vocab_size: int) -> None:
    import rustbpe

    pattern = TOKENIZERS["bpe"].train([]).split.pattern
    rustbpe.Tokenizer().train_from_iterator(iter(texts), vocab_size - 1, pattern=pattern)


def _hugging_face(ours: TableTokenizer) -> Callable[[list[str]], Any]:
    made: list[Any] = []

    def encode(texts: list[str]) -> Any:
        from tokenizers import Tokenizer

        if not made:
            made.append(Tokenizer.from_str(json.dumps(ours.to_json())))
            made[0].encode_special_tokens = True
        return [made[0].encode(text).ids for text in texts]

    return encode


def _tiktoken(ours: TableTokenizer) -> Callable[[list[str]], Any]:
    made: list[Any] = []

    def encode(texts: list[str]) -> Any:
        from tiktoken import Encoding

        if not made:
            ranks = {token: id for id, token in enumerate(ours.tokens[:-1])}
            pattern, special = ours.split.pattern, ours.special_tokens
            made.append(Encoding("ours", pat_str=pattern, mergeable_ranks=ranks, special_tokens=special))
        return [made[0].encode_to_numpy(text, disallowed_special=()) for text in texts]

    return encode


PEAK = """
import json, sys
from benchmarks.bpe import ENCODERS
from benchmarks.process import peak_kilobytes
from firsthand.tokens import load

tokenizer, texts = load(sys.argv[1]), json.load(open(sys.argv[1] + "/texts.json"))
before = peak_kilobytes()
ENCODERS[sys.argv[2]](tokenizer)(texts)
print(1024 * (peak_kilobytes() - before))
"""


def peak_of(tokenizer: TableTokenizer, texts: list[str], who: str) -> float:
    """Bytes that a fresh process needs to encode the texts, the ids of all of them held, beyond reading them."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(folder)
        Path(folder, "texts.json").write_text(json.dumps(texts), encoding="utf-8")
        done = subprocess.run([sys.executable, "-c", PEAK, folder, who], check=True, capture_output=True, text=True)
    return float(done.stdout)


ENCODERS: dict[str, Callable[[TableTokenizer], Callable[[list[str]], Any]]] = {
    "firsthand": lambda ours: Engine(ours).encode,
    "tokenizers": _hugging_face,
    "tiktoken": _tiktoken,
}


def _fuzz(ours: TableTokenizer) -> None:
    """Strings of characters from many scripts, controls, white space, long runs, and of random bytes."""
    draw = random.Random(0)
    ranges = [(0, 128), (0, 33), (0x80, 0x250), (0x300, 0x370), (0x370, 0xD800), (0x2000, 0x2070), (0x1F300, 0x1FB00)]
    engine, peer = Engine(ours), _tiktoken(ours)

    def string() -> str:
        if draw.random() < 0.1:
            return draw.randbytes(draw.randrange(20)).decode(errors="replace")
        parts = [chr(draw.randrange(*draw.choice(ranges))) for _ in range(draw.randrange(12))]
        return "".join(part * (draw.randrange(200) if draw.random() < 0.01 else 1) for part in parts)

    for start in range(0, FUZZ, 10_000):
        texts = [string() for _ in range(min(10_000, FUZZ - start))]
        for text, mine, theirs in zip(texts, engine.encode(texts), peer(texts), strict=True):
            assert mine.tolist() == theirs.tolist(), f"the ids of {text!r} differ"

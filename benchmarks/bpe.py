"""Claim: byte-level BPE in plain Python keeps up with compiled tokenizers on real text. Ids and merges are compared.

Best of three, interleaved. Cold: an empty memo (ours), a new object (theirs). Warm: the same texts once more.
"""

import json
import time
from collections.abc import Callable
from typing import Any

from firsthand.text.sources import read
from firsthand.tokens import TOKENIZERS, TableTokenizer
from firsthand.tokens.fast import Engine

VOCAB_SIZE = 8192


def rows() -> list[dict[str, Any]]:
    texts = [document.text for document in read("shakespeare")]
    size = sum(len(text.encode()) for text in texts) / 1e6
    best: dict[tuple[str, str], float] = {}

    def timed(what: str, who: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = work()
        best[what, who] = min(best.get((what, who), 1e9), time.perf_counter() - start)
        return result

    for _ in range(3):
        ours = timed("train", "firsthand", lambda: TOKENIZERS["bpe"].train(texts, vocab_size=VOCAB_SIZE))
        trained = timed("train", "tokenizers", lambda: _train_peer(texts))
        engine, theirs, openai = Engine(ours), _hugging_face(ours), _tiktoken(ours)
        for state in ("cold", "warm"):
            ids = timed(f"encode, {state}", "firsthand", lambda: engine.encode(texts))  # noqa: B023
            peer = timed(f"encode, {state}", "tokenizers", lambda: [theirs.encode(text).ids for text in texts])  # noqa: B023
            numpy = openai.encode_to_numpy
            other = timed(f"encode, {state}", "tiktoken", lambda: [numpy(text) for text in texts])  # noqa: B023
            assert all(a.tolist() == b == c.tolist() for a, b, c in zip(ids, peer, other, strict=True))
        mine, expected = ours.to_json()["model"]["merges"], json.loads(trained.to_str())["model"]["merges"]
        assert mine == [" ".join(pair) for pair in expected], "the merges differ"
    return [
        {"what": what, "who": who, "seconds": seconds, "MB/s": size / seconds} for (what, who), seconds in best.items()
    ]


def _train_peer(texts: list[str]) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _hugging_face(ours: TableTokenizer) -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_str(json.dumps(ours.to_json()))


def _tiktoken(ours: TableTokenizer) -> Any:
    from tiktoken import Encoding

    ranks = {token: id for id, token in enumerate(ours.tokens[:-1])}
    return Encoding("ours", pat_str=ours.split.pattern, mergeable_ranks=ranks, special_tokens=ours.special_tokens)

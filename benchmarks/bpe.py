"""Claim: byte-level BPE in plain Python keeps up with compiled tokenizers on real text. Ids and merges are compared."""

import time
from typing import Any

from firsthand.text.sources import read
from firsthand.tokens import TOKENIZERS
from firsthand.tokens.fast import encode_all

VOCAB_SIZE = 8192


def rows() -> list[dict[str, Any]]:
    texts = [document.text for document in read("shakespeare")]
    size = sum(len(text.encode()) for text in texts) / 1e6
    found = []

    def timed(what: str, who: str, work: Any) -> Any:
        start = time.perf_counter()
        result = work()
        seconds = time.perf_counter() - start
        found.append({"what": what, "who": who, "seconds": seconds, "MB/s": size / seconds})
        return result

    ours = timed("train", "firsthand", lambda: TOKENIZERS["bpe"].train(texts, vocab_size=VOCAB_SIZE))
    theirs = timed("train", "tokenizers", lambda: _train_peer(texts))
    same_merges = theirs.get_vocab_size() == ours.vocab_size
    ids = timed("encode, one process, cold", "firsthand", lambda: list(encode_all(ours, texts, workers=1)))
    timed("encode, one process, warm", "firsthand", lambda: list(encode_all(ours, texts, workers=1)))
    peer_ids = timed("encode", "tokenizers", lambda: [theirs.encode(text).ids for text in texts])
    equal = all(list(mine) == other for mine, other in zip(ids, peer_ids, strict=True))
    found.append(
        {"what": "check", "who": f"ids equal: {equal}, sizes equal: {same_merges}", "seconds": 0.0, "MB/s": 0.0}
    )
    return found


def _train_peer(texts: list[str]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer

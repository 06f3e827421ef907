"""Texts window by window, against whole rows of logits."""

import math

import pytest
import torch

from firsthand.data.packing import windows
from firsthand.errors import UserError
from firsthand.evaluate import texts
from firsthand.types import IGNORE, Document

from .small_models import TEXT, model, tokenizer

DOCUMENTS = [Document(TEXT, "long"), Document("x", "one"), Document("", "none"), Document("not to be 😀", "short")]


def nats_of(own, ids, first, stop, start):
    """-ln p of ids[first:stop] by a row that begins at `start`."""
    with torch.no_grad():
        scores = own(torch.tensor([ids[start : stop - 1]])).log_softmax(-1)[0]
    return -sum(scores[i - 1 - start, ids[i]].item() for i in range(first, stop))


@pytest.mark.parametrize("kind", ["bpe", "char"])
@pytest.mark.parametrize("stride", [None, 24, 7, 1])
def test_every_token_but_the_first_is_a_target_once(kind, stride, monkeypatch):
    monkeypatch.setattr(texts, "BATCH_TOKENS", 100)
    monkeypatch.setattr(texts, "TOGETHER", 5)
    words = tokenizer(kind)
    own = model(words.vocab_size)
    passages = list(texts.read(own, texts.cut(words, DOCUMENTS, 24, stride)))
    assert [passage.document for passage in passages] == sorted(passage.document for passage in passages)
    for document in DOCUMENTS:
        mine = [passage for passage in passages if passage.document == document.name]
        ids = words.encode(document.text)
        targets = [i for passage in mine for i in range(passage.start, passage.start + passage.tokens)]
        assert targets == list(range(1, len(ids)))
        size = len(document.text.encode()) - len(words.decode_bytes(ids[:1]))
        assert sum(passage.bytes for passage in mine) == (size if targets else 0)
        for passage in mine[:3] + mine[-1:]:
            stop = passage.start + passage.tokens
            start = 0 if passage.start == 1 else passage.start - 1 - (24 - (stride or 24))
            assert passage.nats == pytest.approx(nats_of(own, ids, passage.start, stop, start), abs=1e-3)


def test_without_a_stride_the_windows_are_those_of_training():
    words = tokenizer()
    own = model(words.vocab_size)
    ids = torch.tensor(words.encode(TEXT))
    x, y = windows(ids, 24)
    with torch.no_grad():
        loss = torch.nn.functional.cross_entropy(own(x).flatten(0, 1), y.flatten(), ignore_index=IGNORE)
    found = texts.report(list(texts.read(own, texts.cut(words, DOCUMENTS[:1], 24))))
    assert found.nats_per_token.value == pytest.approx(loss.item(), rel=1e-5)
    assert found.score.targets == len(ids) - 1
    assert found.documents == 1


def test_texts_begin_as_they_do_for_the_tokenizer():
    """The token that begins them stands for no bytes and is no target; after it the first one is."""
    words = tokenizer(special_tokens=("<|endoftext|>", "<|begin|>"))
    words.begin = words.special_tokens["<|begin|>"]
    own = model(words.vocab_size)
    [passage] = texts.read(own, texts.cut(words, [Document("to be", "short")], 24))
    ids = [words.begin, *words.encode("to be")]
    assert (passage.start, passage.tokens, passage.bytes) == (1, len(ids) - 1, 5)
    assert passage.nats == pytest.approx(nats_of(own, ids, 1, len(ids), 0), abs=1e-4)


def test_the_report_is_a_ratio_of_sums():
    passages = [texts.Passage("a", 1, 3, 10.0, 6.0), texts.Passage("b", 1, 1, 2.0, 4.0)]
    found = texts.report(passages)
    assert found.nats_per_token.value == 2.5
    assert found.score.perplexity == pytest.approx(math.exp(2.5))
    assert found.bits_per_byte.value == pytest.approx(10 / math.log(2) / 12)
    assert found.nats_per_token.low <= 2.5 <= found.nats_per_token.high
    assert (found.documents, found.bytes) == (2, 12)


def test_bytes_are_spread_where_ids_do_not_keep_them():
    words = tokenizer("word")
    text = "To be, or xylophone not"
    cut = texts.cut(words, [Document(text, "a")], 8)
    assert cut.unknown == words.encode(text).count(words.unknown) > 0
    assert cut.bytes_per_id[0].sum() == pytest.approx(len(text))


def test_refusals():
    words = tokenizer("char")
    for stride in (0, 9):
        with pytest.raises(UserError, match="between 1 and the window of 8"):
            texts.cut(words, DOCUMENTS, 8, stride)
    with pytest.raises(UserError, match="nothing to predict"):
        texts.cut(words, DOCUMENTS[1:3], 8)

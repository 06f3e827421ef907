"""Byte-level BPE: Hugging Face's merges on three corpora, and the ids of Hugging Face and tiktoken."""

import json
import random
from collections import Counter

import pytest
import tokenizers
from tokenizers import models, pre_tokenizers, trainers

from firsthand.errors import DamagedError, UserError
from firsthand.tokens import TOKENIZERS, load
from firsthand.tokens.bpe import (
    BPETokenizer,
    apply_merges,
    apply_merges_long,
    apply_merges_short,
    bpe_decode,
    bpe_encode,
    count_pairs,
    learn_merges,
    merge,
    train_bpe,
)
from firsthand.tokens.fast import encode_all
from firsthand.tokens.splits import CL100K, GPT2

SIZE = 3000


@pytest.fixture(scope="module", params=["plays", "python_sources", "many_scripts"])
def texts(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module", params=["gpt2", "cl100k", "o200k", "tekken"])
def tokenizer(request, plays, many_scripts):
    return BPETokenizer.train([*plays[:8], *many_scripts[:3]], 3000, split=request.param)


def _trained_by_hugging_face(texts, size, split=GPT2):
    other = tokenizers.Tokenizer(models.BPE())
    other.pre_tokenizer = pre_tokenizers.ByteLevel(False)
    if split is CL100K:
        cut = pre_tokenizers.Split(tokenizers.Regex(split.pattern), "isolated")
        other.pre_tokenizer = pre_tokenizers.Sequence([cut, pre_tokenizers.ByteLevel(False, use_regex=False)])
    trainer = trainers.BpeTrainer(
        vocab_size=size, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    other.train_from_iterator(texts, trainer)
    return other


def _merges(tree):
    return [merge.split(" ") if isinstance(merge, str) else merge for merge in tree["model"]["merges"]]


def test_merges_are_hugging_faces(texts):
    ours = BPETokenizer.train(texts, SIZE)
    theirs = json.loads(_trained_by_hugging_face(texts, SIZE - 1).to_str())
    assert len(ours.merges) == SIZE - 257
    assert _merges(ours.to_json()) == _merges(theirs)
    assert ours.to_json()["model"]["vocab"] == theirs["model"]["vocab"]


def test_merges_are_hugging_faces_with_the_other_split(many_scripts):
    ours = BPETokenizer.train(many_scripts[:4], 2000, split="cl100k")
    theirs = json.loads(_trained_by_hugging_face(many_scripts[:4], 1999, CL100K).to_str())
    assert _merges(ours.to_json()) == _merges(theirs)


@pytest.mark.parametrize("seed", range(12))
def test_ties_and_overlaps_are_decided_as_hugging_face_does(seed):
    """Runs and few letters: nearly every choice is a tie, and every second pair overlaps itself."""
    draw = random.Random(seed)
    parts = ["a" * draw.randint(1, 17), "b", "ab" * draw.randint(1, 6), "aab" * draw.randint(1, 5), "c"]
    text = " ".join("".join(draw.choices(parts, k=draw.randrange(1, 5))) for _ in range(40))
    theirs = _merges(json.loads(_trained_by_hugging_face([text], 10_000).to_str()))
    assert _merges(BPETokenizer.of_merges(train_bpe(text, 10_000)).to_json()) == theirs


def test_ids_are_hugging_faces_and_tiktokens(tokenizer, fuzzed, hugging_face, tiktoken_of):
    fuzzed = fuzzed if tokenizer.split is GPT2 else fuzzed[::4]
    ours = [ids.tolist() for ids in encode_all(tokenizer, fuzzed)]
    assert len(ours) == (100_000 if tokenizer.split is GPT2 else 25_000)
    assert ours == [found.ids for found in hugging_face(tokenizer).encode_batch_fast(fuzzed, add_special_tokens=False)]
    encode = tiktoken_of(tokenizer).encode_ordinary
    assert ours == [encode(text) for text in fuzzed]


def test_text_comes_back_from_every_string(tokenizer, fuzzed):
    wrong = [text for text in fuzzed[::30] if tokenizer.decode(tokenizer.encode(text)) != text]
    assert wrong == []


def test_pairs_and_merging_by_hand():
    assert count_pairs([1, 2, 1, 2, 3]) == {(1, 2): 2, (2, 1): 1, (2, 3): 1}
    assert count_pairs([1]) == Counter()
    assert merge([1, 1, 1, 1, 1], (1, 1), 9) == [9, 9, 1]
    assert merge([1, 2, 3, 1, 2], (1, 2), 9) == [9, 3, 9]
    assert merge([], (1, 2), 9) == []


def test_merges_are_learnt_one_after_another_by_recounting():
    """What the heap and the chain keep up to date is what counting everything anew would say."""
    draw = random.Random(3)
    words = Counter(bytes(draw.choices(b"abcd", k=draw.randrange(1, 30))) for _ in range(200))
    sequences = {word: [BPETokenizer.of_merges([]).byte_ids[b] for b in word] for word in words}
    expected = []
    for new_id in range(256, 376):
        counts = Counter()
        for word, ids in sequences.items():
            for pair, n in count_pairs(ids).items():
                counts[pair] += n * words[word]
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        sequences = {word: merge(ids, best, new_id) for word, ids in sequences.items()}
        expected.append(best)
    assert learn_merges(words, 120) == expected


def test_short_and_long_pieces_are_encoded_as_defined(tokenizer, many_scripts):
    draw = random.Random(5)
    text = "".join(many_scripts)
    starts = [draw.randrange(len(text) - 200) for _ in range(300)]
    pieces = [text[start : start + draw.randrange(1, 60)] for start in starts] + ["a" * n for n in range(1, 70)]
    for piece in pieces:
        ids = [tokenizer.byte_ids[b] for b in piece.encode()]
        expected = apply_merges(list(ids), tokenizer.merges)
        assert apply_merges_short(list(ids), tokenizer.merges) == expected
        assert apply_merges_long(list(ids), tokenizer.merges) == expected


def test_the_lessons_functions_agree_with_the_tokenizer(plays):
    text = plays[0][:50_000]
    merges = train_bpe(text, 500)
    tokenizer = BPETokenizer.of_merges(merges)
    assert len(merges) == 244
    assert bpe_encode(text[:9000], merges) == tokenizer.encode(text[:9000])
    assert bpe_decode(tokenizer.encode(text), merges) == text
    assert bpe_encode("", merges) == []


def test_specials_are_found_only_where_the_caller_names_them():
    text = "to be<eot>to be<eot>"
    merges = train_bpe(text, 300, specials=("<eot>",))
    made = BPETokenizer.of_merges(merges, ("<eot>",))
    assert b"eot" not in b"|".join(made.tokens[256:-1])
    ids = bpe_encode(text, merges, specials=("<eot>",))
    assert ids.count(256 + len(merges)) == 2
    assert bpe_decode(ids, merges, specials=("<eot>",)) == text
    assert 256 + len(merges) not in bpe_encode(text, merges)


def test_a_vocabulary_larger_than_the_data_support_names_the_largest():
    with pytest.raises(UserError, match=r"at most 262 tokens"):
        BPETokenizer.train(["aa bb aa", "cd"], 5000)
    assert BPETokenizer.train(["aa bb aa", "cd"], 262).vocab_size == 262
    assert BPETokenizer.train(["aa bb aa", "cd"]).vocab_size == 262
    with pytest.raises(UserError, match="at least 257"):
        BPETokenizer.train(["aa"], 100)
    with pytest.raises(UserError, match="Did you mean 'cl100k'"):
        BPETokenizer.train(["aa"], split="cl100")


def test_a_file_that_hugging_face_trained_is_read(tmp_path, plays):
    """Special tokens first, so that all ids are shifted."""
    other = _trained_by_hugging_face(plays[:2], 1)
    other.train_from_iterator(
        plays[:2],
        trainers.BpeTrainer(
            vocab_size=900,
            show_progress=False,
            special_tokens=["<|endoftext|>", "<|x|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    other.save(str(tmp_path / "tokenizer.json"))
    ours = load(tmp_path)
    assert ours.special_tokens == {"<|endoftext|>": 0, "<|x|>": 1}
    assert ours.end_of_text == 0
    text = plays[1][:20_000]
    assert ours.encode(text) == other.encode(text).ids
    ours.save(tmp_path)
    assert load(tmp_path).encode(text) == other.encode(text).ids


@pytest.mark.parametrize(
    "merges",
    [
        ["a"],
        ["a b", "a b"],
        ["ab c"],
        ["a zz"],
        [["a", "b", "c"]],
        [["a", 1]],
        ["a  b"],
        7,
        [None],
        ["a <|endoftext|>"],
    ],
)
def test_merges_that_make_no_sense_are_refused(merges):
    tree = BPETokenizer.of_merges([(64, 65), (65, 64)]).to_json()
    tree["model"]["merges"] = merges
    with pytest.raises(DamagedError):
        TOKENIZERS["bpe"].from_json(tree)

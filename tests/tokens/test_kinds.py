"""Characters, bytes, words and WordPiece, each by hand; tests for all kinds are in test_contract.py."""

import pytest

from firsthand.errors import UserError
from firsthand.tokens import TOKENIZERS
from firsthand.tokens.byte import ByteTokenizer
from firsthand.tokens.char import CharTokenizer
from firsthand.tokens.word import WordTokenizer, build_vocab
from firsthand.tokens.wordpiece import (
    WordPieceTokenizer,
    learn_wordpieces,
    wordpiece_encode,
    wordpiece_score,
)

END = "<|endoftext|>"


def test_characters_are_numbered_by_code_point():
    made = CharTokenizer.train(["ba\n", "caé"])
    assert made.encode("\nabcé") == [0, 1, 2, 3, 4]
    assert made.encode("x<") == [5, 5]
    assert made.decode([1, 5, 2]) == "a<unk>b"
    assert made.special_tokens == {END: 6}


def test_only_the_most_frequent_characters_are_kept():
    made = CharTokenizer.train(["aaabbcccc"], vocab_size=4)
    assert made.ids == {"a": 0, "c": 1}
    with pytest.raises(UserError, match="at most 5 tokens"):
        CharTokenizer.train(["aaabbcccc"], vocab_size=6)


def test_a_character_that_no_file_can_hold_is_unknown():
    made = CharTokenizer.train(["a\udc80"])
    assert made.encode("a\udc80") == [0, made.unknown]


def test_bytes_are_their_own_ids():
    made = ByteTokenizer()
    assert made.encode("aé") == [97, 0xC3, 0xA9]
    assert made.decode([0xC3]) == "\ufffd"
    assert made.decode_bytes([0xC3, 256]) == b"\xc3<|endoftext|>"
    with pytest.raises(UserError, match="at most 257"):
        ByteTokenizer.train([], vocab_size=300)


def test_a_word_vocabulary_is_ordered_by_count():
    vocab = build_vocab(["b", "a", "b", "c", "a", "b"])
    assert vocab == {"b": 0, "a": 1, "c": 2, "<unk>": 3, END: 4}
    assert build_vocab({"x": 1, "<unk>": 9}, ("<unk>", "<eot>")) == {"x": 0, "<unk>": 1, "<eot>": 2}


def test_words_keep_spaces_and_marks():
    made = WordTokenizer(build_vocab(["to", "be", " ", "  ", ",", "!?", "👩‍🚀"], ("<unk>", "<eot>")))
    assert made.decode(made.encode("to  be, to be!? 👩‍🚀")) == "to  be, to be!? 👩‍🚀"
    assert made.decode(made.encode("to see")) == "to <unk>"
    assert made.special_tokens == {"<eot>": made.vocab_size - 1}
    assert made.vocab_size - 1 not in made.encode("<eot>")
    with pytest.raises(UserError, match=r"has no <.endoftext.>"):
        _ = made.end_of_text


@pytest.mark.parametrize("vocab", [{"a": 0}, {"a": 0, "<unk>": 2}, {"a": 0, "<unk>": 0}])
def test_a_word_vocabulary_with_gaps_is_refused(vocab):
    with pytest.raises(UserError, match="0 to n-1"):
        WordTokenizer(vocab)


def test_the_score_of_a_pair():
    assert wordpiece_score(10, 20, 50) == 0.01


def test_the_longest_match_wins():
    vocab = {"un": 0, "una": 1, "##ff": 2, "##able": 3, "##f": 4, "[UNK]": 5, "u": 6}
    assert wordpiece_encode("unaff", vocab) == [1, 2]
    assert wordpiece_encode("unable", vocab) == [5]  # una, then no ##b: greedy, as it is defined
    assert wordpiece_encode("uff", vocab) == [6, 2]
    assert wordpiece_encode("Un", vocab) == [5]
    assert wordpiece_encode("", vocab) == []


def test_pieces_are_learnt_by_score():
    """All pairs are equally frequent, but only x and y occur nowhere else."""
    words = {"ea": 4, "eb": 4, "ca": 4, "cb": 4, "xy": 4}
    alphabet = sorted({word[0] for word in words} | {f"##{char}" for word in words for char in word[1:]})
    assert learn_wordpieces(words, alphabet, len(alphabet) + 1)[-1] == "xy"


def test_frequent_pairs_come_before_rare_ones_with_a_better_score():
    words = {"qz": 1, "th": 100, "to": 100, "ah": 100}
    alphabet = ["a", "q", "t", "##h", "##o", "##z"]
    learnt = learn_wordpieces(words, alphabet, 100)[len(alphabet) :]
    assert learnt[-1] == "qz"
    assert sorted(learnt) == ["ah", "qz", "th", "to"]


def test_white_space_and_case_come_back(plays):
    made = WordPieceTokenizer.train(plays[:3], 1200)
    text = plays[1][:5000]
    assert made.decode(made.encode(text)) == text
    assert made.vocab_size == 1200
    assert made.decode(made.encode("Be" * 500)) == "Be" * 500


def test_characters_that_do_not_fit_are_unknown():
    text = "".join(chr(0x4E00 + i) + " " for i in range(500)) + "the them " * 50
    made = WordPieceTokenizer.train([text], 100)
    assert made.decode(made.encode("them")) == "them"
    assert made.encode(chr(0x4E00 + 499)) == [made.unknown]
    assert made.vocab_size == 100


def test_a_wordpiece_vocabulary_larger_than_the_data_support():
    with pytest.raises(UserError, match=r"at most 5 tokens"):
        WordPieceTokenizer.train(["ab"], 50)
    made = WordPieceTokenizer.train(["ab"])
    assert [*made.vocab, *made.special_tokens] == ["##b", "a", "ab", "[UNK]", END]


def test_words_fill_the_vocabulary_or_say_how_many_there_are():
    made = TOKENIZERS["word"].train(["to be or not to be"], 5)
    assert [*made.ids] == [" ", "be", "to"]
    with pytest.raises(UserError, match="at most 7 tokens"):
        TOKENIZERS["word"].train(["to be or not to be"], 8)

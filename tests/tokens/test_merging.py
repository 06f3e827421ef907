"""Merges from a function of the user's: the same tokenizer as ours if it is right, and words for what is no merge."""

import pytest

from firsthand import assemble, config, tokens
from firsthand.errors import UserError
from firsthand.learn.grader.gate import alternatives
from firsthand.learn.manifest import exercise
from firsthand.tokens.bpe import BPETokenizer, train_bpe

TEXTS = ["to be or not to be, that is the question\n", "whether 'tis nobler in the mind to suffer\n" * 3, "to be\n" * 9]


@pytest.mark.parametrize("characters", [None, 60])
def test_the_lessons_function_makes_the_shipped_tokenizer(characters):
    ours = BPETokenizer.train(TEXTS, 280, characters=characters)
    theirs = BPETokenizer.train(TEXTS, 280, characters=characters, merges=train_bpe)
    assert tokens.fingerprint(ours) == tokens.fingerprint(theirs)
    assert (tokens.fingerprint(ours) == tokens.fingerprint(BPETokenizer.train(TEXTS, 280))) == (characters is None)


@pytest.mark.parametrize("path", alternatives(exercise("bpe_train")), ids=lambda path: path.stem)
def test_a_learners_merges_need_no_code_once_they_are_saved(path, tmp_path):
    spec = f"tokenizer={{part: bpe, vocab_size: 280, merges: '{path}:train_bpe'}}"
    made = assemble.tokenizer_maker(config.load(None, [spec]))(TEXTS)
    made.save(tmp_path)
    assert tokens.fingerprint(tokens.load(tmp_path)) == tokens.fingerprint(BPETokenizer.train(TEXTS, 280))


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        (None, r"has to return a list of pairs of ids"),
        ([(1, 2, 3)], "has to return a list of pairs"),
        ([(1, 2)] * 2, r"merges \(1, 2\) twice"),
        ([(256, 1)], r"merges \(256, 1\) to the token 256, before both of them are there"),
        (
            [(k, 1) for k in range(9)],
            "returned 9 merges; 260 tokens less 256 bytes and 1 special tokens leave room for 3",
        ),
        ([(1, 2)], "more than this text supports"),
    ],
)
def test_what_is_no_list_of_merges_is_told(returned, told):
    with pytest.raises(UserError, match=told):
        BPETokenizer.train(TEXTS, 260, merges=lambda text, size, specials: returned)


def test_an_error_in_the_function_is_its_own(tmp_path):
    (tmp_path / "mine.py").write_text("def train_bpe(text, vocab_size, specials):\n    return len(5)\n")
    make = assemble.tokenizer_maker(
        config.load(None, [f"tokenizer={{part: bpe, merges: {tmp_path}/mine.py:train_bpe}}"])
    )
    with pytest.raises(TypeError, match="has no len"):
        make(TEXTS)
    with pytest.raises(UserError, match=r"no part called 'train_bep'\. Did you mean 'train_bpe'"):
        assemble.tokenizer_maker(config.load(None, ["tokenizer={part: bpe, merges: train_bep}"]))


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("{part: bpe, merge: x.py:f}", "bpe has no argument 'merge'. Did you mean 'merges'"),
        ("{part: bpe, merges: nowhere.py:f}", r"tokenizer.merges: there is no file nowhere\.py"),
    ],
)
def test_a_slip_is_told_before_a_run_begins(spec, told):
    with pytest.raises(UserError, match=told):
        assemble.check(config.load(None, [f"tokenizer={spec}"]))

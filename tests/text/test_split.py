"""Splits: by hash, stable, together for duplicates; and the tail for single texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firsthand.errors import UserError
from firsthand.text.split import fitted, holdout, split_of
from firsthand.types import Document

TEXTS = st.lists(st.text(min_size=1, max_size=8).filter(str.strip), min_size=2, max_size=60)


def documents(texts: list[str]) -> list[Document]:
    return [Document(text, str(i)) for i, text in enumerate(texts)]


def test_the_shares_are_kept_on_many_documents():
    fractions = {"validation": 0.1, "test": 0.05}
    counts = {"train": 0, "validation": 0, "test": 0}
    for i in range(20_000):
        counts[split_of(f"document {i}", fractions)] += 1
    assert counts["validation"] == pytest.approx(2000, rel=0.1)
    assert counts["test"] == pytest.approx(1000, rel=0.1)


@pytest.mark.parametrize("spec", ["documents:0.1", "documents:0.3"])
def test_adding_documents_moves_none(spec):
    few = documents([f"text number {i}" for i in range(200)])
    more = few + documents([f"another text {i}" for i in range(500)])
    train, validation = holdout(few, spec)
    more_train, more_validation = holdout(more, spec)
    assert {d.text for d in train} <= {d.text for d in more_train}
    assert {d.text for d in validation} <= {d.text for d in more_validation}


def test_more_validation_keeps_what_was_validation():
    everything = documents([f"text number {i}" for i in range(500)])
    small, large = ({d.name for d in holdout(everything, f"documents:{share}")[1]} for share in (0.1, 0.2))
    assert small < large


@given(texts=TEXTS)
def test_duplicates_never_straddle_and_nothing_is_lost(texts):
    everything = documents([*texts, *texts, *(f" {text}\n" for text in texts)])
    if len({text.strip() for text in texts}) == 1:
        with pytest.raises(UserError, match="leaves nothing to"):
            holdout(everything, "documents:0.1")
        return
    train, validation = holdout(everything, "documents:0.1")
    assert train
    assert validation
    assert not {d.text.strip() for d in train} & {d.text.strip() for d in validation}
    assert sorted(d.name for d in train + validation) == sorted(d.name for d in everything)


@given(texts=TEXTS, validation=st.floats(0.01, 0.49), test=st.floats(0.01, 0.49))
def test_fitted_shares_leave_no_split_empty(texts, validation, test):
    fractions = fitted(texts, {"validation": validation, "test": test})
    found = {split_of(text, fractions) for text in texts}
    if len({text.strip() for text in texts}) >= 3:
        assert found == {"train", "validation", "test"}


def test_shares_that_fit_are_not_touched():
    texts = [f"text {i}" for i in range(300)]
    fractions = {"validation": 0.1, "test": 0.2}
    assert fitted(texts, fractions) == pytest.approx(fractions)
    assert fitted(texts, {"validation": 0.0}) == {}


@given(texts=st.lists(st.text(max_size=30), min_size=1, max_size=8), share=st.sampled_from(["0.1", ".25", "0.5"]))
def test_the_tail_cuts_the_joined_text_at_one_character(texts, share):
    text = "".join(texts)
    cut = int(len(text) * (1 - float(share)))
    if not 0 < cut < len(text):
        with pytest.raises(UserError, match="leaves nothing to"):
            holdout(documents(texts), f"tail:{share}")
        return
    train, validation = holdout(documents(texts), f"tail:{share}")
    assert "".join(d.text for d in train) == text[:cut]
    assert "".join(d.text for d in validation) == text[cut:]


def test_the_tail_of_tiny_shakespeare_is_nanogpts(shared_data):
    text = (shared_data / "tinyshakespeare.txt").read_text(encoding="utf-8")
    train, validation = holdout([Document(text, "tinyshakespeare.txt")], "tail:0.1")
    assert (train[0].text, validation[0].text) == (text[: int(len(text) * 0.9)], text[int(len(text) * 0.9) :])
    assert len(validation[0].text) == 111_540
    assert (train[0].name, validation[0].name) == ("tinyshakespeare.txt", "tinyshakespeare.txt (tail)")


def test_one_document_cannot_be_split_by_document():
    with pytest.raises(UserError, match=r"the source has 1 document\. Use data\.validation=tail:0\.1"):
        holdout(documents(["the only one"]), "documents:0.1")


@pytest.mark.parametrize("spec", ["documents:1.5", "lines:0.1", "documents:0", "tail", "tail:.0"])
def test_other_specs_are_refused(spec):
    with pytest.raises(UserError, match=r"Write documents:0\.1 or tail:0\.1"):
        holdout(documents(["a", "b"]), spec)

"""The pipeline: what comes through, what is counted, and that neither depends on the number of processes."""

import pytest

from firsthand.errors import UserError
from firsthand.text.clean import STANDARD
from firsthand.text.pipeline import Pipeline
from firsthand.text.sources import read
from firsthand.types import Document

PROSE = "and they that have seen the river in spring speak of it to the end of their days with wonder"


def documents(*texts: str, source: str = "") -> list[Document]:
    return [Document(text, f"d{i}", source) for i, text in enumerate(texts)]


def outcome(pipeline: Pipeline, given: list[Document]) -> list[str]:
    return [document.text for document in pipeline.run(given)]


def test_tiny_shakespeare_passes_the_usual_pipeline_unchanged(shared_data):
    path = shared_data / "tinyshakespeare.txt"
    (document,) = Pipeline().run(read(str(path)))
    assert document.text == path.read_text(encoding="utf-8")


def test_the_account_of_every_step():
    pipeline = Pipeline(clean=["lines", "spaces"], filters=[{"part": "length", "minimum": 3}])
    given = documents("first text\r\n", "ab", "", "   ", "first text\n", "other")
    assert outcome(pipeline, given) == ["first text\n", "other"]
    steps = pipeline.report.to_json()["steps"]
    assert list(steps) == [
        *("read", "clean: lines", "clean: spaces", "empty", "filter: length", "duplicates: exact", "kept")
    ]
    assert [(step["documents"], step["bytes"]) for step in steps.values()] == [
        *((6, 33), (6, 33), (6, 32), (6, 29), (4, 29), (3, 27), (2, 16))
    ]
    assert {name: (s["changed"], s["removed_bytes"]) for name, s in steps.items() if s["changed"]} == {
        "clean: lines": (1, 1),
        "clean: spaces": (1, 3),
    }
    assert {name: (s["dropped"], s["dropped_bytes"]) for name, s in steps.items() if s["dropped"]} == {
        "empty": (2, 0),
        "filter: length": (1, 2),
        "duplicates: exact": (1, 11),
    }
    assert steps["filter: length"]["examples"] == [
        {"document": "d1", "reason": "2 characters, fewer than 3", "text": "ab"}
    ]
    assert steps["clean: lines"]["examples"] == [
        {"document": "d0", "before": "first text\r\n", "after": "first text\n"}
    ]
    assert steps["duplicates: exact"]["examples"][0]["document"] == "d4"


def test_what_goes_in_is_kept_or_dropped():
    pipeline = Pipeline(filters=["repeated_lines"], deduplicate="near")
    given = documents(*(f"{PROSE} number {i % 7}\n" * (i % 3 + 1) for i in range(30)))
    kept = outcome(pipeline, given)
    steps = pipeline.report.steps
    assert steps["read"].documents == len(kept) + sum(step.dropped for step in steps.values())
    assert steps["kept"].documents == len(kept)


@pytest.mark.parametrize(
    ("deduplicate", "left"), [("none", ["a", "b", "c", "d"]), ("exact", ["a", "c", "d"]), ("near", ["a", "d"])]
)
def test_duplicates(deduplicate, left):
    many = " ".join(f"word{i}" for i in range(200))
    given = [Document(many, "a"), Document(many, "b"), Document(many + " more", "c"), Document("different", "d")]
    pipeline = Pipeline(deduplicate=deduplicate)
    assert [document.name for document in pipeline.run(given)] == left
    if deduplicate == "near":
        assert pipeline.report.steps["duplicates: near"].examples[0]["reason"] == "nearly the text of a"


def test_the_plays_markup_is_cleaned_in_that_source_alone():
    markdown = "# Title\n\n**NAME**  \nWords.\n"
    assert outcome(Pipeline(), documents(markdown, source="shakespeare")) == ["TITLE\n\nNAME:\nWords.\n"]
    assert outcome(Pipeline(), documents(markdown, source="notes.md")) == [markdown]
    assert outcome(Pipeline(clean=["plays"]), documents(markdown)) == ["TITLE\n\nNAME:\nWords.\n"]
    assert outcome(Pipeline(clean=[]), documents(markdown, source="shakespeare")) == [markdown]
    steps = list(Pipeline(clean=None)._plan.steps_for("shakespeare"))
    assert steps == ["plays", *STANDARD]


def test_nothing_is_cleaned_when_nothing_is_asked():
    raw = "a\r\n\x00\n\n\n\n\nb"
    assert outcome(Pipeline(clean=[], deduplicate="none"), documents(raw, raw)) == [raw, raw]


def test_a_filter_from_a_file_and_one_used_twice(tmp_path):
    (tmp_path / "mine.py").write_text(
        "def no_letter(letter='x'):\n    return lambda document: letter not in document.text\n"
    )
    spec = f"{tmp_path}/mine.py:no_letter"
    pipeline = Pipeline(filters=[spec, {"part": spec, "letter": "y"}])
    assert outcome(pipeline, documents("ax", "by", "cz")) == ["cz"]
    dropped = {name: step.examples for name, step in pipeline.report.steps.items() if step.dropped}
    assert [example["document"] for examples in dropped.values() for example in examples] == ["d0", "d1"]
    assert list(dropped) == [f"filter: {spec}", f"filter: {spec} (2)"]


def test_a_filter_that_does_not_answer_is_named(tmp_path):
    (tmp_path / "mine.py").write_text("def silent():\n    return lambda document: None\n")
    with pytest.raises(UserError, match=r"mine\.py:silent answered None\. A filter answers True"):
        outcome(Pipeline(filters=[f"{tmp_path}/mine.py:silent"]), documents("a"))


def test_two_processes_give_the_same_as_one():
    texts = (
        PROSE + "".join(f" w{i % 90}_{j}" for j in range(50 * (i % 5))) + " more" * (i // 90 % 2) if i % 7 else "\r\n"
        for i in range(700)
    )
    given = documents(*texts)
    outcomes = []
    for workers in (1, 2):
        pipeline = Pipeline(filters=["words"], deduplicate="near", workers=workers)
        outcomes.append((list(pipeline.run(given)), pipeline.report.to_json()))
    assert outcomes[0] == outcomes[1]
    assert outcomes[1][1]["notes"] == []
    assert all(outcomes[0][1]["steps"][name]["dropped"] for name in ("empty", "filter: words", "duplicates: near"))
    assert 0 < len(outcomes[0][0]) < 700


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"clean": ["unicod"]}, "data.clean: there is no step 'unicod'. Did you mean 'unicode'"),
        ({"filters": ["gofer"]}, "Did you mean 'gopher'"),
        ({"filters": [{"part": "words", "min": 3}]}, "words has no argument 'min'"),
        ({"deduplicate": "fuzzy"}, "none of: none, exact, near"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_read(arguments, says):
    with pytest.raises(UserError, match=says):
        Pipeline(**arguments)


def test_the_plays_that_the_demo_holds_out():
    from firsthand.text.split import holdout

    train, validation = holdout(Pipeline().run(read("shakespeare")), "documents:0.1")
    assert len(train) + len(validation) == 38
    assert [play.name for play in validation] == ["the-comedy-of-errors", "julius-caesar"]

"""Records: every layout and format, where bad rows stand, and what is left out."""

import gzip
import json

import pytest

from firsthand.data.records import layouts, plays
from firsthand.data.records.schema import Conversation, Labelled, Preference, Row, Verifiable, content, for_tuning
from firsthand.data.records.sources import RECORDS, Reading, read
from firsthand.errors import DamagedError, UserError
from firsthand.types import Message

ASKED, SAID = Message("user", "Who's there?"), Message("assistant", "Nay, answer me.")
PAIR = Conversation((ASKED, SAID))


def records(path, skip_bad=False):
    reading = Reading()
    return [row.record for row in read(str(path), reading, skip_bad)], reading


CHAT = [{"role": "user", "content": ASKED.content}, {"role": "assistant", "content": SAID.content}]
SPOKEN = [{"from": "human", "value": ASKED.content}, {"from": "gpt", "value": SAID.content}]
BETTER = Preference((ASKED,), (SAID,), (Message("assistant", "No."),))
WORKED = "Two and two.\n#### 4"
LAYOUTS = [
    ({"messages": CHAT}, "messages", PAIR),
    ({"conversations": SPOKEN}, "sharegpt", PAIR),
    ({"instruction": ASKED.content, "input": "", "output": SAID.content}, "alpaca", PAIR),
    (
        {"instruction": "Who's", "input": "there?", "output": SAID.content},
        "alpaca",
        Conversation((Message("user", "Who's\n\nthere?"), SAID)),
    ),
    ({"prompt": ASKED.content, "completion": SAID.content}, "completion", PAIR),
    ({"prompt": ASKED.content, "chosen": SAID.content, "rejected": "No."}, "preference", BETTER),
    ({"chosen": CHAT, "rejected": [CHAT[0], {"role": "assistant", "content": "No."}]}, "preference", BETTER),
    (
        {"prompt": ASKED.content, "answer": "Bernardo", "verifier": "exact"},
        "verifiable",
        Verifiable((ASKED,), "Bernardo"),
    ),
    (
        {"question": "2+2?", "answer": WORKED},
        "gsm8k",
        Verifiable((Message("user", "2+2?"),), "4", "number", WORKED),
    ),
    ({"text": "free prize", "label": "spam"}, "labelled", Labelled("free prize", "spam")),
    ({"Label": "spam", "SMS": "free prize"}, "labelled", Labelled("free prize", "spam")),
    ({"text": "free prize", "label": 1}, "labelled", Labelled("free prize", "1")),
]


@pytest.mark.parametrize(("fields", "layout", "record"), LAYOUTS)
def test_every_layout_is_known_by_its_keys(fields, layout, record):
    assert layouts.convert(fields) == (record, layout)


def test_all_layouts_are_tested():
    assert {layout for _, layout, _ in LAYOUTS} == set(layouts.LAYOUTS)


def test_a_system_message_beside_sharegpt_and_what_each_kind_is_for_tuning():
    record, _ = layouts.convert({"system": "Be brief.", "conversations": [{"from": "human", "value": "Hi"}]})
    assert record.conversation()[0] == Message("system", "Be brief.")
    assert Labelled("free prize", "spam").conversation() == (
        Message("user", "free prize"),
        Message("assistant", "spam"),
    )
    assert Preference((ASKED,), (SAID,), ()).conversation() == PAIR.messages
    assert Verifiable((ASKED,), "4", "number", "so 4").conversation()[-1] == Message("assistant", "so 4")
    assert for_tuning([ASKED, SAID, ASKED]) == (ASKED, SAID)
    for messages, says in (([ASKED], "no message of the assistant"), ([ASKED, Message("assistant", " ")], "is empty")):
        with pytest.raises(UserError, match=says):
            for_tuning(messages)


@pytest.mark.parametrize(
    ("name", "text", "where"),
    [
        ("a.jsonl", '{"text": "one", "label": "a"}\n\n{"text": "two", "label": "b"}\n', [1, 3]),
        ("a.json", '[\n {"text": "one",\n  "label": "a"},\n {"text": "two", "label": "b"}\n]', [2, 4]),
        ("a.json", '{"version": 1, "data": [{"text": "one", "label": "a"},\n {"text": "two", "label": "b"}]}', [1, 2]),
        ("a.csv", 'text,label\n"one",a\ntwo,b\n', [2, 3]),
        ("a.tsv", "Label\tSMS\na\tone\nb\ttwo\n", [2, 3]),
    ],
)
def test_every_format_is_read_with_its_lines(tmp_path, name, text, where):
    (tmp_path / name).write_text(text)
    rows = list(read(str(tmp_path / name), Reading()))
    assert [row.record for row in rows] == [Labelled("one", "a"), Labelled("two", "b")]
    assert [int(row.where.rpartition(" ")[2]) for row in rows] == where


def test_quotes_in_tsv_are_quotes_and_a_csv_cell_may_have_lines(tmp_path):
    (tmp_path / "a.tsv").write_text('label\ttext\nham\t"Happy" she said\n')
    assert records(tmp_path / "a.tsv")[0] == [Labelled('"Happy" she said', "ham")]
    (tmp_path / "a.csv").write_text('label,text\nham,"two\nlines"\nspam,three\n')
    rows = list(read(str(tmp_path / "a.csv"), Reading()))
    assert [(row.record.text, row.where[-6:]) for row in rows] == [("two\nlines", "line 2"), ("three", "line 4")]


def test_two_columns_without_a_line_of_names(tmp_path):
    (tmp_path / "a.tsv").write_text("".join(f"{'spam' if n % 4 else 'ham'}\tmessage {n}\n" for n in range(12)))
    found, reading = records(tmp_path / "a.tsv")
    assert found[0] == Labelled("message 0", "ham")
    assert reading.rows == 12


def test_parquet_gzip_folders_and_lists(tmp_path):
    pytest.importorskip("pyarrow", reason="pyarrow (the extra data) is not installed")
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"prompt": ["a"], "completion": ["b"]}), tmp_path / "a.parquet")
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b'{"prompt": "c", "completion": "d"}\n'))
    found, reading = records(tmp_path)
    assert [record.messages[1].content for record in found] == ["b", "d"]
    assert reading.layouts == {"completion": 2}
    both = list(read([str(tmp_path / "a.parquet"), str(tmp_path / "b.jsonl.gz")], Reading()))
    assert [row.where.rpartition("/")[2] for row in both] == ["a.parquet, row 1", "b.jsonl.gz, line 1"]
    (tmp_path / "a.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(DamagedError, match="not a Parquet file"):
        records(tmp_path / "a.parquet")


def test_the_hub(monkeypatch):
    monkeypatch.setattr("firsthand.text.hub.rows", lambda name: iter([{"prompt": name, "completion": "b"}]))
    (row,) = read("hf:owner/set", Reading())
    assert (row.record.messages[0].content, row.where) == ("owner/set", "hf:owner/set, row 1")


BAD = [
    ("{", "it is not JSON"),
    ("[1]", "it is no object but a list"),
    ('{"a": 1}', r"its keys \(a\) are of no layout known here; known are messages, .*labelled"),
    ('{"prompt": "a", "completion": ""}', "'completion' is empty"),
    ('{"prompt": "a", "completion": null}', "'completion' is nothing"),
    ('{"text": ["a"], "label": "b"}', "'text' is not text but a list"),
    ('{"messages": []}', "'messages' is a list, not a list of messages|no message"),
    ('{"messages": [{"role": "wizard", "content": "a"}]}', r"messages\[0\] has the role 'wizard'; known are system"),
    ('{"messages": [{"role": "user"}]}', r"messages\[0\] needs 'role' and 'content'"),
    ('{"chosen": "a", "rejected": "b"}', "no beginning in common"),
    ("[" * 100000, "nested too deeply|not JSON"),
    ('{"prompt": "\\ud800", "completion": "\xff"}', ""),
]


@pytest.mark.parametrize(("line", "says"), BAD[:-1])
def test_a_bad_row_is_told_with_its_line_and_left_out_only_if_asked(tmp_path, line, says):
    good = '{"prompt": "a", "completion": "b"}\n'
    (tmp_path / "a.jsonl").write_text(f"{good}{line}\n{good.replace('b', 'c')}")
    with pytest.raises(UserError, match=rf"a\.jsonl, line 2: .*({says}).*data\.skip_bad=true"):
        records(tmp_path / "a.jsonl")
    found, reading = records(tmp_path / "a.jsonl", skip_bad=True)
    assert [record.messages[1].content for record in found] == ["b", "c"]
    assert (reading.rows, reading.skipped, len(reading.bad)) == (3, 1, 1)
    assert "line 2" in reading.bad[0]


def test_half_characters_do_no_harm(tmp_path):
    (tmp_path / "a.jsonl").write_text(BAD[-1][0], encoding="utf-8")
    (record,), _ = records(tmp_path / "a.jsonl")
    assert content(record)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.json", '[{"prompt": "a", "completion": "b"}\n {"prompt"', "line 1: after this record, a comma"),
        ("a.json", '[{"prompt": "a", "completion": "b"},\n {"prompt"', "line 2: it is not JSON"),
        ("a.json", '"text"', "no list of objects"),
        ("a.csv", 'text,label\n"one,a\n', "line 2: .*nothing after it"),
        ("a.csv", "text,label\none\n", "line 2: it has 1 cells, not 2"),
        ("a.jsonl", "", "holds no records"),
        ("a.pdf", "x", r"extension \.pdf.*\.jsonl, \.json, \.tsv, \.csv, \.parquet"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, text, says):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=says):
        records(tmp_path / name)


def test_unknown_sources_and_duplicates(tmp_path):
    with pytest.raises(UserError, match=r"no records 'dialogs'.*Did you mean 'dialogues'"):
        records("dialogs")
    line = json.dumps({"prompt": "a", "completion": "b"})
    (tmp_path / "a.jsonl").write_text(f"{line}\n{line}\n" + json.dumps({"instruction": "a", "output": "b"}))
    found, reading = records(tmp_path / "a.jsonl")
    assert (len(found), reading.duplicates) == (1, 2)


PLAY = """A PLAY

ACT I

SCENE I. A hall.

BERNARDO:
Who's there?

FRANCISCO:
Nay, answer me:
[Aside]
stand.

BERNARDO:
Long live the king!

[Enter HORATIO]

FRANCISCO:
Bernardo?

HORATIO:
Friends.

SCENE II. Elsewhere.

HORATIO:
Alone, with words enough to make a speech of twenty or more, so many that one may well grow tired of them all.
"""


@pytest.fixture
def one_play(monkeypatch):
    from firsthand.types import Document

    monkeypatch.setattr(plays, "_plays", lambda: iter([Document(PLAY, "a-play", "", {"genre": "comedies"})]))


def test_speeches_become_conversations(one_play):
    rows = list(plays.conversations())
    assert [[m.content for m in row.record.messages] for row in rows] == [
        ["FRANCISCO, to BERNARDO", "Who's there?", "Nay, answer me:\nstand.", "Long live the king!", "Bernardo?"],
        ["HORATIO, to FRANCISCO", "Bernardo?", "Friends."],
    ]
    assert [message.role for message in rows[0].record.messages] == ["system", *["user", "assistant"] * 2]
    assert {row.group for row in rows} == {PLAY}
    (genre,) = plays.genres()
    assert isinstance(genre, Row)
    assert genre.record.label == "comedy"


def test_the_dialogues_are_there():
    pytest.importorskip("chatterbot_corpus", reason="the extra data is not installed")
    rows = list(RECORDS["dialogues"]())
    assert len(rows) > 1000
    assert all(row.record.messages[0].role == "user" for row in rows)


def test_the_development_data(shared_data):
    found, _ = records(shared_data / "instructions.json")
    assert len(found) == 1100
    found, reading = records(shared_data / "sms_spam.tsv")
    assert {record.label for record in found} == {"ham", "spam"}
    assert reading.duplicates == 403
    found, _ = records(shared_data / "gsm8k_test.jsonl")
    assert all(record.verifier == "number" for record in found)

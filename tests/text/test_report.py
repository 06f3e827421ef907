"""The report: sizes for people, excerpts around what changed, sums over processes."""

import pytest

from firsthand.text.report import EXAMPLES, HEADINGS, Report, human, rows


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        *((0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (12_345, "12 kB"), (-2_500_000, "-2.5 MB")),
        *((3 * 10**9, "3.0 GB"), (7 * 10**12, "7.0 TB"), (10**16, "10000 TB")),
    ],
)
def test_sizes(size, shown):
    assert human(size) == shown


def test_examples_show_where_the_text_changed():
    report = Report()
    before, after = "a" * 1000 + "X" + "b" * 1000, "a" * 1000 + "b" * 1000
    report.step("clean: it").change("name", before, after, 1)
    example = report.steps["clean: it"].examples[0]
    assert example["before"] == "…" + "a" * 40 + "X" + "b" * 119 + "…"
    assert example["after"] == "…" + "a" * 40 + "b" * 120 + "…"


def test_reports_of_several_processes_add_up():
    total = Report()
    for i in range(4):
        one = Report()
        for name in ("filter: a", "read"):
            one.step(name).enter(10)
        one.step("filter: a").drop(f"d{i}", "text", 10, "because")
        one.step("clean: b").change(f"d{i}", "before", "after", 1)
        total.add(one)
    step = total.steps["filter: a"]
    assert (step.documents, step.bytes, step.dropped, step.dropped_bytes) == (4, 40, 4, 40)
    assert [example["document"] for example in step.examples] == ["d0", "d1", "d2"][:EXAMPLES]
    assert (total.steps["clean: b"].changed, total.steps["clean: b"].removed_bytes) == (4, 4)
    assert list(total.to_json()["steps"]) == ["read", "clean: b", "filter: a"]


def test_the_table_has_a_row_for_every_step():
    report = Report()
    report.step("read").enter(1000)
    report.step("filter: a").drop("d", "text|text", 4, "because")
    found = list(rows(report.to_json()["steps"]))
    assert found == [("read", "1", "1.0 kB", "", "", "", ""), ("filter: a", "0", "0 B", "", "", "1", "4 B")]
    assert all(len(row) == len(HEADINGS) for row in found)
    assert "- `d`: because\n  - text: 'text|text'" in report.to_markdown()

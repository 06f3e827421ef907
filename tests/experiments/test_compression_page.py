"""The table says which plans none beats, and where smaller is not faster."""

from dataclasses import replace

from firsthand.evaluate.bootstrap import Figure
from firsthand.experiments.compression.layers import Histogram, Layers
from firsthand.experiments.compression.page import Page
from firsthand.experiments.compression.pictures import draw
from firsthand.experiments.compression.row import Row, with_fronts
from firsthand.experiments.compression.speed import Rates


def row(plan, bits, size, decode, beside=1.0, low=0.01):
    figure, rise = Figure(bits, 0.01, bits - 0.02, bits + 0.02, 9), Figure(0.02, 0.01, low, 0.03, 9)
    rates = Rates(10 * decode, decode, {"original-bf16": {"prefill": 1.2, "decode": beside}}, 10**6, 1, "float32")
    return Row(plan, ["a part"], figure, None if plan == "original" else rise, size, rates)


ROWS = [
    row("original", 1.0, 400, 10.0),
    row("int8", 1.0, 100, 20.0, 1.5),
    row("int4", 1.1, 50, 15.0, 0.8, low=-0.01),
    row("worse", 1.2, 60, 12.0),
    Row("broken", error="It cannot be packed."),
    Row("foreign", error="There are no heads.", unsuited=True),
]


def test_fronts_are_those_that_none_beats_in_both():
    fronts = {each.plan: each.fronts for each in with_fronts(ROWS)}
    assert fronts == {
        "original": (),  # int8 is as good, smaller and faster
        "int8": ("bytes", "decode"),
        "int4": ("bytes",),
        "worse": (),
        "broken": (),
        "foreign": (),
    }


def test_the_page_says_what_is_not_as_hoped():
    page = Page("a title", "firsthand compress x", ["a fact"], with_fronts(ROWS))
    said = page.said()
    assert "int4 is smaller but not faster: it writes 0.80 times as fast as the original in bf16." in said
    assert not any(sentence.startswith(("int8 is smaller", "original is smaller")) for sentence in said)
    assert "broken failed: It cannot be packed." in said
    assert "foreign does not suit this model: There are no heads." in said
    assert any(sentence.startswith("int4: nothing is lost that could be seen") for sentence in said)
    titles, cells = page.table()
    assert all(len(line) == len(titles) for line in cells)
    assert cells[1][:1] + cells[1][3:5] == ["int8", "+2.00% (+1.00% to +3.00%)", "0.0"]
    assert cells[1][7:9] == ["20 (1.50×)", "size, speed"]
    text = page.text("plots/")
    assert "| broken | failed |" in text
    assert "| foreign | unsuited |" in text
    assert "![Bits per byte over the bytes of the weights](plots/size.svg)" in text


def test_every_picture_that_the_page_names_is_drawn(tmp_path):
    flat = Histogram(-1.0, 1.0, [1.0] * 80)
    errors = {"blocks.0.mixer.query": 0.1, "blocks.1.mixer.query": 0.2, "blocks.1.ffn.up": 0.3}
    sides = {"before": flat, "after": flat}
    seen = replace(ROWS[1], layers=Layers([0.1, 0.2], errors, sides, sides))
    page = Page("a title", "firsthand compress x", ["a fact"], with_fronts([ROWS[0], seen, *ROWS[2:]]))
    files = {path.name for path in draw(page, tmp_path)}
    assert files == {f"{name}.{kind}" for name in page.pictures() for kind in ("png", "svg")}
    assert page.pictures().keys() == {"size", "speed", "layers", "maps", "numbers"}
    assert all(f"]({name}.svg)" in page.text("") for name in page.pictures())


def test_json_has_what_was_promised_of_every_row():
    promised = {"plan", "bits_per_byte", "bytes", "prefill_tokens_per_second", "decode_tokens_per_second"}
    for each in with_fronts(ROWS):
        assert promised <= each.to_json().keys()
    assert ROWS[1].to_json()["decode_tokens_per_second"] == 20.0
    assert ROWS[4].to_json()["error"] == "It cannot be packed."

import io
import itertools

import pytest
from rich.console import Console

from firsthand.experiments.display import Display, duration, tidy

LINE = {"step": 10, "tokens": 81920, "seconds": 12.0, "loss": 3.5, "lr": 0.01, "tokens_per_second": 8000.0}
EVALUATION = {"step": 20, "tokens": 163840, "seconds": 22.0, "validation_loss": 3.25, "bits_per_byte": 2.125}


def screen(width: int, height: int, color: bool = False) -> Console:
    """A terminal that keeps what was written to it."""
    system = "truecolor" if color else None
    return Console(file=io.StringIO(), force_terminal=True, width=width, height=height, color_system=system)  # type: ignore[arg-type]


def pipe() -> Console:
    return Console(file=io.StringIO(), force_terminal=False, width=40)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def train(display: Display, steps: int, of: int = 100) -> None:
    for step in range(1, steps + 1):
        display.step(
            LINE | {"step": step, "seconds": 2.0 + step, "loss": 5.0 - step / of, "peak_share": 0.5}, step / of
        )


def shown(display: Display, width: int, height: int) -> list[str]:
    console = screen(width, height)
    display._console = console
    console.print(display.render())
    return written(console).splitlines()


def test_without_a_terminal_there_are_plain_lines() -> None:
    console = pipe()
    clock = itertools.count(0.0, 1.0)
    with Display("demo", console=console, every=10.0, clock=lambda: next(clock)) as display:
        display.note("training the tokenizer")
        train(display, 100)
        display.evaluated(EVALUATION)
        display.sample(20, "ROMEO:\nBut soft")
    lines = written(console).splitlines()
    assert "\x1b" not in written(console)
    assert lines[0] == "· training the tokenizer"
    steps = [line for line in lines if "time left" in line]
    assert [line.split(" · ")[0] for line in steps] == [f"step {n}" for n in [*range(1, 92, 10), 100]]
    assert steps[5].endswith("time left 0:49 · tokens/s 8,000 · of peak 50% · learning rate 0.01")
    assert lines[-4:] == [
        "step 20 · validation 3.250 · bits per byte 2.125",
        "after step 20 it writes:",
        "    ROMEO:",
        "    But soft",
    ]


def test_json_leaves_standard_output_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with Display("demo", json=True) as display:
        display.note("hello")
        train(display, 1)
        display.sample(1, "text")
    out, err = capsys.readouterr()
    assert out == ""
    assert "hello" in err


def test_a_terminal_shows_the_panel_and_gets_its_cursor_back() -> None:
    console = screen(80, 30, color=True)
    display = Display("demo", console=console)

    def interrupted() -> None:
        with display:
            train(display, 30)
            display.evaluated(EVALUATION)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    text = written(console)
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1
    assert text.rindex("bits per byte") < text.rindex("\x1b[?25h")
    display.finish()
    assert written(console) == text


def test_redraws_are_at_most_two_a_second() -> None:
    console = screen(80, 30)
    clock = itertools.count(0.0, 0.1)
    display = Display("demo", console=console, clock=lambda: next(clock))
    train(display, 50)
    assert written(console).count("time left") == 10
    display.finish()


def test_the_panel_tells_everything() -> None:
    display = Display("demo", console=screen(100, 40))
    train(display, 63)
    display.evaluated(EVALUATION | {"step": 63, "seconds": 65.0})
    display.sample(60, "ROMEO:\nBut soft")
    text = "\n".join(shown(display, 100, 40))
    for part in (
        *("demo", "63%", "step 63", "loss 4.370", "validation 3.250", "bits per byte 2.125", "time left 0:37"),
        *("tokens/s 8,000", "of peak 50%", "learning rate 0.01", "after step 60 it writes", "But soft", "▄"),
    ):
        assert part in text


@pytest.mark.parametrize("height", [3, 9, 14, 24, 60])
@pytest.mark.parametrize("width", [1, 8, 20, 39, 60, 200])
def test_it_fits_terminals_of_any_size(width: int, height: int) -> None:
    display = Display("a long title for a run", console=screen(width, height))
    train(display, 40)
    display.evaluated(EVALUATION)
    display.sample(40, "word " * 300)
    lines = shown(display, width, height)
    assert max(map(len, lines)) <= width
    assert len(lines) <= max(height, 10)  # less high than the ten facts: the terminal crops


def test_the_height_stays_while_samples_change() -> None:
    display = Display("demo", console=screen(80, 30))
    train(display, 10)
    heights = set()
    for text in ("", "one line", "line\n" * 100, "x" * 5000):
        display.sample(10, text)
        heights.add(len(shown(display, 80, 30)))
    assert len(heights) == 1


HOSTILE = [
    "a\x1b[2Jb\x1b]0;title\x07c\x1b]8;;http://x\x1b\\d",
    "a\rb\x07c\x00d\x9b31m",
    "a\u202eb\u2066c",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_samples_cannot_command_the_terminal(text: str) -> None:
    cleaned = tidy(text)
    assert cleaned.startswith("a")
    assert all(char.isprintable() for char in cleaned)
    for console in (pipe(), screen(60, 20)):
        with Display("demo", console=console) as display:
            display.sample(1, "[red]" + text + "[/red] [/nonsense]")
        assert "[red]a" in written(console)
        assert not set(text) & set("\x07\x00\x9b\u202e\u2066\r") & set(written(console).replace("\r", ""))


def test_a_loss_that_is_no_number_is_shown_as_such() -> None:
    display = Display("demo", console=screen(80, 30))
    display.step({"step": 1, "loss": float("nan")}, 0)
    display.step({"step": 2, "loss": float("inf"), "peak_share": None}, 0.1)
    text = "\n".join(shown(display, 80, 30))
    assert "loss inf" in text
    assert "of peak -" in text


def test_time_left_counts_from_where_the_run_was_resumed() -> None:
    display = Display("demo", console=pipe())
    display.step(LINE | {"seconds": 1000.0}, 0.5)
    assert dict(display._facts())["time left"] == "-"
    display.step(LINE | {"seconds": 1010.0}, 0.6)
    assert dict(display._facts())["time left"] == "0:40"


def test_memory_stays_bounded() -> None:
    display = Display("demo", console=pipe(), every=1e9)
    train(display, 20_000, of=20_000)
    assert len(display._losses) <= 4096


def test_durations() -> None:
    assert [duration(seconds) for seconds in (0, 59.4, 61, 3599, 3600, 90_061)] == [
        *("0:00", "0:59", "1:01", "59:59", "1:00:00", "25:01:01")
    ]

"""Lines that a person types: edited, remembered, several lines long if need be."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from firsthand.cli.output import valid


def line_reader(history: Path, **ends: Any) -> Callable[[], str]:
    """A call that asks for the next line and gives it back; EOFError for Ctrl-D, and for Ctrl-C in an empty line.

    Enter ends it, Esc-Enter and a backslash before Enter go on in a new line, and so do line breaks that are pasted.
    What was typed is kept in the file `history`, for its owner's eyes only; where that cannot be, a line says so.
    `ends`: prompt_toolkit's `input` and `output`.
    """
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import FileHistory, History, InMemoryHistory

    kept: History = InMemoryHistory()
    try:
        history.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(history, os.O_RDWR | os.O_CREAT, 0o600))
        kept = FileHistory(str(history))
    except OSError as error:
        note(f"What you type is not kept for the next time: {history} cannot be written ({error.strerror}).")
    session: PromptSession[str] = PromptSession(
        "> ",
        multiline=True,
        prompt_continuation="  ",
        key_bindings=_keys(),
        history=kept,
        **ends,
    )
    return lambda: valid(session.prompt())


def _keys() -> Any:
    from prompt_toolkit.key_binding import KeyBindings

    keys = KeyBindings()

    @keys.add("enter")
    def _(event: Any) -> None:
        buffer = event.current_buffer
        if buffer.document.char_before_cursor == "\\":
            buffer.delete_before_cursor()
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def _(event: Any) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("c-c")
    def _(event: Any) -> None:
        if event.current_buffer.text:
            event.current_buffer.reset()
        else:
            event.app.exit(exception=EOFError)

    return keys


def note(line: str) -> None:
    """A line beside the conversation, on standard error: dim where that is a terminal."""
    from firsthand.generate.stream import printable

    plain = not sys.stderr.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    text = printable(line)
    sys.stderr.write(f"{text}\n" if plain else f"\x1b[2m{text}\x1b[0m\n")
    sys.stderr.flush()

"""The loop that obeys and answers, with lines from a list in place of a person."""

import json
import signal

import pytest

from firsthand.cli.talk import HELP, Talk
from firsthand.errors import UserError
from firsthand.generate.conversation import Answer
from firsthand.types import Message


class Echo:
    """A conversation in which every question is its own answer, letter by letter."""

    context_length = 100

    def __init__(self):
        self.messages, self.sampling, self.seed = [], {"temperature": 0.5}, 1
        self.last, self.forgotten, self.tokens, self.instruction = None, 0, 12, None
        self.interrupted = False

    def ask(self, question):
        if question == "too long":
            raise UserError("The question is too long.")
        return self._answer(question)

    def _answer(self, question):
        self.interrupted, text = False, ""
        for letter in question:
            if self.interrupted:
                break
            text += letter
            yield letter
        finish = "interrupted" if self.interrupted else "length" if question == "cut" else "end_of_text"
        forgotten = 2 if question == "full" else 0
        self.last = Answer(text, len(text), finish, 9, 4, forgotten, 0.25, 31.4)
        self.messages += [Message("user", question), Message("assistant", text)]

    def interrupt(self):
        self.interrupted = True

    def system(self, text):
        self.instruction = text

    def reset(self):
        self.messages = []

    def undo(self):
        return self.messages.pop() and self.messages.pop() if self.messages else None

    def to_json(self):
        return json.dumps([message.content for message in self.messages])


@pytest.fixture
def talk():
    """Runs the loop over these lines; gives back what was written and what was noted."""

    def run(*lines, conversation=None, write=None, end=EOFError):
        rest, written, notes = iter(lines), [], []

        def read():
            line = next(rest, end)
            if isinstance(line, str):
                return line
            raise line

        talk = Talk(conversation or Echo(), read, write or written.append, notes.append)
        talk.run()
        return "".join(written), notes, next(rest, None)

    return run


def test_lines_are_answered_and_counted(talk):
    text, notes, _ = talk("Hello", "  ", "How?")
    assert text == "Hello\nHow?\n"
    assert notes[0] == "(read 4 tokens in 0.2 s, wrote 5 at 31 tokens/s; 14 of 100 used)"
    assert len(notes) == 2


@pytest.mark.parametrize("end", [EOFError, KeyboardInterrupt])
def test_ctrl_d_and_ctrl_c_at_the_prompt_leave(talk, end):
    assert talk("Hello", end=end)[0] == "Hello\n"


def test_quit_leaves_the_rest_unread(talk):
    assert talk("one", "/quit", "two") == ("one\n", talk("one")[1], "two")


def test_help_names_every_command(talk):
    echo = Echo()
    commands = Talk(echo, input, print, print)._commands
    assert talk("/help")[1] == [HELP]
    assert sorted(line.split()[0] for line in HELP.splitlines() if line.startswith("/")) == sorted(commands)


def test_an_unknown_command_suggests_one_and_the_talk_goes_on(talk):
    text, notes, _ = talk("/undoo", "Hello")
    assert "no command /undoo. Did you mean '/undo'?" in notes[0]
    assert text == "Hello\n"


def test_a_blank_before_a_slash_makes_it_a_message(talk):
    assert talk(" /help")[0] == "/help\n"


def test_what_is_refused_is_said_and_the_talk_goes_on(talk):
    text, notes, _ = talk("too long", "Hello")
    assert notes[0] == "The question is too long."
    assert text == "Hello\n"


def test_system_reset_undo_and_tokens(talk):
    echo = Echo()
    _, notes, _ = talk("/system", "/system Be brief.", "/undo", "one", "/undo", "/tokens", "/reset", conversation=echo)
    assert notes[0] == "System message: none of yours"
    assert notes[1] == "System message: Be brief."
    assert notes[2] == "There is nothing to take back."
    assert notes[4] == "Taken back: one"
    assert notes[5] == "12 of 100 tokens, 0 messages, seed 1"
    assert notes[6] == "Forgotten, but for the system message."


def test_settings_change_and_nonsense_does_not(talk):
    echo = Echo()
    _, notes, _ = talk("/temp 0.7", "/seed 9", "/temp -1", "/temp warm", "/seed 1.5", "/seed", conversation=echo)
    assert (echo.sampling["temperature"], echo.seed) == (0.7, 9)
    assert notes[:2] == ["temperature 0.7", "seed 9"]
    assert "temperature = -1.0 makes no sense" in notes[2]
    assert [note.split(" Write")[0] for note in notes[3:]] == [
        "'warm' is no number here.",
        "'1.5' is no number here.",
        "'Nothing' is no number here.",
    ]


def test_save_writes_once_more_but_over_nothing_else(talk, tmp_path):
    path, other = tmp_path / "talk.jsonl", tmp_path / "other"
    other.write_text("mine")
    _, notes, _ = talk("a", f"/save {path}", "b", f"/save {path}", f"/save {other}", "/save", f"/save {tmp_path}/no/x")
    assert json.loads(path.read_text()) == ["a", "a", "b", "b"]
    assert notes[1] == f"2 messages in {path}"
    assert "is there already" in notes[4]
    assert other.read_text() == "mine"
    assert "Say where" in notes[5]
    assert "cannot be written" in notes[6]


def test_ctrl_c_stops_an_answer_and_a_second_one_leaves(talk):
    echo, written = Echo(), []

    def write(text, times):
        written.append(text)
        for _ in range(times if len(written) == 2 else 0):
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    _, notes, _ = talk("Hello", "again", conversation=echo, write=lambda text: write(text, 1))
    assert "".join(written) == "He\nagain\n"
    assert notes[0] == "Stopped; what is written stays."
    written.clear()
    assert talk("Hello", "again", conversation=echo, write=lambda text: write(text, 2))[2] == "again"
    assert "".join(written) == "He"
    assert signal.getsignal(signal.SIGINT) is before


def test_what_the_reader_should_know(talk):
    _, notes, _ = talk("cut", "full")
    assert notes[0] == "Cut after 3 tokens (--max-tokens, or the model's context)."
    assert notes[2].startswith("The conversation outgrew the 100 tokens that the model reads: its 2 oldest messages")

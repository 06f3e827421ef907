"""A conversation in the terminal: lines that begin with a slash are obeyed, all others are answered."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from firsthand.errors import UserError, suggest

if TYPE_CHECKING:
    from firsthand.generate.conversation import Answer, Conversation

HELP = """\
/help           this list
/system TEXT    what kind of answers you want; without TEXT: what it is now
/reset          forget everything but the system message
/undo           take back the last question and its answer
/save FILE      write the conversation as JSON, as fine-tuning reads it
/temp X         0: always the most probable token; 1: as the model thinks
/seed N         another number, other answers
/tokens         how long the conversation is
/quit           leave
Esc-Enter, or a backslash at the end, goes on in a new line. Ctrl-C stops an answer, Ctrl-D leaves.
A line that is to begin with a slash begins with a blank."""


class Talk:
    """`read` gives the next line (EOFError: no more), `write` prints an answer's text, `note` a line about it."""

    def __init__(
        self,
        conversation: "Conversation",
        read: Callable[[], str],
        write: Callable[[str], None],
        note: Callable[[str], None],
    ) -> None:
        self.conversation, self.read, self.write, self.note = conversation, read, write, note
        self._saved: set[Path] = set()
        self._commands: dict[str, Callable[[str], None]] = {
            "/help": lambda text: note(HELP),
            "/system": self._system,
            "/reset": self._reset,
            "/undo": self._undo,
            "/save": self._save,
            "/temp": self._temperature,
            "/seed": self._seed,
            "/tokens": self._tokens,
            "/quit": self._quit,
        }

    def run(self) -> None:
        """Until there are no more lines, /quit, or a Ctrl-C where there is nothing to stop."""
        try:
            while True:
                line = self.read()
                if line.strip():
                    try:
                        self._obey(line) if line.startswith("/") else self._answer(line.strip())
                    except UserError as error:
                        self.note(str(error))
        except (EOFError, KeyboardInterrupt):
            return

    def _obey(self, line: str) -> None:
        name, _, text = line.strip().partition(" ")
        if name not in self._commands:
            raise UserError(f"There is no command {name}. {suggest(name, self._commands)}")
        self._commands[name](text.strip())

    def _answer(self, question: str) -> None:
        with _stoppable(self.conversation.interrupt):
            for piece in self.conversation.ask(question):
                self.write(piece)
        self.write("\n")
        answer = self.conversation.last
        assert answer is not None
        for line in (*notices(answer, self.conversation.context_length), figures(answer, self.conversation)):
            self.note(line)

    def _system(self, text: str) -> None:
        if text:
            self.conversation.system(text)
        self.note(f"System message: {self.conversation.instruction or 'none of yours'}")

    def _reset(self, text: str) -> None:
        self.conversation.reset()
        self.note("Forgotten." if self.conversation.instruction is None else "Forgotten, but for the system message.")

    def _undo(self, text: str) -> None:
        question = self.conversation.undo()
        self.note("There is nothing to take back." if question is None else f"Taken back: {question.content}")

    def _save(self, text: str) -> None:
        if not text:
            raise UserError("Say where: /save talk.jsonl")
        path = Path(text).expanduser().resolve()
        if path.exists() and path not in self._saved:
            raise UserError(f"{text} is there already. Choose another name.")
        try:
            path.write_text(self.conversation.to_json(), encoding="utf-8")
        except OSError as error:
            raise UserError(f"{text} cannot be written: {error.strerror or error}. Choose another place.") from None
        self._saved.add(path)
        self.note(f"{len(self.conversation.messages)} messages in {text}")

    def _temperature(self, text: str) -> None:
        from firsthand.generate.sampling import check

        value = _number(text, float, "/temp 0.7")
        check(temperature=value)
        self.conversation.sampling["temperature"] = value
        self.note(f"temperature {value}")

    def _seed(self, text: str) -> None:
        self.conversation.seed = int(_number(text, int, "/seed 7"))
        self.note(f"seed {self.conversation.seed}")

    def _tokens(self, text: str) -> None:
        said, context = self.conversation, self.conversation.context_length
        gone = f", {said.forgotten} of them forgotten" if said.forgotten else ""
        self.note(f"{said.tokens:,} of {context:,} tokens, {len(said.messages)} messages{gone}, seed {said.seed}")

    def _quit(self, text: str) -> None:
        raise EOFError


def _number(text: str, kind: type, example: str) -> float:
    try:
        return float(kind(text))
    except ValueError:
        raise UserError(f"{text or 'Nothing'!r} is no number here. Write for example {example}.") from None


def notices(answer: "Answer", context_length: int) -> Iterator[str]:
    """What the reader of an answer should know, a line each."""
    if answer.forgotten:
        yield (
            f"The conversation outgrew the {context_length:,} tokens that the model reads: "
            f"its {answer.forgotten} oldest messages were forgotten."
        )
    if answer.finish == "interrupted":
        yield "Stopped; what is written stays." if answer.text else "Stopped before a word: the question is taken back."
    if answer.finish == "length":
        yield f"Cut after {answer.tokens} tokens (--max-tokens, or the model's context)."


def figures(answer: "Answer", conversation: "Conversation") -> str:
    """Tokens and speed, in one line."""
    used = answer.prompt_tokens + answer.tokens
    return (
        f"(read {answer.read} tokens in {answer.wait:.1f} s, wrote {answer.tokens} at {answer.tokens_per_second:.0f} "
        f"tokens/s; {used:,} of {conversation.context_length:,} used)"
    )


@contextmanager
def _stoppable(stop: Callable[[], None]) -> Iterator[None]:
    """Meanwhile the first Ctrl-C calls `stop`, a second one leaves."""
    asked = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        stop()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)

"""`firsthand chat`: a conversation with a model that was taught to hold one."""

import secrets
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firsthand.cli.options import (
    Device,
    Engine,
    MinP,
    Parts,
    Precision,
    RepetitionPenalty,
    Seed,
    Stop,
    Temperature,
    Threads,
    TopK,
    TopP,
    check_options,
)
from firsthand.cli.output import Json, emit, valid, write
from firsthand.cli.talk import Talk, figures, notices
from firsthand.cli.terminal import line_reader, note
from firsthand.errors import UserError, suggest

if TYPE_CHECKING:
    from firsthand.generate.conversation import Conversation
    from firsthand.opened import Opened
    from firsthand.tokens.chat import ChatTemplate


def chat(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A run, a checkpoint, or a model from elsewhere.")],
    parts: Parts = None,
    prompt: Annotated[
        list[str] | None, typer.Option(help="Say this, print the answer, and leave. Repeat it for several turns.")
    ] = None,
    system: Annotated[str | None, typer.Option(help="What kind of answers you want.")] = None,
    template: Annotated[str | None, typer.Option(help="chatml: for a model that says nothing of its own.")] = None,
    max_tokens: Annotated[int, typer.Option(help="End an answer after so many tokens.")] = 512,
    temperature: Temperature = 0.2,
    top_k: TopK = None,
    top_p: TopP = 0.9,
    min_p: MinP = None,
    repetition_penalty: RepetitionPenalty = 1.0,
    stop: Stop = None,
    seed: Seed = None,
    device: Device = "cpu",
    precision: Precision = "auto",
    engine: Engine = "auto",
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Talk with a model: in the terminal, line by line through a pipe, or in a script with --prompt."""
    person = not (json or prompt) and sys.stdin.isatty() and sys.stdout.isatty()
    if person:
        note(f"Opening {model} …")
    from firsthand.generate.conversation import Conversation
    from firsthand.generate.packed import pack
    from firsthand.generate.sampling import Sampling
    from firsthand.generate.threads import with_threads
    from firsthand.opened import open_model

    sampling = Sampling(
        temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, repetition_penalty=repetition_penalty
    )
    check_options(max_tokens, sampling, precision, engine, threads)
    opened = open_model(model, device, parts or [])
    used, ready = template_of(opened, model, template), pack(opened.model, precision, engine)
    chosen = secrets.randbits(31) if seed is None else seed
    conversation = Conversation(ready, used, max_tokens, stop=stop or [], seed=chosen, **sampling)
    if system:
        conversation.system(system)
    with with_threads(ready, threads):
        if person:
            _talk(conversation, sum(weight.numel() for weight in opened.model.parameters()))
        else:
            _script(conversation, prompt or _lines(), json)


def template_of(opened: "Opened", name: str, template: str | None) -> "ChatTemplate":
    """How conversations with the model are written. UserError for a model that was not taught any way."""
    from firsthand.tokens.chat import CHATML, ChatTemplate

    if template is not None:
        if template != CHATML:
            raise UserError(f"There is no chat template {template!r}. {suggest(template, [CHATML])}")
        return ChatTemplate(template, opened.tokenizer)
    if opened.chat is None:
        raise UserError(
            f"{name} continues texts, but was not taught to answer: it has no chat template. Use `firsthand generate "
            f"{name}`, or fine-tune it on conversations first. If its tokenizer has the marks <|im_start|> and "
            "<|im_end|>, --template chatml tries all the same."
        )
    return opened.chat


def _talk(conversation: "Conversation", parameters: int) -> None:
    from firsthand.text.download import cache

    note(
        f"{parameters / 1e6:.1f} million parameters, reads {conversation.context_length:,} tokens, seed "
        f"{conversation.seed}. /help lists the commands, Ctrl-D leaves."
    )
    Talk(conversation, line_reader(cache() / "chat" / "history"), write, note).run()


def _lines() -> Iterator[str]:
    """The lines of standard input that say something. Commands are for people: here a line is only text."""
    for line in sys.stdin.buffer:
        if text := line.decode("utf-8", "replace").strip():
            yield text


def _script(conversation: "Conversation", questions: Any, json: bool) -> None:
    """All the questions and answers, printed as they come or as one JSON value."""
    answers = []
    for question in questions:
        for piece in conversation.ask(valid(question)):
            if not json:
                write(piece)
        answer = conversation.last
        assert answer is not None
        answers.append(asdict(answer))
        for line in notices(answer, conversation.context_length):
            note(line)
        if not json:
            write("\n")
            note(figures(answer, conversation))
    if json:
        emit(
            {
                "messages": [asdict(message) for message in conversation.messages],
                "answers": answers,
                "tokens": sum(answer["tokens"] for answer in answers),
                "seed": conversation.seed,
                "context_length": conversation.context_length,
            }
        )

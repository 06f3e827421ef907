"""`firsthand generate`: a trained model continues your text."""

import secrets
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated, Any

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
from firsthand.errors import UserError
from firsthand.generate.stream import Completion, Piece


def generate(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, or one of its checkpoints.")],
    parts: Parts = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option(help="The text to continue; - reads it from standard input. Repeat it for several at once."),
    ] = None,
    max_tokens: Annotated[int, typer.Option(help="Stop after so many tokens.")] = 200,
    temperature: Temperature = 0.8,
    top_k: TopK = None,
    top_p: TopP = None,
    min_p: MinP = None,
    repetition_penalty: RepetitionPenalty = 1.0,
    sampler: Annotated[str | None, typer.Option(help="A function of your own that draws: file.py:sample.")] = None,
    stop: Stop = None,
    seed: Seed = None,
    device: Device = "cpu",
    precision: Precision = "auto",
    engine: Engine = "auto",
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Continue a text with a trained model, as it comes."""
    from firsthand.generate.outside import OwnSampler
    from firsthand.generate.packed import pack
    from firsthand.generate.sampling import Sampling
    from firsthand.opened import load

    sampling = Sampling(
        temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, repetition_penalty=repetition_penalty
    )
    check_options(max_tokens, sampling, precision, engine, threads)
    prompts = _read(prompt or [""])
    chosen = secrets.randbits(31) if seed is None else seed
    model, tokenizer = load(run, device=device, parts=parts or [])
    settings: dict[str, Any] = {"max_tokens": max_tokens, "stop": stop or [], "seed": chosen, **sampling}
    settings |= {"sampler": OwnSampler(sampler, chosen)} if sampler else {}
    completions, seconds = _write_all(pack(model, precision, engine), tokenizer, prompts, threads, json, settings)
    _end(completions, model.context_length, chosen, seconds, json)


def _write_all(
    model: Any, tokenizer: Any, prompts: list[str], threads: int | None, json: bool, settings: dict[str, Any]
) -> tuple[list[Completion], float]:
    """The completions of all prompts, printed as they come unless JSON follows, and the seconds that they took."""
    from firsthand.generate.text import stream
    from firsthand.generate.threads import with_threads

    with with_threads(model, threads, len(prompts)):
        begun = time.perf_counter()
        pieces = stream(model, tokenizer, prompts, **settings)
        completions = _collect(pieces) if json else _show(pieces, prompts)
        return completions, max(time.perf_counter() - begun, 1e-9)


def _end(completions: list[Completion], context_length: int, seed: int, seconds: float, json: bool) -> None:
    """What there is to say about the texts: notices, then the JSON value or a line of figures."""
    for notice in _notices(completions, context_length):
        sys.stderr.write(notice + "\n")
    tokens = sum(completion.tokens for completion in completions)
    if json:
        emit(_report(completions, seed, tokens / seconds))
    else:
        sys.stderr.write(f"({tokens} tokens, {tokens / seconds:.0f} tokens/s, seed {seed})\n")


def _read(prompts: list[str]) -> list[str]:
    """The prompts, with "-" replaced by what standard input holds."""
    if prompts.count("-") > 1:
        raise UserError("Standard input can be read only once: give --prompt - a single time.")
    # bytes that are no UTF-8 travel on as Python passes them in arguments: tokenizers of bytes can read them
    return [
        sys.stdin.buffer.read().decode("utf-8", "surrogateescape") if prompt == "-" else prompt for prompt in prompts
    ]


def _collect(pieces: Iterable[Piece]) -> list[Completion]:
    """Run to the end and give back the completions in the order of the prompts."""
    ended = {piece.row: piece.completion for piece in pieces if piece.completion is not None}
    return [ended[row] for row in sorted(ended)]


def _show(pieces: Iterable[Piece], prompts: list[str]) -> list[Completion]:
    """Print the first text as it comes; the others, drawn meanwhile, follow as soon as the one before has ended."""
    ended: dict[int, Completion] = {}
    waiting = [""] * len(prompts)
    current = 0
    write(_heading(prompts, current) + prompts[current])
    for piece in pieces:
        waiting[piece.row] += piece.text
        if piece.completion is not None:
            ended[piece.row] = piece.completion
        while current < len(prompts):
            write(waiting[current])
            waiting[current] = ""
            if current not in ended:
                break
            current += 1
            write("\n" + (_heading(prompts, current) + prompts[current] if current < len(prompts) else ""))
    return [ended[row] for row in sorted(ended)]


def _heading(prompts: list[str], row: int) -> str:
    return f"── {row + 1} of {len(prompts)} ──\n" if len(prompts) > 1 else ""


def _notices(completions: list[Completion], context_length: int) -> list[str]:
    """One line for each thing that the reader of the text should know."""
    notices = []
    for number, completion in enumerate(completions, 1):
        which = f"Prompt {number}" if len(completions) > 1 else "The prompt"
        if completion.dropped:
            notices.append(
                f"{which} is longer than the model's context of {context_length} tokens: "
                f"its first {completion.dropped} were left out."
            )
        if completion.unknown:
            notices.append(
                f"{which} holds what the tokenizer has never seen: "
                f"the model reads {completion.unknown} of its tokens as <unk>."
            )
        if completion.slid:
            text = f"Text {number}" if len(completions) > 1 else "The text"
            notices.append(
                f"{text} outgrew the model's context of {context_length} tokens: it went on from the last half of it."
            )
    return notices


def _report(completions: list[Completion], seed: int, speed: float) -> dict[str, Any]:
    """The JSON value: every completion in a list; of a single prompt, its fields at the top as well."""
    each = [asdict(completion) | {"prompt": valid(completion.prompt)} for completion in completions]
    common = {"seed": seed, "tokens_per_second": round(speed, 1), "completions": each}
    return {**each[0], **common} if len(each) == 1 else common

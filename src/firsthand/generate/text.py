"""Text in, text out: prompts become ids, tokens become text as they come."""

from collections.abc import Iterator, Sequence
from typing import Unpack

from firsthand.generate.decode import generate
from firsthand.generate.sampling import Drawing, Sampling
from firsthand.generate.stream import Completion, Piece, TextStream
from firsthand.model.language_model import LanguageModel
from firsthand.tokens import Tokenizer
from firsthand.tokens.chat import ChatTemplate
from firsthand.types import Message


def begun(tokenizer: Tokenizer, ids: list[int]) -> list[int]:
    """The ids of a text after the token that texts begin with, if the tokenizer has one (`begin`); otherwise a text
    without ids starts from the end of one, where in training a new one began."""
    begin = getattr(tokenizer, "begin", None)  # only some tokenizers from elsewhere have one
    return [*([] if begin is None else [begin]), *ids] or [tokenizer.end_of_text]


def stream(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    max_tokens: int = 200,
    *,
    stop: Sequence[str] = (),
    seed: int = 0,
    **sampling: Unpack[Drawing],
) -> Iterator[Piece]:
    """Continue all prompts at once and give back text as soon as it is certain (see `TextStream`).

    A prompt comes after the token that texts begin with (see `begun`). A row ends at the tokenizer's end of text,
    before a string of `stop`, or after `max_tokens`. The other settings are those of `generate`.
    Raises UserError where `generate`, `TextStream` and the tokenizer do.
    """
    ids = [begun(tokenizer, tokenizer.encode(prompt)) for prompt in prompts]
    ends, size = [tokenizer.end_of_text], tokenizer.vocab_size
    rows = generate(model, ids, max_tokens, seed=seed, stop_ids=ends, vocab_size=size, **sampling)
    texts = [TextStream(tokenizer, stop) for _ in prompts]
    written = [""] * len(prompts)
    unknown = getattr(tokenizer, "unknown", -1)  # only some kinds have one
    for step in rows:
        for row, id in enumerate(step):
            if id is None:
                continue
            new = texts[row].push(id)
            if rows.finish[row] is not None:
                new += texts[row].finish()
            if texts[row].stopped is not None:
                rows.stop(row)
            written[row] += new
            completion = None
            if finish := rows.finish[row]:
                completion = Completion(
                    prompt=prompts[row],
                    text=written[row],
                    tokens=len(rows.ids[row]) - len(ids[row]) - (finish == "end_of_text"),
                    finish=finish,
                    slid=rows.slid[row],
                    dropped=rows.dropped[row],
                    unknown=ids[row].count(unknown),
                )
            yield Piece(row, new, completion)


def complete(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompt: str = "",
    max_tokens: int = 200,
    *,
    stop: Sequence[str] = (),
    seed: int = 0,
    **sampling: Unpack[Sampling],
) -> str:
    """The continuation of one prompt; the settings are those of `stream`."""
    pieces = stream(model, tokenizer, [prompt], max_tokens, stop=stop, seed=seed, **sampling)
    return "".join(piece.text for piece in pieces)


def answer(
    model: LanguageModel,
    template: ChatTemplate,
    messages: Sequence[Message],
    max_tokens: int = 200,
    *,
    seed: int = 0,
    **sampling: Unpack[Sampling],
) -> str:
    """What the assistant says next in a conversation, up to the mark that ends an answer."""
    tokenizer = template.tokenizer
    ids = template.encode(messages, answer=True).ids
    stop_ids = {*template.stop_ids, tokenizer.end_of_text}
    text = TextStream(tokenizer)
    size = tokenizer.vocab_size
    steps = generate(model, [ids], max_tokens, seed=seed, stop_ids=stop_ids, vocab_size=size, **sampling)
    return "".join(text.push(id) for step in steps for id in step if id is not None) + text.finish()

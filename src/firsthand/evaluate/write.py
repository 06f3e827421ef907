"""Many prompts of ids to many texts: what a model answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Unpack

from firsthand.errors import UserError
from firsthand.generate.decode import generate
from firsthand.generate.sampling import Sampling
from firsthand.generate.stream import TextStream
from firsthand.model.language_model import LanguageModel
from firsthand.tokens import Tokenizer


@dataclass(frozen=True)
class Written:
    """`text`: the answer, without what ended it. `tokens`: how many were drawn. `finish`: "length", "stop" or
    "end_of_text". `dropped`: so many tokens of the prompt's beginning did not fit into the context."""

    text: str
    tokens: int
    finish: str
    dropped: int


def write(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompts: Sequence[list[int]],
    max_tokens: int,
    *,
    stop: Sequence[str] = (),
    stop_ids: Sequence[int] = (),
    seed: int = 0,
    **sampling: Unpack[Sampling],
) -> list[Written]:
    """The answers to all prompts. Each ends at the tokenizer's end of text, an id of `stop_ids`, before a string of
    `stop`, or after `max_tokens`.

    An answer always fits into the context: a long prompt loses its beginning to it. UserError where no prompt is left,
    and where `generate` raises one.
    """
    room = model.context_length - max_tokens
    if room < 1:
        raise UserError(
            f"Answers of {max_tokens} tokens leave no room for a prompt in the model's context of "
            f"{model.context_length}. Set max_tokens to less, for example {max(1, model.context_length // 2)}."
        )
    ends = [tokenizer.end_of_text, *stop_ids]
    begin = [tokenizer.end_of_text]
    rows = generate(
        model, [(ids or begin)[-room:] for ids in prompts], max_tokens, seed=seed, stop_ids=ends, **sampling
    )
    streams = [TextStream(tokenizer, stop) for _ in prompts]
    texts, tokens = [""] * len(prompts), [0] * len(prompts)
    for step in rows:
        for row, id in enumerate(step):
            if id is not None:
                tokens[row] += 1
                if id not in ends:
                    texts[row] += streams[row].push(id)
                if streams[row].stopped is not None:
                    rows.stop(row)
    return [
        Written(text + stream.finish(), count, str(finish), max(0, len(ids) - room))
        for text, stream, count, finish, ids in zip(texts, streams, tokens, rows.finish, prompts, strict=True)
    ]

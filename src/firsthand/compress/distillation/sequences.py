"""Distillation by whole texts: the teacher writes, and the student reads that instead of what people wrote.

A student can learn the one text that its teacher would write from here more easily than all that could follow (Kim and
Rush, sequence-level knowledge distillation, arXiv 1606.07947, section 3.2; they search by beams, here each word is the
likeliest at temperature 0, or drawn).
"""

from collections.abc import Iterator

import numpy as np

from firsthand.data.permutation import keys, permute
from firsthand.data.shards import Tokens
from firsthand.errors import UserError
from firsthand.generate.decode import generate
from firsthand.model.language_model import LanguageModel
from firsthand.tokens import Tokenizer


def prompts(tokens: Tokens, length: int, seed: int = 0) -> Iterator[list[int]]:
    """Pieces of `length` tokens that follow each other in a text, in a random order: each once. UserError for a text
    that is shorter."""
    count = len(tokens) // length
    if count == 0:
        raise UserError(
            f"The text has {len(tokens)} tokens, too few for a prompt of {length}. Ask for shorter prompts."
        )
    key = keys("prompts", seed)
    for number in range(count):
        start = int(permute(np.array([number]), count, key)[0]) * length
        yield tokens.slice(start, start + length).tolist()


def written(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompts: list[list[int]],
    max_tokens: int,
    temperature: float = 0.0,
    seed: int = 0,
) -> list[str]:
    """Each prompt and how the model goes on, up to `max_tokens` tokens or the end of a text."""
    ends = [tokenizer.end_of_text]
    rows = generate(
        model,
        prompts,
        max_tokens,
        seed=seed,
        stop_ids=ends,
        vocab_size=tokenizer.vocab_size,
        temperature=temperature,
    )
    for _ in rows:
        pass
    return [tokenizer.decode([id for id in ids if id not in ends]) for ids in rows.ids]

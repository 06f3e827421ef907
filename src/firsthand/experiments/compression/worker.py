"""A process that has one model alone and is timed: it answers each line of standard input with a line of JSON.

`prefill` and `decode` give tokens a second, `memory` the most bytes that the process has had at once since it read the
model. Started by speed.py as `python -m firsthand.experiments.compression.worker`, with its settings as JSON.
"""

import json
import logging
import sys
import time
from typing import Any

import torch

from firsthand.experiments.memory import PeakMemory
from firsthand.generate.decode import generate
from firsthand.generate.packed import pack
from firsthand.generate.threads import fastest
from firsthand.model.language_model import LanguageModel
from firsthand.opened import open_model

PROMPT, READ, WRITTEN = 32, 512, 48
"""Tokens before what is written, tokens that are read, tokens that are written."""


def serve(settings: dict[str, Any]) -> None:
    logging.disable()
    model = pack(open_model(settings["model"], parts=settings["parts"]).model, settings["precision"])
    torch.set_num_threads(settings["threads"] or fastest(model))
    for work in KINDS.values():
        work(model)  # the first time is slow
    precision = str(next(model.parameters()).dtype).removeprefix("torch.")
    _say({"threads": torch.get_num_threads(), "precision": precision})
    with PeakMemory(torch.device("cpu")) as memory:
        for line in sys.stdin:
            if line.strip() == "memory":
                break
            _say({"rate": KINDS[line.strip()](model)})
    _say({"bytes": memory.bytes})


def prefill(model: LanguageModel) -> float:
    """Tokens a second of a prompt that is read."""
    count = min(READ, model.context_length)
    started = time.perf_counter()
    next(generate(model, [_tokens(model, count)], 1, temperature=0.0))
    return count / (time.perf_counter() - started)


def decode(model: LanguageModel) -> float:
    """Tokens a second that are written after a short prompt, the first of them aside."""
    prompt = min(PROMPT, model.context_length // 2)
    count = min(WRITTEN, model.context_length - prompt)
    steps = generate(model, [_tokens(model, prompt)], count, temperature=0.0)
    next(steps)
    started = time.perf_counter()
    written = sum(1 for _ in steps)
    return written / (time.perf_counter() - started)


KINDS = {"prefill": prefill, "decode": decode}


def _tokens(model: LanguageModel, count: int) -> list[int]:
    generator = torch.Generator().manual_seed(0)
    ids: list[int] = torch.randint(model.vocab_size, (count,), generator=generator).tolist()
    return ids


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))

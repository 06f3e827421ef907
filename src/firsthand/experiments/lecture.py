"""What a teacher leaves for students to come: what it says of every token of a corpus, and texts that it writes."""

import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from firsthand import assemble, opened
from firsthand import config as config_module
from firsthand.compress.distillation import sequences, stored
from firsthand.compress.distillation.teacher import Teacher, same_tokenizer
from firsthand.data.shards import Tokens
from firsthand.errors import UserError
from firsthand.experiments import corpus as corpus_module
from firsthand.experiments.corpus import Corpus
from firsthand.generate.packed import pack

Note = Callable[[str], None]
Done = Callable[[float], object]

TOGETHER = 16
"""Texts that are written at once."""


def teach(
    text: Path, settings: list[str], teacher: str, out: Path, top_k: int, temperature: float, note: Note, done: Done
) -> dict[str, Any]:
    """Write what the model `teacher` says of the training text of a recipe or run to `out`; what is there stays.

    Returns how much that is: tokens, top_k, the share of the teacher's probability that the top_k words have, bytes,
    and the seconds that this call took. UserError where tokenizers differ or the text is not one.
    """
    started = time.perf_counter()
    found = opened.open_model(teacher)
    tokens = _text(text, settings, out / "data", teacher, found, note)
    model = Teacher(found.model)
    stored.teach(model, tokens, out, top_k, temperature, {"teacher": teacher}, done)
    kept = stored.Stored(out)
    return {
        "folder": str(out),
        "teacher": teacher,
        "tokens": len(tokens),
        "top_k": kept.top_k,
        "temperature": temperature,
        "covered": kept.covered(),
        "bytes": sum(path.stat().st_size for path in out.glob("*.npy")),
        "seconds": round(time.perf_counter() - started, 1),
    }


def write(
    text: Path,
    settings: list[str],
    teacher: str,
    out: Path,
    texts: int,
    lengths: tuple[int, int],
    temperature: float,
    seed: int,
    note: Note,
    done: Done,
) -> dict[str, Any]:
    """Let the model `teacher` go on from pieces of the training text of a recipe or run, and write that to `out`.

    `lengths`: tokens of a piece, and tokens that are written after it. JSON lines with `text`; as many as are there
    already are not written again. Returns how many there are, and the seconds that this call took.
    """
    started = time.perf_counter()
    found = opened.open_model(teacher)
    tokens = _text(text, settings, out.with_suffix(".data"), teacher, found, note)
    model, (prompt, new) = pack(found.model), lengths
    kept = out.read_text(encoding="utf-8").splitlines(keepends=True) if out.is_file() else []
    there = len(kept) - len(kept) % TOGETHER
    rest = itertools.islice(sequences.prompts(tokens, prompt, seed), there, texts)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("".join(kept[:there]), encoding="utf-8")
    count = there
    with out.open("a", encoding="utf-8") as file:
        for some in stored.batched(rest, TOGETHER):
            for line in sequences.written(model, found.tokenizer, some, new, temperature, seed + count):
                file.write(json.dumps({"text": line}, ensure_ascii=False) + "\n")
            file.flush()
            count += len(some)
            done(count / texts)
    return {"file": str(out), "texts": count, "seconds": round(time.perf_counter() - started, 1)}


def _text(text: Path, settings: list[str], folder: Path, teacher: str, found: opened.Opened, note: Note) -> Tokens:
    """The training text of a run, or of a recipe, whose data are made in `folder`. UserError where it is none."""
    if (text / "data" / "summary.json").is_file():
        corpus = corpus_module.open_corpus(text / "data")
    else:
        config, _ = assemble.settle(config_module.load(text, settings))
        corpus_module.make(config, folder, note)
        corpus = corpus_module.open_corpus(folder)
    if not isinstance(corpus, Corpus) or not isinstance(corpus.train, Tokens):
        raise UserError(f"{text} trains on conversations or classes; a teacher is asked about texts (data.kind=text).")
    same_tokenizer(found.tokenizer, corpus.tokenizer, (teacher, f"of {text}"))
    return corpus.train

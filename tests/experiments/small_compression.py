"""A small model and a text to compress it on, and the question that tests ask of them; small_methods.py has methods."""

from pathlib import Path

import torch

from firsthand import checkpoint, tokens
from firsthand.assemble import description
from firsthand.compress.plan import Calibration, Plans
from firsthand.config import parse
from firsthand.experiments.compression import Question
from firsthand.model.make import build_model

MODEL = {"preset": "llama", "n_layers": 2, "d_model": 16, "n_heads": 2, "context_length": 32}
OWN = str(Path(__file__).parent / "small_methods.py")
ROUNDED, TRAINED, REFUSED = (f"{OWN}:{name}" for name in ("Rounded", "Trained", "Refused"))


def write_text(folder):
    path = folder / "text.txt"
    path.write_text("".join(f"the {number % 7} kings of {number % 11} lands. " for number in range(200)))
    return str(path)


def write_model(folder, **fields):
    """The folder of a run with one checkpoint; `fields` of the model beside those of MODEL."""
    settings = MODEL | fields
    tokenizer = tokens.TOKENIZERS["byte"].train([])
    tokenizer.save(folder / "tokenizer")
    torch.manual_seed(0)
    made = build_model(settings, tokenizer.vocab_size)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, 1.0 if parameter.ndim == 1 else 0.0, 0.3)  # so that each of them matters
    saved = {name: parameter.detach() for name, parameter in made.named_parameters()}
    content = description(parse({"model": settings}, "The test"), tokenizer)
    checkpoint.save(folder / "run" / "checkpoints", 7, saved, {}, {}, content, folder / "tokenizer" / "tokenizer.json")
    return str(folder / "run")


def question(model, text, plans, **more):
    """Judged on some of the text, and not timed."""
    asked = Plans(calibration=Calibration(windows=2, length=32), plans=plans)
    return Question(model, asked, text, rounds=0, tokens=512, **more)

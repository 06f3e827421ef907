"""The recipe of a run that takes a second, and what is asked of it; conftest.py has it as a file."""

import firsthand
from firsthand import config

RECIPE = {
    "data": {"validation": "tail:0.1", "batch_tokens": 128, "deduplicate": "none"},
    "tokenizer": {"part": "char"},
    "model": {"n_layers": 2, "d_model": 32, "n_heads": 2, "context_length": 16, "dropout": 0.1},
    "train": {"steps": 12, "microbatches": 2, "save_every": 1, "log_every": 1, "evaluate_every": 6, "threads": 1},
}
LINES = [
    f"the {a} {b} {c}.\n"
    for a in ("king", "queen", "fool")
    for b in ("sees", "loves", "fears")
    for c in ("night", "war", "day")
]


def tree(recipe, *settings):
    return config.load(recipe, [f"run.dir={recipe.parent / 'run'}", *settings])


def weights(folder):
    model, _ = firsthand.load(folder)
    return dict(model.named_parameters())

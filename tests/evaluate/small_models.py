"""Small models with random weights, and a tokenizer, for the tests of this folder."""

import torch

from firsthand.model.make import build_model
from firsthand.tokens import TOKENIZERS

TEXT = "To be, or not to be, that is the question: whether 'tis nobler in the mind to suffer 12 slings. 😀\n" * 3


def tokenizer(kind="bpe", **arguments):
    return TOKENIZERS[kind].train([TEXT], **({"vocab_size": 300} if kind == "bpe" else {}), **arguments)


def model(vocab_size, context_length=24, **fields):
    """Weights large enough that texts differ in their probabilities."""
    sizes = {"n_layers": 2, "d_model": 32, "n_heads": 2, "context_length": context_length}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = build_model({**sizes, **fields}, vocab_size).eval()
        for parameter in made.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    return made

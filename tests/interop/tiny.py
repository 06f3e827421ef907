"""A tiny model of ours, and its folder as Hugging Face's libraries have it."""

import torch

from firsthand.interop import EXPORTS, Imported
from firsthand.model.make import build_model
from firsthand.tokens import TOKENIZERS

SIZES = {"n_layers": 2, "d_model": 16, "n_heads": 2, "n_kv_heads": 1, "d_head": 8, "d_ff": 24, "context_length": 64}
TEXT = "the quick brown fox jumps over the lazy dog"


def tiny(preset="llama", vocab_size=40, tokenizer=None, chat=None, **fields):
    """A model with random weights."""
    fields = {"preset": preset, **SIZES, "tied": False, **fields}
    torch.manual_seed(0)
    model = build_model(fields, vocab_size)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    return Imported(fields, vocab_size, weights, tokenizer or TOKENIZERS["char"].train([TEXT]), chat)


def folder(path, dtype="fp32", **arguments):
    EXPORTS["hf"].write(tiny(**arguments), path, dtype)
    return path

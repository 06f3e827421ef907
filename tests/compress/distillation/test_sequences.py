"""Texts that a teacher writes: each piece of the text begins one, and the teacher goes on."""

import numpy as np
import pytest
import torch

from firsthand.compress.distillation.sequences import prompts, written
from firsthand.data.shards import Tokens
from firsthand.errors import UserError
from firsthand.generate.reference import generate as slow
from firsthand.model.make import build_model
from firsthand.tokens import TOKENIZERS

TEXT = np.arange(50, dtype=np.uint16)


def test_each_piece_is_a_prompt_once_in_an_order_that_the_seed_decides():
    found = list(prompts(Tokens.of(TEXT), 5, seed=2))
    assert sorted(found) == TEXT.reshape(10, 5).tolist()
    assert found != sorted(found)
    assert found == list(prompts(Tokens.of(TEXT), 5, seed=2))
    assert found != list(prompts(Tokens.of(TEXT), 5, seed=3))
    with pytest.raises(UserError, match="50 tokens, too few for a prompt of 51"):
        next(prompts(Tokens.of(TEXT), 51))


def test_the_teacher_goes_on():
    tokenizer = TOKENIZERS["byte"].train([])
    torch.manual_seed(0)
    fields = {"preset": "modern", "n_layers": 1, "d_model": 16, "n_heads": 2, "context_length": 32}
    model = build_model(fields, tokenizer.vocab_size).eval()
    with torch.no_grad():
        model.head_weight.normal_(0, 0.5)
    beginnings = [tokenizer.encode("to be"), tokenizer.encode("or not")]
    found = written(model, tokenizer, beginnings, 6)
    for text, ids in zip(found, beginnings, strict=True):
        wanted = slow(model, torch.tensor([ids]), 6, lambda logits: logits[:, : tokenizer.vocab_size].argmax(-1))[
            0
        ].tolist()
        assert text == tokenizer.decode([id for id in wanted if id != tokenizer.end_of_text])

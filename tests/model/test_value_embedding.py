"""A second embedding in the values of attention: by its formula, and in a model that trains and generates."""

import pytest
import torch

from firsthand.contracts.battery import BATTERIES, broken_by
from firsthand.contracts.part import Part
from firsthand.errors import UserError
from firsthand.generate.decode import generate
from firsthand.generate.reference import generate as generate_slowly
from firsthand.model.make import build_model
from firsthand.model.value_embedding import ValueEmbedding
from firsthand.types import Place

IDS = torch.tensor([[3, 1, 4], [1, 5, 9]])


def make(d_model=40):
    torch.manual_seed(0)
    return ValueEmbedding(vocab_size=10, d_model=d_model, n_kv_heads=2, d_head=4), torch.randn(2, 3, d_model)


def test_by_its_formula():
    embedding, x = make()
    value = torch.randn(2, 2, 3, 4)
    found = embedding(value, x, Place.of(IDS))
    for row in range(2):
        for time in range(3):
            opened = 2 * torch.sigmoid(embedding.gate.weight @ x[row, time, :32])
            for head in range(2):
                added = opened[head] * embedding.table[IDS[row, time], 4 * head : 4 * head + 4]
                torch.testing.assert_close(found[row, head, time], value[row, head, time] + added)


def test_narrow_models_use_all_their_channels():
    embedding, x = make(d_model=8)
    assert embedding.gate.in_features == 8
    assert embedding(torch.zeros(2, 2, 3, 4), x, Place.of(IDS)).abs().sum() > 0


def test_the_table_is_no_weight():
    """So Muon and weight decay leave it alone, and nobody counts it as multiplied."""
    embedding, _ = make()
    assert [name for name, _ in embedding.named_parameters()] == ["table", "gate.weight"]


def test_a_place_without_tokens_is_an_error():
    embedding, x = make()
    with pytest.raises(UserError, match=r"does not say which they are. Make it with Place.of\(ids\)"):
        embedding(torch.zeros(2, 2, 3, 4), x, Place(torch.arange(3).unsqueeze(0)))


def test_the_dtype_of_the_values_is_kept():
    embedding, x = make()
    assert embedding(torch.zeros(2, 2, 3, 4).bfloat16(), x, Place.of(IDS)).dtype == torch.bfloat16


def model(every_layer=True):
    torch.manual_seed(0)
    with_values = {"part": "attention", "value_embedding": True}
    mixer = with_values if every_layer else ["attention", with_values]
    built = build_model({"n_layers": 2, "d_model": 32, "n_heads": 4, "context_length": 24, "mixer": mixer}, 50)
    for name, parameter in built.named_parameters():
        if "norm" not in name:
            torch.nn.init.normal_(parameter, std=0.2)
    return built.eval()


def test_a_pattern_gives_it_to_some_layers():
    names = [name for name, _ in model(every_layer=False).named_parameters() if "value_embedding" in name]
    assert names == ["blocks.1.mixer.value_embedding.table", "blocks.1.mixer.value_embedding.gate.weight"]


def test_the_token_counts_beside_its_embedding():
    """Two tokens with the same embedding are told apart by their values."""
    built = model()
    ids = torch.tensor([[3, 1, 4, 1]])
    with torch.no_grad():
        built.embedding.weight[9] = built.embedding.weight[4]
        other = torch.tensor([[3, 1, 9, 1]])
        assert (built(ids) - built(other))[0, 2:].abs().amax(-1).gt(1e-3).all()


def test_cached_generation_is_that_without_a_cache():
    prompts = [[3, 1, 4, 1, 5], [9], [2, 6, 5]]
    rows = generate(model(), prompts, 12, temperature=0)
    for _ in rows:
        pass
    for found, prompt in zip(rows.ids, prompts, strict=True):
        expected = generate_slowly(model(), torch.tensor([prompt]), 12, lambda logits: logits.argmax(-1))
        assert found == expected[0].tolist()


def test_a_mixer_by_itself_needs_the_vocabulary():
    from firsthand.model.mixers.attention import CausalSelfAttention

    with pytest.raises(UserError, match="needs the size of the vocabulary"):
        CausalSelfAttention(d_model=8, n_heads=2, value_embedding=True)


@pytest.mark.parametrize("check", BATTERIES["mixer"])
def test_attention_keeps_the_promises_of_mixers_with_it(check):
    broken = broken_by(Part("mixer", {"part": "attention", "value_embedding": True}), check)
    assert broken is None, str(broken)

"""`firsthand count`: what it prints, for people and for programs."""

import json

import pytest

from firsthand.cli import main

RECIPE = """
tokenizer: {part: bpe, vocab_size: 300}
data: {batch_tokens: 128}
model: {preset: gpt2, n_layers: 2, d_model: 32, n_heads: 2, context_length: 16}
train: {precision: fp32, device: cpu}
"""


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    return str(path)


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as exit_:
        main(["count", *arguments])
    return exit_.value.code, capsys.readouterr()


def test_one_json_value(capsys, recipe):
    code, said = run(capsys, recipe, "--json", "train.microbatches=2")
    assert code == 0
    result = json.loads(said.out)
    assert result["vocab_size"] == 300
    assert result["vocab_size_is_exact"] is True
    parts = dict(result["parameters"])
    assert parts.pop("total") == sum(parts.values())
    assert parts["embedding"] == 300 * 32
    assert result["rows"] == 4
    assert result["flops_per_token"] == 6 * (2 * 12 * 32 * 32 + 300 * 32) + 6 * 2 * 32 * 16
    assert result["tokens_per_second"] > 0


def test_tables_for_people(capsys, recipe):
    code, said = run(capsys, recipe)
    assert code == 0
    for word in ("parameters", "embedding", "9,600", "activations", "optimizer", "tokens/s", "6 · multiplied weights"):
        assert word in said.out


@pytest.mark.parametrize(("part", "size", "exact"), [("byte", 257, True), ("char", 100, False), ("word", 8192, False)])
def test_vocabularies_that_the_recipe_does_not_state(capsys, recipe, part, size, exact):
    code, said = run(capsys, recipe, f"tokenizer={part}", "--json")
    assert code == 0
    result = json.loads(said.out)
    assert (result["vocab_size"], result["vocab_size_is_exact"]) == (size, exact)


def test_a_preset_without_a_recipe(capsys):
    code, said = run(capsys, "--preset", "gpt2", "--size", "124m", "model.context_length=32", "--json")
    assert code == 0
    result = json.loads(said.out)
    assert (result["vocab_size"], result["vocab_size_is_exact"]) == (50257, True)
    assert result["parameters"]["total"] == result["active_parameters"] == 124_439_808 - (1024 - 32) * 768
    assert result["decode_state"] == 4 * 12 * 2 * 768 * 32
    assert set(result["derived"]) == {"data.batch_tokens", "train.tokens", "train.optimizer.lr"}


def test_what_the_dial_derives_is_shown(capsys):
    code, said = run(capsys, "--preset", "modern", "model.n_layers=1", "model.context_length=16", "train.steps=3")
    assert code == 0
    assert "the dial sets" in said.out
    assert "model.d_model=64" in said.out
    assert "data.batch_tokens=" in said.out
    assert "train.tokens" not in said.out


def test_a_recipe_keeps_its_own_vocabulary(capsys, recipe):
    code, said = run(capsys, recipe, "model.size=124m", "--json")
    assert code == 0
    assert json.loads(said.out)["vocab_size"] == 300


def test_experts_are_counted_twice(capsys, recipe):
    code, said = run(capsys, recipe, "model.ffn=experts")
    assert code == 0
    assert "met by one token" in said.out


@pytest.mark.parametrize("arguments", [[], ["--size", "8b"], ["tiny", "--size", "8b"]])
def test_nothing_to_count(capsys, arguments):
    code, said = run(capsys, *arguments)
    assert code == 1
    assert "firsthand count --preset llama --size 8b" in " ".join(said.err.split())


def test_what_cannot_be_built_is_explained(capsys, recipe):
    code, said = run(capsys, recipe, "model.n_heads=3")
    assert code == 1
    assert "cannot be shared by model.n_heads = 3" in said.err
    code, said = run(capsys, recipe, "tokenizer=bit")
    assert code == 1
    assert "no part called 'bit'" in said.err

"""Families and their sizes: those of the published models, counted; and what the manual says of them."""

import re

import pytest
import torch

from firsthand import config
from firsthand.config import ModelNode
from firsthand.errors import UserError
from firsthand.model.count import count
from firsthand.model.make import build_model
from firsthand.model.presets import PRESETS, resolve
from firsthand.parts import split

PUBLISHED = [
    pytest.param(preset, size, id=f"{preset}-{size}")
    for preset, family in PRESETS.items()
    for size in family.sizes
    if family.sizes[size].published
]
LAPTOP = ("nano", "micro", "small")


def build(preset, size):
    with torch.device("meta"):
        return build_model({"preset": preset, "size": size}, PRESETS[preset].sizes[size].vocab_size)


@pytest.mark.parametrize(("preset", "size"), PUBLISHED)
def test_a_published_size_has_the_published_parameters(preset, size):
    model = build(preset, size)
    assert sum(parameter.numel() for parameter in model.parameters()) == PRESETS[preset].sizes[size].parameters


@pytest.mark.parametrize(("preset", "size"), PUBLISHED)
def test_transformers_counts_the_same(preset, size):
    """Its model of the same sizes, made of nothing: a count that does not depend on our code."""
    transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")
    name, fields = theirs(preset, resolve({"preset": preset, "size": size}), PRESETS[preset].sizes[size].vocab_size)
    with torch.device("meta"):
        model = getattr(transformers, f"{name}ForCausalLM" if name != "GPT2" else "GPT2LMHeadModel")(
            getattr(transformers, f"{name}Config")(**fields)
        )
    assert sum(parameter.numel() for parameter in model.parameters()) == PRESETS[preset].sizes[size].parameters


def theirs(preset, fields, vocab_size):
    """The name of a model of transformers, and its settings for `fields`."""
    if preset == "gpt2":
        sizes = {"n_embd": fields["d_model"], "n_layer": fields["n_layers"], "n_head": fields["n_heads"]}
        return "GPT2", sizes | {"vocab_size": vocab_size}
    shared = {"vocab_size": vocab_size, "hidden_size": fields["d_model"], "num_hidden_layers": fields["n_layers"]}
    shared |= {"tie_word_embeddings": fields["tied"]}
    heads = {"num_attention_heads": fields["n_heads"], "num_key_value_heads": fields["n_kv_heads"]}
    wide = heads | {"intermediate_size": fields["d_ff"], "head_dim": fields["d_head"]}
    mixers = fields["mixer"] if isinstance(fields["mixer"], list) else [fields["mixer"]]
    state = split(mixers[0])[1].get("d_state")
    attends = [number for number, mixer in enumerate(mixers) if mixer == "attention"]
    ssd = {"state_size": state, "num_heads": 2 * fields["d_model"] // 64, "head_dim": 64, "n_groups": 1}
    bamba = {"mamba_n_heads": ssd["num_heads"], "mamba_d_head": 64, "mamba_d_state": state, "mamba_n_groups": 1}
    bamba |= {"attn_layer_indices": attends}
    return {
        "llama": ("Llama", shared | wide),
        "qwen3": ("Qwen3", shared | wide),
        "mixtral": ("Mixtral", shared | wide),
        "mamba": ("Mamba", shared | {"state_size": state}),
        "mamba2": ("Mamba2", shared | ssd),
        "hybrid": ("Bamba", shared | wide | bamba),
    }[preset]


def test_mixtral_meets_the_published_share_of_its_parameters():
    fields = {"preset": "mixtral", "size": "8x7b", "context_length": 16}
    counted = count(fields, 32000)
    assert counted.active == 12_879_925_248
    with torch.device("meta"):
        experts = build_model(fields | {"n_layers": 1}, 32000).blocks[0].ffn
    idle = 6 * 3 * 4096 * 14336
    assert sum(p.numel() for p in experts.parameters()) - experts.active_parameters() == idle


@pytest.mark.parametrize("preset", PRESETS)
def test_every_family_has_sizes_for_a_laptop(preset):
    counts = []
    for size in LAPTOP:
        fields = resolve(ModelNode(preset=preset, size=size))
        assert fields["d_model"] == PRESETS[preset].width * fields["n_layers"], "what the dial would say"
        assert fields["n_layers"] == resolve({"preset": preset, "n_layers": fields["n_layers"]})["n_layers"]
        with torch.device("meta"):
            counts.append(sum(p.numel() for p in build_model(fields, 2048).parameters()))
    nano, micro, small = counts
    assert nano < 2e6
    assert nano < micro < small < 4e7


@pytest.mark.parametrize(("preset", "size"), PUBLISHED)
def test_resolving_twice_changes_nothing(preset, size):
    fields = resolve({"preset": preset, "size": size})
    assert resolve(fields) == fields
    assert fields["size"] == size


def test_given_fields_win_over_the_size():
    fields = resolve({"preset": "llama", "size": "8b", "n_layers": 2, "n_kv_heads": 4})
    assert [fields[key] for key in ("n_layers", "d_model", "n_heads", "n_kv_heads", "d_ff")] == [2, 4096, 32, 4, 14336]


def test_an_unknown_size_is_answered_with_the_valid_ones():
    with pytest.raises(UserError, match=r"model.size: llama has no size '8B'. Did you mean '8b'\? Valid here: 13b, 1b"):
        resolve({"preset": "llama", "size": "8B"})
    with pytest.raises(UserError, match=r"modern has no size '124m'.*micro, nano, small"):
        resolve({"preset": "modern", "size": "124m"})


def test_heads_are_shared_where_their_number_allows_it():
    shared = [resolve({"preset": "mixtral", "n_layers": n_layers})["n_kv_heads"] for n_layers in (4, 5, 6)]
    assert shared == [2, 5, 3]


@pytest.mark.parametrize("preset", PRESETS)
def test_the_manual_names_every_size(preset, pytestconfig):
    page = (pytestconfig.rootpath / "docs" / "model.md").read_text(encoding="utf-8")
    rows = "".join(re.findall(rf"^\| `{preset}` \|.*$", page, re.MULTILINE))
    assert [size for size in PRESETS[preset].sizes if size not in LAPTOP and f"`{size}`" not in rows] == []


def test_every_recipe_builds(pytestconfig):
    recipes = sorted((pytestconfig.rootpath / "recipes").glob("*.yaml"))
    recipes.remove(pytestconfig.rootpath / "recipes" / "compress.yaml")  # plans: tests/compress/test_plan.py
    named = set()
    for path in recipes:
        fields = resolve(config.load(path).model)
        with torch.device("meta"):
            assert build_model(fields, 300).blocks
        named.add(fields["preset"])
    assert named == set(PRESETS), "every preset has a recipe"

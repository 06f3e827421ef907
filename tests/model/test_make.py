"""From fields to a model: presets, derived sizes, patterns, errors, initial weights."""

import pytest
import torch

from firsthand.config import ModelNode
from firsthand.errors import UserError
from firsthand.model.ffns import Gated
from firsthand.model.initialize import INITIALIZERS
from firsthand.model.make import TIE_FROM, Unfilled, build_model
from firsthand.model.presets import PRESETS, resolve
from firsthand.types import Place

SMALL = {"n_layers": 2, "d_model": 32, "n_heads": 2, "context_length": 16}


def test_gpt2_is_the_published_model():
    fields = resolve({"preset": "gpt2"})
    sizes = [fields[key] for key in ("n_layers", "n_heads", "d_model", "d_head", "d_ff", "context_length")]
    assert sizes == [12, 12, 768, 64, 3072, 1024]


@pytest.mark.parametrize(
    ("n_layers", "d_model", "published"),
    [(12, 768, 124_439_808), (24, 1024, 354_823_168), (36, 1280, 774_030_080), (48, 1600, 1_557_611_200)],
)
def test_parameter_counts_of_gpt2(n_layers, d_model, published):
    with torch.device("meta"):
        model = build_model({"preset": "gpt2", "n_layers": n_layers, "d_model": d_model}, 50257)
    assert sum(parameter.numel() for parameter in model.parameters()) == published


@pytest.mark.parametrize("preset", PRESETS)
def test_resolving_twice_changes_nothing(preset):
    fields = resolve(ModelNode(preset=preset))
    assert set(fields) == set(ModelNode.model_fields)
    assert resolve(fields) == fields
    assert {name for name, value in fields.items() if value is None} <= {"tied", "size", "weights", "weights_sha256"}


def test_given_fields_win_and_sizes_follow():
    fields = resolve({"d_model": 192, "softcap": 0, "n_layers": 3})
    derived = [fields[key] for key in ("n_heads", "n_kv_heads", "d_head", "d_ff", "n_layers", "softcap")]
    assert derived == [3, 3, 64, 768, 3, 0]
    assert resolve({"d_model": 48})["d_head"] == 48
    assert resolve({"d_model": 256, "n_heads": 8, "n_kv_heads": 2, "d_head": 16, "d_ff": 100})["d_ff"] == 100


def test_small_vocabularies_have_their_own_head():
    assert build_model(SMALL, TIE_FROM - 1).unembedding is not None
    assert build_model(SMALL, TIE_FROM).unembedding is None
    assert build_model({**SMALL, "tied": True}, 10).unembedding is None


def test_patterns_repeat_over_the_layers():
    model = build_model({**SMALL, "n_layers": 5, "ffn": ["mlp", "mlp", {"part": "gated", "d_ff": 48}]}, 10)
    assert [isinstance(block.ffn, Gated) for block in model.blocks] == [False, False, True, False, False]
    assert model.blocks[2].ffn.up.out_features == 48


def test_all_layers_share_one_position():
    model = build_model({**SMALL, "position": "learned"}, 10)
    assert all(block.mixer.position is model.position for block in model.blocks)
    assert [name for name, _ in model.named_parameters() if "position" in name] == ["position.table"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"preset": "gtp2"}, "no preset called 'gtp2'. Did you mean 'gpt2'"),
        ({"mixer": "atention"}, "model.mixer: there is no part called 'atention'. Did you mean 'attention'"),
        ({"mixer": {"part": "attention", "heads": 3}}, "model.mixer: attention has no argument 'heads'"),
        ({"ffn": [{"part": "mlp", "activation": "x"}]}, "no activation called 'x'"),
        ({"position": "roep"}, "Did you mean 'rope'"),
        ({"norm": "batch_norm"}, "model.norm.*Valid here: dyt, layer_norm, rms_norm"),
        ({"initialize": "zeros"}, "model.initialize.*Valid here: gpt2, modern"),
        ({"n_heads": 5}, r"model.d_model = 32 cannot be shared by model.n_heads = 5.*model.d_head"),
        ({"n_heads": 4, "n_kv_heads": 3}, "n_heads = 4 is not a multiple of n_kv_heads = 3"),
        ({"n_heads": 32}, "d_head must be even, not 1"),
        ({"d_modle": 4}, "There is no setting 'model.d_modle'. Did you mean 'd_model'"),
        ({"n_layers": 0}, "model.n_layers = 0"),
    ],
)
def test_errors_say_what_to_do(fields, message):
    with pytest.raises(UserError, match=message):
        build_model({**SMALL, **fields}, 10)


def test_parts_from_files_are_refused_when_asked(tmp_path):
    (tmp_path / "mine.py").write_text("from firsthand.model.ffns import MLP as Mine")
    fields = {**SMALL, "ffn": f"{tmp_path}/mine.py:Mine"}
    assert type(build_model(fields, 10).blocks[0].ffn).__name__ == "MLP"
    with pytest.raises(UserError, match="never runs code"):
        build_model(fields, 10, files=False)


def test_a_mixer_that_could_not_write_text_is_refused_before_it_trains(tmp_path):
    lines = (
        "from torch import nn\nclass Mine(nn.Module):\n    def forward(self, x, place, state=None): return x, None\n"
    )
    (tmp_path / "mine.py").write_text(lines)
    with pytest.raises(UserError, match=r"mine.py:Mine has no method initial_state\(batch, length\).*firsthand check"):
        build_model({**SMALL, "mixer": f"{tmp_path}/mine.py:Mine"}, 10)


@pytest.mark.parametrize("name", INITIALIZERS)
def test_a_seed_decides_the_weights(name):
    models = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        models.append(build_model({**SMALL, "initialize": name}, 50))
    first, same, other = ([p.detach() for p in model.parameters()] for model in models)
    assert all(torch.equal(a, b) for a, b in zip(first, same, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_gpt2_scales_what_writes_into_the_residual_stream():
    model = build_model({"preset": "gpt2", "n_layers": 8, "d_model": 64, "n_heads": 1}, 500)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2:
            expected = 0.005 if name.endswith(("out.weight", "down.weight")) else 0.02
            assert parameter.std().item() == pytest.approx(expected, rel=0.05), name
        elif name.endswith("bias"):
            assert (parameter == 0).all()


def test_modern_blocks_begin_as_the_identity():
    model = build_model({**SMALL, "n_layers": 3}, 500)
    ids = torch.arange(12).reshape(2, 6)
    x = model.embed(ids, Place.of(ids))
    assert torch.equal(model.trunk(x, Place.of(ids))[0], x)
    assert model.embedding.weight.std().item() == pytest.approx(1, rel=0.05)
    assert model(ids).std() < 0.1
    up = model.blocks[0].ffn.up.weight
    assert up.std().item() == pytest.approx(32**-0.5, rel=0.05)
    louder = build_model({**SMALL, "initialize": {"part": "modern", "embedding_std": 0.5}}, 500)
    assert louder.embedding.weight.std().item() == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize("preset", ["qwen3", "llama"])
def test_weights_that_are_to_be_loaded_are_not_drawn(preset):
    before = torch.get_rng_state()
    with Unfilled():
        model = build_model({"preset": preset, "n_layers": 1, "d_model": 64}, 40)
    assert torch.equal(torch.get_rng_state(), before)
    assert model(torch.zeros(1, 3, dtype=torch.int64)).shape == (1, 3, 40)

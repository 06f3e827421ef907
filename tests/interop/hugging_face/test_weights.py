"""A folder's tensors: all of them, of the right shape, or a refusal that names one."""

import json
import tracemalloc

import pytest
import torch

from firsthand import interop
from firsthand.checkpoint import read_safetensors, write_safetensors
from firsthand.errors import DamagedError, UserError
from firsthand.interop.hugging_face import weights

from ..tiny import folder, tiny


def altered(path, change):
    """The folder with other tensors."""
    tensors = read_safetensors(path / "model.safetensors")
    change(tensors)
    (path / "model.safetensors").unlink()
    write_safetensors(path / "model.safetensors", tensors)
    return path


def settings(path, **changed):
    """The folder with other settings."""
    tree = json.loads((path / "config.json").read_text()) | changed
    (path / "config.json").write_text(json.dumps(tree))
    return path


def shard(path, parts=3):
    """The folder with its tensors spread over several files."""
    tensors = read_safetensors(path / "model.safetensors")
    (path / "model.safetensors").unlink()
    table = {name: f"model-{number % parts + 1:05}-of-{parts:05}.safetensors" for number, name in enumerate(tensors)}
    for file in set(table.values()):
        write_safetensors(path / file, {name: tensors[name] for name in tensors if table[name] == file})
    (path / weights.INDEX).write_text(json.dumps({"metadata": {}, "weight_map": table}))
    return path


@pytest.fixture
def saved(tmp_path):
    return folder(tmp_path / "model")


def same(found, expected):
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in found)


@pytest.mark.parametrize("preset", ["llama", "gpt2", "mixtral", "mamba", "mamba2"])
def test_several_files(tmp_path, preset):
    mixer = {"mixer": {"part": "mamba2", "d_head": 8, "d_state": 8}} if preset == "mamba2" else {}
    kv = {"n_kv_heads": 2} if preset == "gpt2" else {}
    path = shard(folder(tmp_path / "model", preset=preset, **mixer, **kv))
    assert same(interop.read(path).weights, tiny(preset, **mixer, **kv).weights)


@pytest.mark.parametrize(("dtype", "torch_dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_half_precision_is_read_as_fp32(tmp_path, dtype, torch_dtype):
    found = interop.read(folder(tmp_path / "model", dtype)).weights
    assert {tensor.dtype for tensor in found.values()} == {torch.float32}
    assert same(found, {name: tensor.to(torch_dtype).float() for name, tensor in tiny().weights.items()})


def test_names_without_the_prefix_and_masks_of_old_files(tmp_path):
    """The file of gpt2 on the hub is such a one."""
    path = folder(tmp_path / "model", preset="gpt2", n_kv_heads=2, tied=True)

    def older(tensors):
        for name in list(tensors):
            tensors[name.removeprefix("transformer.")] = tensors.pop(name)
        tensors |= {f"h.{layer}.attn.bias": torch.ones(1, 1, 64, 64) for layer in range(2)}
        tensors["lm_head.weight"] = tensors["wte.weight"].clone()  # of a tied head

    found = interop.read(altered(path, older)).weights
    assert same(found, tiny("gpt2", n_kv_heads=2, tied=True).weights)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop("model.layers.1.mlp.up_proj.weight"), "lacks the tensor model.layers.1.mlp.up_proj.weight"),
        (lambda t: t.pop("lm_head.weight"), "lacks the tensor lm_head.weight"),
        (lambda t: t.update({"score.weight": torch.ones(2, 16)}), "has the tensor score.weight"),
        (lambda t: t.update({"model.norm.weight": torch.ones(17)}), r"model.norm.weight is \(17,\), but"),
        (lambda t: t.update({"model.norm.weight": torch.ones(16, dtype=torch.int8)}), "quantized"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(saved, change, words):
    with pytest.raises(UserError, match=words):
        interop.read(altered(saved, change))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "consolidated.00.pth"])
def test_pickles_are_refused_with_the_way_to_convert_them(saved, name):
    (saved / "model.safetensors").rename(saved / name)
    with pytest.raises(UserError, match=rf"{name}.*save_pretrained"):
        interop.read(saved)


def test_no_weights_at_all(saved):
    (saved / "model.safetensors").unlink()
    with pytest.raises(UserError, match="its weights are missing"):
        interop.read(saved)


@pytest.mark.parametrize("name", ["../model.safetensors", "a/b.safetensors", ".hidden.safetensors", "model.bin", "", 7])
def test_an_index_names_only_files_beside_it(saved, name):
    shard(saved)
    (saved.parent / "model.safetensors").write_bytes(b"outside")
    table = json.loads((saved / weights.INDEX).read_text())
    table["weight_map"]["model.norm.weight"] = name
    (saved / weights.INDEX).write_text(json.dumps(table))
    with pytest.raises(DamagedError, match="cannot be one of its parts"):
        interop.read(saved)


def test_an_index_and_its_files_agree(saved):
    shard(saved)
    table = json.loads((saved / weights.INDEX).read_text())
    del table["weight_map"]["model.norm.weight"]
    (saved / weights.INDEX).write_text(json.dumps(table))
    with pytest.raises(DamagedError, match=r"do not agree about 'model\.norm\.weight'"):
        interop.read(saved)
    next(saved.glob("model-00001*")).unlink()
    with pytest.raises(DamagedError, match="is missing"):
        interop.read(saved)


HUGE = 1 << 24


@pytest.mark.parametrize(
    "hostile",
    [
        {"num_hidden_layers": HUGE},
        {"vocab_size": HUGE, "hidden_size": HUGE},
        {"hidden_size": HUGE, "intermediate_size": HUGE, "num_attention_heads": HUGE, "head_dim": HUGE},
        {"max_position_embeddings": HUGE, "head_dim": 1 << 20},
        {"num_attention_heads": 3},
        {"head_dim": 7},
        {"num_hidden_layers": 1e300},
        {"num_hidden_layers": 10**400},
        {"hidden_size": -16},
        {"hidden_size": "16"},
        {"hidden_size": True},
        {"hidden_size": [16]},
        {"rms_norm_eps": float("nan")},
        {"rms_norm_eps": {}},
        {"rope_theta": -1.0},
        {"rope_scaling": "llama3"},
        {"rope_scaling": {"rope_type": ["linear"], "factor": 2.0}},
        {"tie_word_embeddings": "yes"},
        {"hidden_act": {"silu": 1}},
        {"model_type": ["llama"]},
        {"hidden_size": json.loads("[" * 900 + "]" * 900)},
        {"hidden_act": "s" * 100_000},
    ],
    ids=lambda tree: str(tree)[:60],
)
def test_a_hostile_config_takes_no_memory(saved, hostile):
    settings(saved, **hostile)
    tracemalloc.start()
    try:
        with pytest.raises(UserError):
            interop.read(saved)
        assert tracemalloc.get_traced_memory()[1] < 1 << 26
    finally:
        tracemalloc.stop()


def test_experts_that_are_not_there_take_no_memory(tmp_path):
    path = folder(tmp_path / "model", preset="mixtral")
    with pytest.raises(DamagedError, match="16,777,216 experts"):
        interop.read(settings(path, num_local_experts=HUGE))

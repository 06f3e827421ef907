"""GPT-2 in memory: as from a folder, with the same refusals."""

import json

import pytest
import torch

from firsthand import interop
from firsthand.checkpoint import read_safetensors
from firsthand.errors import UserError
from firsthand.interop.gpt2 import convert_gpt2

from .tiny import folder


@pytest.fixture
def saved(tmp_path):
    return folder(tmp_path / "model", preset="gpt2", n_kv_heads=2)


def parts(path):
    return json.loads((path / "config.json").read_text()), read_safetensors(path / "model.safetensors")


def test_memory_gives_what_the_folder_gives(saved):
    fields, weights = convert_gpt2(*parts(saved))
    expected = interop.read(saved)
    assert fields == expected.fields
    assert weights.keys() == expected.weights.keys()
    assert all(torch.equal(weights[name], expected.weights[name]) for name in weights)


def test_what_is_handed_over_stays(saved):
    config, weights = parts(saved)
    names = sorted(weights)
    convert_gpt2(config, weights)
    assert sorted(weights) == names


def test_refusals_name_the_tensor(saved):
    config, weights = parts(saved)
    with pytest.raises(UserError, match=r"lacks the tensor transformer\.wpe\.weight"):
        convert_gpt2(config, {name: one for name, one in weights.items() if "wpe" not in name})
    with pytest.raises(UserError, match=r"has the tensor score\.weight"):
        convert_gpt2(config, weights | {"score.weight": torch.ones(2)})
    with pytest.raises(UserError, match="not supported"):
        convert_gpt2(config | {"scale_attn_by_inverse_layer_idx": True}, weights)

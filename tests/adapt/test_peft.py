"""The same adapter in peft and here: its files, both ways, and the logits that they give."""

import json

import pytest
import torch
from torch import nn

from firsthand.adapt import ADAPTERS
from firsthand.adapt.attach import attach, merged_weights
from firsthand.adapt.freeze import freeze
from firsthand.adapt.lora import lora_state_dict
from firsthand.adapt.peft import base_of, fits, read_peft, write_peft
from firsthand.errors import DamagedError, UserError
from firsthand.interop import EXPORTS, Imported
from firsthand.interop.hugging_face.maps import their_maps
from firsthand.model.make import build_model
from firsthand.opened import open_model
from firsthand.tokens import TOKENIZERS

SIZES = {"n_layers": 2, "d_model": 48, "n_heads": 4, "n_kv_heads": 2, "d_head": 12, "d_ff": 80, "context_length": 32}
FIELDS = {"preset": "llama", **SIZES, "tied": True}
VOCABULARY = 257
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # in peft

IDS = torch.randint(VOCABULARY, (2, 20), generator=torch.Generator().manual_seed(3))


def imported(ours):
    weights = {name: parameter.detach() for name, parameter in ours.named_parameters()}
    return Imported(FIELDS, VOCABULARY, weights, TOKENIZERS["byte"]())


MAPS = their_maps(imported(build_model(FIELDS, VOCABULARY)))


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """Our random Llama, and the folder that transformers has of it."""
    torch.manual_seed(0)
    ours = build_model(FIELDS, VOCABULARY).eval()
    for name, parameter in ours.named_parameters():
        nn.init.normal_(parameter, mean=float("norm" in name), std=0.1)
    folder = tmp_path_factory.mktemp("bases") / "llama"
    EXPORTS["hf"].write(imported(ours), folder, "fp32")
    return ours, folder


def theirs_of(folder):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder).eval()


KINDS = [
    {"part": "lora", "rank": 4, "alpha": 8.0, "targets": ["query", "value"]},
    {"part": "lora", "rank": 4, "alpha": 8.0, "targets": ["blocks.1.mixer.*", "up"], "rank_stabilized": True},
    {"part": "dora", "rank": 3, "alpha": 8.0, "targets": "all"},
]


@pytest.mark.parametrize("spec", KINDS)
def test_peft_loads_what_we_write(bases, tmp_path, spec):
    from peft import PeftModel

    ours, folder = bases
    model = build_model(FIELDS, VOCABULARY).eval()
    model.load_state_dict(ours.state_dict())
    attach(model, ADAPTERS[spec["part"]](**{key: value for key, value in spec.items() if key != "part"}))
    for name in freeze(model, "adapter"):
        nn.init.normal_(model.get_parameter(name), mean=float("magnitude" in name), std=0.1)
    written = write_peft(tmp_path, spec, lora_state_dict(model), MAPS, str(folder))
    assert sorted(path.name for path in written) == ["adapter_config.json", "adapter_model.safetensors"]
    with torch.no_grad():
        theirs = PeftModel.from_pretrained(theirs_of(folder), tmp_path)(IDS).logits
        assert (theirs - ours(IDS)).abs().max() > 0.05
        torch.testing.assert_close(model(IDS), theirs, atol=1e-5, rtol=1e-5)
    again, learnt = read_peft(tmp_path, MAPS)
    assert {key: again[key] for key in ("part", "rank", "alpha")} == {
        key: spec[key] for key in ("part", "rank", "alpha")
    }
    assert learnt.keys() == lora_state_dict(model).keys()


@pytest.mark.parametrize(
    "options", [{}, {"use_rslora": True}, {"use_dora": True}, {"use_dora": True, "use_rslora": True}]
)
def test_we_load_what_peft_writes(bases, tmp_path, options):
    from peft import LoraConfig, get_peft_model

    ours, folder = bases
    config = LoraConfig(r=4, lora_alpha=6, target_modules=["q_proj", "v_proj", "down_proj"], **options)
    theirs = get_peft_model(theirs_of(folder), config).eval()
    for parameter in theirs.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, mean=float(parameter.ndim == 1), std=0.1)
    theirs.save_pretrained(tmp_path)
    assert fits(tmp_path)
    assert base_of(tmp_path) == str(folder)
    spec, learnt = read_peft(tmp_path, MAPS)
    adapter = ADAPTERS[spec["part"]](**{key: value for key, value in spec.items() if key != "part"})
    model = build_model(FIELDS, VOCABULARY).eval()
    weights = {name: parameter.detach() for name, parameter in ours.named_parameters()}
    model.load_state_dict(merged_weights(weights, learnt, adapter))
    with torch.no_grad():
        expected = theirs(IDS).logits
        assert (expected - ours(IDS)).abs().max() > 0.05
        torch.testing.assert_close(model(IDS), expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(open_model(tmp_path).model(IDS), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"peft_type": "IA3"}, "IA3"),
        ({"rank_pattern": {"q_proj": 3}}, "rank_pattern"),
        ({"bias": "all"}, "bias = 'all'"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"r": "many"}, "damaged"),
    ],
)
def test_what_is_not_known_is_refused_by_name(tmp_path, change, message):
    learnt = {"blocks.0.mixer.query.lora_a": torch.ones(2, 48), "blocks.0.mixer.query.lora_b": torch.ones(48, 2)}
    write_peft(tmp_path, {"part": "lora", "rank": 2}, learnt, MAPS, "base")
    file = tmp_path / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(UserError, match=message):
        read_peft(tmp_path, MAPS)


def test_files_that_do_not_fit(tmp_path):
    learnt = {"blocks.0.mixer.query.lora_a": torch.ones(2, 48), "blocks.0.mixer.query.lora_b": torch.ones(48, 2)}
    write_peft(tmp_path, {"part": "lora", "rank": 2}, learnt, MAPS, "base")
    with pytest.raises(UserError, match=r"no place for .*q_proj"):
        read_peft(tmp_path, {"model.layers.0.self_attn.k_proj": [("blocks.0.mixer.key", 24)]})
    with pytest.raises(UserError, match=r"peft has no place for 'unembedding\.weight"):
        write_peft(tmp_path, "lora", learnt | {"unembedding.weight": torch.ones(2, 2)}, MAPS, "base")
    (tmp_path / "adapter_config.json").write_text("[" * 100_000)
    with pytest.raises(DamagedError, match="not valid JSON"):
        base_of(tmp_path)


def test_an_adapter_of_gpt2s_joined_map_becomes_three_of_ours(tmp_path):
    """peft's own choice for GPT-2 is c_attn, which holds queries, keys and values."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    fields = {"preset": "gpt2", "n_layers": 2, "d_model": 48, "n_heads": 4, "context_length": 32, "tied": True}
    ours = build_model(fields, VOCABULARY).eval()
    weights = {name: parameter.detach() for name, parameter in ours.named_parameters()}
    model = Imported(fields, VOCABULARY, weights, TOKENIZERS["byte"]())
    EXPORTS["hf"].write(model, tmp_path / "base", "fp32")
    config = LoraConfig(r=4, target_modules=["c_attn", "c_proj"], fan_in_fan_out=True)
    theirs = get_peft_model(theirs_of(tmp_path / "base"), config).eval()
    for parameter in theirs.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.1)
    theirs.save_pretrained(tmp_path / "adapter")
    with torch.no_grad():
        expected = theirs(IDS).logits
        assert (expected - ours(IDS)).abs().max() > 0.05
        torch.testing.assert_close(open_model(tmp_path / "adapter").model(IDS), expected, atol=1e-5, rtol=1e-5)
    own = {"blocks.0.mixer.query.lora_a": torch.ones(2, 48), "blocks.0.mixer.query.lora_b": torch.ones(48, 2)}
    with pytest.raises(UserError, match=r"blocks\.0\.mixer\.query alone"):
        write_peft(tmp_path / "out", "lora", own, their_maps(model), "base")


def test_a_base_that_is_gone_is_named(tmp_path):
    learnt = {"blocks.0.mixer.query.lora_a": torch.ones(2, 48), "blocks.0.mixer.query.lora_b": torch.ones(48, 2)}
    write_peft(tmp_path, {"part": "lora", "rank": 2}, learnt, MAPS, "some/where")
    with pytest.raises(UserError, match="some/where"):
        open_model(tmp_path)

"""The same adapter in peft and here: its files, both ways, and the logits that they give."""

import json
import re

import pytest
import torch
from torch import nn

from firsthand.adapt import ADAPTERS
from firsthand.adapt.attach import attach, linear_names, merged_weights
from firsthand.adapt.freeze import freeze
from firsthand.adapt.lora import lora_state_dict
from firsthand.adapt.peft import base_of, fits, read_peft, write_peft
from firsthand.errors import DamagedError, UserError
from firsthand.model.make import build_model

SIZES = {"n_layers": 2, "d_model": 48, "n_heads": 4, "n_kv_heads": 2, "d_head": 12, "d_ff": 80, "context_length": 32}
NAMES = {
    r"embedding(\.weight)?": r"model.embed_tokens\1",
    r"norm\.gain": "model.norm.weight",
    r"blocks\.(\d+)\.mixer_norm\.gain": r"model.layers.\1.input_layernorm.weight",
    r"blocks\.(\d+)\.ffn_norm\.gain": r"model.layers.\1.post_attention_layernorm.weight",
    r"blocks\.(\d+)\.mixer\.out(\.weight)?": r"model.layers.\1.self_attn.o_proj\2",
    r"blocks\.(\d+)\.mixer\.(q|k|v)\w+(\.weight)?": r"model.layers.\1.self_attn.\2_proj\3",
    r"blocks\.(\d+)\.ffn\.(gate|up|down)(\.weight)?": r"model.layers.\1.mlp.\2_proj\3",
}
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # in peft

IDS = torch.randint(71, (2, 20), generator=torch.Generator().manual_seed(3))


def rename(name):
    [(pattern, replacement)] = [(p, r) for p, r in NAMES.items() if re.fullmatch(p, name)]
    return re.sub(pattern, replacement, name)


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """Our random Llama, and the folder that transformers has of it."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    ours = build_model({"preset": "llama", **SIZES, "tied": True}, 71).eval()
    for name, parameter in ours.named_parameters():
        nn.init.normal_(parameter, mean=float("norm" in name), std=0.2)
    theirs = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=71,
            num_hidden_layers=2,
            hidden_size=48,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=12,
            intermediate_size=80,
            max_position_embeddings=32,
            tie_word_embeddings=True,
            bos_token_id=0,
            eos_token_id=0,
        )
    ).eval()
    weights = {rename(name): parameter.detach() for name, parameter in ours.named_parameters()}
    missing, unexpected = theirs.load_state_dict(weights, strict=False)
    assert (missing, unexpected) == (["lm_head.weight"], [])
    folder = tmp_path_factory.mktemp("base")
    theirs.save_pretrained(folder)
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
    model = build_model({"preset": "llama", **SIZES, "tied": True}, 71).eval()
    model.load_state_dict(ours.state_dict())
    attach(model, ADAPTERS[spec["part"]](**{key: value for key, value in spec.items() if key != "part"}))
    for name in freeze(model, "adapter"):
        nn.init.normal_(model.get_parameter(name), mean=float("magnitude" in name), std=0.2)
    written = write_peft(tmp_path, spec, lora_state_dict(model), linear_names(ours), rename, str(folder))
    assert sorted(path.name for path in written) == ["adapter_config.json", "adapter_model.safetensors"]
    with torch.no_grad():
        theirs = PeftModel.from_pretrained(theirs_of(folder), tmp_path)(IDS).logits
        assert (theirs - ours(IDS)).abs().max() > 0.1
        torch.testing.assert_close(model(IDS), theirs, atol=1e-5, rtol=1e-5)
    again, learnt = read_peft(tmp_path, linear_names(ours), rename)
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
            nn.init.normal_(parameter, mean=float(parameter.ndim == 1), std=0.2)
    theirs.save_pretrained(tmp_path)
    assert fits(tmp_path)
    assert base_of(tmp_path) == str(folder)
    spec, learnt = read_peft(tmp_path, linear_names(ours), rename)
    adapter = ADAPTERS[spec["part"]](**{key: value for key, value in spec.items() if key != "part"})
    model = build_model({"preset": "llama", **SIZES, "tied": True}, 71).eval()
    weights = {name: parameter.detach() for name, parameter in ours.named_parameters()}
    model.load_state_dict(merged_weights(weights, learnt, adapter))
    with torch.no_grad():
        expected = theirs(IDS).logits
        assert (expected - ours(IDS)).abs().max() > 0.1
        torch.testing.assert_close(model(IDS), expected, atol=1e-5, rtol=1e-5)


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
    write_peft(tmp_path, {"part": "lora", "rank": 2}, learnt, ["blocks.0.mixer.query"], rename, "base")
    file = tmp_path / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(UserError, match=message):
        read_peft(tmp_path, ["blocks.0.mixer.query"], rename)


def test_files_that_do_not_fit(tmp_path):
    learnt = {"blocks.0.mixer.query.lora_a": torch.ones(2, 48), "blocks.0.mixer.query.lora_b": torch.ones(48, 2)}
    write_peft(tmp_path, {"part": "lora", "rank": 2}, learnt, ["blocks.0.mixer.query"], rename, "base")
    with pytest.raises(UserError, match=r"no place for .*q_proj"):
        read_peft(tmp_path, ["blocks.0.mixer.key"], rename)
    with pytest.raises(UserError, match=r"peft has no place for 'unembedding\.weight"):
        write_peft(tmp_path, "lora", learnt | {"unembedding.weight": torch.ones(2, 2)}, [], rename, "base")
    (tmp_path / "adapter_config.json").write_text("[" * 100_000)
    with pytest.raises(DamagedError, match="damaged"):
        base_of(tmp_path)

"""Folders of Hugging Face's, in and out: `transformers` and we compute the same from the same files. All families."""

import pytest
import torch

from firsthand import interop
from firsthand.interop import EXPORTS
from firsthand.interop.families import FAMILIES
from firsthand.opened import open_model
from firsthand.tokens import TOKENIZERS

transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")

VOCABULARY = 71
TEXT = "the quick brown fox jumps over the lazy dog"
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2}
WIDE = {"hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3, "max_position_embeddings": 130, **HEADS}
DEFAULT = {"rope_type": "default", "rope_theta": 1e4}
LLAMA3 = {"rope_type": "llama3", "factor": 4.0, "original_max_position_embeddings": 32}
LLAMA3 |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "rope_theta": 5e5}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32, "rope_theta": 1e4}
LINEAR = {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4}
SMALL_GPT2 = {"n_positions": 130, "n_embd": 48, "n_layer": 3, "n_head": 4}
MAMBA = {"hidden_size": 48, "num_hidden_layers": 3}
MAMBA2 = MAMBA | {"head_dim": 8, "num_heads": 12, "state_size": 16, "chunk_size": 32}

CASES = {
    "gpt2": ("GPT2", SMALL_GPT2),
    "gpt2-untied": ("GPT2", SMALL_GPT2 | {"tie_word_embeddings": False, "n_inner": 56, "activation_function": "relu"}),
    "llama": ("Llama", WIDE),
    "llama-tied-biased": (
        "Llama",
        WIDE | {"tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True, "head_dim": 16},
    ),
    "llama-3": ("Llama", WIDE | {"rope_parameters": LLAMA3, "rms_norm_eps": 1e-5}),
    "llama-yarn": ("Llama", WIDE | {"rope_parameters": YARN, "hidden_act": "gelu"}),
    "llama-linear": ("Llama", WIDE | {"rope_parameters": LINEAR, "num_key_value_heads": 1}),
    "mistral": ("Mistral", WIDE | {"sliding_window": 9, "head_dim": 12}),
    "mistral-no-window": ("Mistral", WIDE | {"sliding_window": None, "head_dim": 12}),
    "qwen2": ("Qwen2", WIDE),
    "qwen2-windows": (
        "Qwen2",
        WIDE | {"use_sliding_window": True, "sliding_window": 9, "max_window_layers": 1, "tie_word_embeddings": True},
    ),
    "qwen3": ("Qwen3", WIDE | {"head_dim": 16}),
    "qwen3-biased": ("Qwen3", WIDE | {"attention_bias": True, "head_dim": 12}),
    "mixtral": ("Mixtral", WIDE | {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "mamba": ("Mamba", MAMBA | {"use_mambapy": False}),
    "mamba-biased": ("Mamba", MAMBA | {"use_bias": True, "state_size": 8, "conv_kernel": 3, "use_mambapy": False}),
    "mamba2": ("Mamba2", MAMBA2 | {"n_groups": 2}),
    "mamba2-tied": ("Mamba2", MAMBA2 | {"n_groups": 1, "tie_word_embeddings": True, "use_bias": True}),
}


def theirs_of(name):
    kind, settings = CASES[name]
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=VOCABULARY, bos_token_id=0, eos_token_id=0, pad_token_id=0, **settings
    )
    config._attn_implementation = "eager"
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    for key, parameter in model.named_parameters():
        if not key.endswith(("A_log", "dt_bias", "dt_proj.bias")):
            torch.nn.init.normal_(parameter, mean=float("norm" in key or "ln_" in key), std=0.2)
    return model


def logits_of(model, ids):
    with torch.no_grad():
        found = model(ids)
    return getattr(found, "logits", found)


@pytest.fixture(scope="module", params=CASES)
def pair(request, tmp_path_factory):
    """Their model, and ours read from the folder that it saved."""
    folder = tmp_path_factory.mktemp(request.param)
    theirs = theirs_of(request.param)
    theirs.save_pretrained(folder)
    TOKENIZERS["char"].train([TEXT]).save(folder)
    return theirs, open_model(folder)


def test_every_family_is_here():
    assert {getattr(transformers, f"{kind}Config").model_type for kind, _ in CASES.values()} == FAMILIES.keys()


@pytest.mark.parametrize("time", [1, 65])
def test_in(pair, time):
    theirs, ours = pair
    ids = torch.randint(VOCABULARY, (2, time), generator=torch.Generator().manual_seed(time))
    expected = logits_of(theirs, ids)
    assert expected.abs().max() > 0.3
    torch.testing.assert_close(logits_of(ours.model, ids), expected, atol=1e-4, rtol=1e-4)


def test_out(pair, tmp_path):
    """Our export holds the same numbers, `transformers` finds the same logits with it, and we read it back."""
    theirs, ours = pair
    weights = dict(ours.model.named_parameters())
    model = interop.Imported(ours.fields, ours.vocab_size, weights, ours.tokenizer, ours.chat)
    EXPORTS["hf"].write(model, tmp_path / "out", "fp32")
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", attn_implementation="eager").eval()
    expected_type = transformers.LlamaForCausalLM if "no_window" in str(tmp_path) else type(theirs)
    assert type(again) is expected_type  # without a window, Mistral is a Llama
    ids = torch.randint(VOCABULARY, (2, 65), generator=torch.Generator().manual_seed(3))
    expected = logits_of(theirs, ids)
    torch.testing.assert_close(logits_of(again, ids), expected, atol=1e-5, rtol=1e-5)
    back = interop.read(tmp_path / "out")
    assert back.weights.keys() == weights.keys()
    assert all(torch.equal(back.weights[name], weights[name]) for name in weights)
    for key, tensor in theirs.state_dict().items():
        assert torch.equal(again.state_dict()[key], tensor), key

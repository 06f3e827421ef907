"""config.json: read in bounded time and memory, and no setting that changes the model is passed over."""

import json

import pytest

from firsthand import interop
from firsthand.errors import DamagedError, UserError
from firsthand.interop.families import FAMILIES
from firsthand.interop.families.settings import Settings

from ..tiny import folder


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"7", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000, b'{"n": ' + b"9" * 100_000 + b"}"],
    ids=["empty", "half", "list", "number", "bytes", "deep lists", "deep tables", "long number"],
)
def test_what_is_no_table_is_damaged(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(DamagedError, match=r"config\.json"):
        interop.read(tmp_path)


def test_a_file_of_many_megabytes_is_not_read(tmp_path):
    with (tmp_path / "config.json").open("wb") as file:
        file.truncate(1 << 34)  # sparse
    with pytest.raises(DamagedError, match="larger than"):
        interop.read(tmp_path)


def test_an_unknown_family_is_named(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "lama"}))
    with pytest.raises(UserError, match=r"'lama'.*Did you mean 'llama'"):
        interop.read(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"hidden_size": 1}))
    with pytest.raises(UserError, match="no model_type"):
        interop.read(tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hidden_act", "snake"),
        ("quantization_config", {"bits": 4}),
        ("rope_scaling", {"type": "dynamic", "factor": 2.0}),
        ("rope_scaling", {"rope_type": "longrope", "short_factor": [1.0], "long_factor": [1.0]}),
        ("rope_scaling", {"rope_type": "yarn", "factor": 2.0, "beta_fast": 16}),
        ("rope_scaling", {"rope_type": "llama3", "factor": 2.0, "low_freq_factor": 2.0, "high_freq_factor": 4.0}),
        ("partial_rotary_factor", 0.5),
        ("pretraining_tp", 2),
    ],
)
def test_what_would_change_the_model_is_refused_by_name(tmp_path, key, value):
    path = folder(tmp_path / "model")
    tree = json.loads((path / "config.json").read_text()) | {key: value}
    (path / "config.json").write_text(json.dumps(tree))
    with pytest.raises(UserError) as refused:
        interop.read(path)
    assert key in str(refused.value)
    assert not isinstance(refused.value, DamagedError)


def test_what_changes_nothing_is_passed_over(tmp_path):
    path = folder(tmp_path / "model")
    before = interop.read(path)
    tree = json.loads((path / "config.json").read_text())
    tree |= {"use_cache": False, "transformers_version": "4.0", "unheard_of": 1, "attention_dropout": 0.5}
    (path / "config.json").write_text(json.dumps(tree))
    assert interop.read(path).fields == before.fields


def test_a_tokenizer_of_more_tokens_than_the_model_is_refused(tmp_path):
    path = folder(tmp_path / "model", vocab_size=10)
    with pytest.raises(UserError, match="do not belong together"):
        interop.read(path)
    (path / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"no tokenizer\.json"):
        interop.read(path)


def test_a_folder_of_ours_is_not_theirs(tmp_path):
    path = folder(tmp_path / "model")
    assert interop.read(tmp_path) is None
    (path / "manifest.json").write_text("{}")
    assert interop.read(path) is None


HARMLESS = {
    *("architectures", "model_type", "vocab_size", "transformers_version", "dtype", "_name_or_path", "use_cache"),
    *("bos_token_id", "eos_token_id", "pad_token_id", "id2label", "label2id", "problem_type", "return_dict"),
    *("output_attentions", "output_hidden_states", "chunk_size_feed_forward", "initializer_range"),
    *("attention_dropout", "resid_pdrop", "embd_pdrop", "attn_pdrop"),  # act in training
    *("summary_type", "summary_use_proj", "summary_activation", "summary_proj_to_labels", "summary_first_dropout"),
    *("reorder_and_upcast_attn", "residual_in_fp32"),  # precision alone, which is fp32 here
    *("output_router_logits", "router_aux_loss_coef", "router_jitter_noise"),  # act in training
    *("time_step_scale", "time_step_min", "time_step_max", "time_step_init_scheme", "time_step_floor"),  # first weights
    *("rescale_prenorm_residual", "use_mambapy", "use_associative_scan"),
}
"""Settings of `transformers` that change nothing that a model says."""


@pytest.mark.parametrize("name", FAMILIES)
def test_every_setting_of_theirs_is_looked_at(name):
    """A setting that a new version of `transformers` brings fails this test until somebody has thought about it."""
    transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")
    theirs = transformers.AutoConfig.for_model(name).to_dict()
    settings = Settings(theirs, name)
    FAMILIES[name].fields_of(settings)
    more = {"chunk_size", "time_step_rank"} if name == "mamba2" else set()  # a matter of speed, and of nothing
    assert theirs.keys() - settings.read - HARMLESS - more == set()

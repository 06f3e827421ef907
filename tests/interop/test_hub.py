"""Models by name: from a hub on the loopback, data files alone, and nothing large of what is not known here."""

import json

import pytest

from firsthand import interop
from firsthand.errors import UserError
from firsthand.experiments.convert import convert
from firsthand.interop import hub
from firsthand.opened import open_model

from .fake_hub import SHA, serving
from .tiny import folder

huggingface_hub = pytest.importorskip("huggingface_hub", reason="the extra hf is not installed")


@pytest.fixture
def offered(tmp_path, monkeypatch):
    """The folder that the hub offers; the cache is a folder of the test."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    path = folder(tmp_path / "offered")
    for name in ("modeling.py", "pytorch_model.bin", "consolidated.safetensors", "onnx/config.json", "README.md"):
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_text("{}")
    return path


def test_data_and_nothing_else_is_fetched(offered):
    with serving(offered) as (address, asked):
        found = hub.fetch("org/tiny", address)
    assert found.name == SHA
    names = {path.name for path in found.iterdir()}
    assert names == {
        *("config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
    }
    assert not [path for path in asked if "modeling" in path or ".bin" in path or "onnx" in path or "consol" in path]
    assert interop.read(found).fields == interop.read(offered).fields


def test_imported_by_name(offered, tmp_path):
    with serving(offered) as (address, _):
        report = convert("org/tiny", tmp_path / "run", address)
    assert report["revision"] == SHA
    assert open_model(tmp_path / "run").fields["n_layers"] == report["n_layers"] == 2


@pytest.mark.parametrize(
    ("changed", "words"),
    [({"model_type": "bert"}, "model_type 'bert'"), ({"hidden_act": "snake"}, "hidden_act"), ({}, "no config.json")],
)
def test_of_what_is_not_known_no_weights_are_fetched(offered, changed, words):
    path = offered / "config.json"
    content = json.loads(path.read_text()) | changed
    path.unlink()
    if changed:
        path.write_text(json.dumps(content))
    with serving(offered) as (address, asked), pytest.raises(UserError, match=words):
        hub.fetch("org/tiny", address)
    assert not [path for path in asked if "model.safetensors" in path]


def test_pickled_weights_are_refused(offered):
    (offered / "model.safetensors").unlink()
    with serving(offered) as (address, _), pytest.raises(UserError, match=r"only pytorch_model\.bin"):
        hub.fetch("org/tiny", address)


def test_what_is_not_there_or_not_reached(offered):
    with serving(offered) as (address, _), pytest.raises(UserError, match="org/other could not be fetched"):
        hub.fetch("org/other", address)
    with pytest.raises(UserError, match="org/tiny could not be fetched from http"):
        hub.fetch("org/tiny", address)


@pytest.mark.parametrize("name", ["../etc", "org/../x", "/org/name", "org/name/more", "org", "-org/name", "org/.name"])
def test_names_that_are_none(name, tmp_path):
    assert not hub.NAME.fullmatch(name)
    with pytest.raises(UserError):
        convert(name, tmp_path / "out", "http://127.0.0.1:9")


@pytest.mark.parametrize("name", ["model.safetensors", "model-00001-of-00002.safetensors", "chat_template.jinja"])
def test_files_that_are_wanted(name):
    assert hub.WANTED.fullmatch(name)
    assert not hub.WANTED.fullmatch(f"folder/{name}")
    assert not hub.WANTED.fullmatch(f".{name}")

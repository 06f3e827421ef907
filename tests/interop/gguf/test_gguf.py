"""Models written as GGUF and read again: the same function; what the format cannot hold, or does not, is said."""

import dataclasses

import gguf
import numpy as np
import pytest
import torch

from firsthand import interop
from firsthand.errors import DamagedError, UserError
from firsthand.interop.channels import halves, neighbours
from firsthand.interop.gguf import read, write
from firsthand.interop.gguf.header import TYPES, Stored, read_header
from firsthand.interop.gguf.read import unpacked
from firsthand.tokens import of_json
from firsthand.tokens.chat import CHATML, ChatTemplate
from firsthand.tokens.lead import Lead
from firsthand.types import Message

from . import models

IDS = list(range(20, 52))


@pytest.mark.parametrize("name", models.MODELS)
def test_what_is_written_is_read_as_the_same_function(name, tmp_path):
    imported, model = models.model_of(name)
    path = tmp_path / "model.gguf"
    assert interop.EXPORTS["gguf"].write(imported, path, "fp32") == [path]
    found = interop.read(path)
    with torch.no_grad():
        torch.testing.assert_close(models.logits_of(found, IDS), model(torch.tensor([IDS]))[0], atol=1e-5, rtol=1e-5)
    assert found.tokenizer.encode(models.TEXT) == imported.tokenizer.encode(models.TEXT)
    assert found.tokenizer.special_tokens == imported.tokenizer.special_tokens
    assert found.tokenizer.end_of_text == imported.tokenizer.end_of_text
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("dtype", "off"), [("fp16", 2e-3), ("bf16", 2e-2), ("q8_0", 2e-2)])
def test_shorter_numbers_round_and_no_more(dtype, off, tmp_path):
    imported, _ = models.model_of("llama")
    write(imported, tmp_path / "model.gguf", dtype)
    found = read(tmp_path / "model.gguf")
    for name, weight in found.weights.items():
        assert (weight - imported.weights[name]).abs().max() <= off * imported.weights[name].abs().max()
    exact = {name for name in found.weights if "norm" in name}
    assert all(torch.equal(found.weights[name], imported.weights[name]) for name in exact)


def test_rows_that_blocks_do_not_fit_into_stay_in_fp16(tmp_path):
    imported, _ = models.model_of("llama")
    narrow = models.changed(imported, d_ff=80)
    cut = {
        n: w[:80] if "gate" in n or "up" in n else w[:, :80] if "down" in n else w for n, w in imported.weights.items()
    }
    write(dataclasses.replace(narrow, weights=cut), tmp_path / "model.gguf", "q8_0")
    types = {name: stored.type for name, stored in read_header((tmp_path / "model.gguf").read_bytes()).tensors.items()}
    assert types["blk.0.ffn_down.weight"] == "F16"
    assert types["blk.0.ffn_up.weight"] == "Q8_0"


@pytest.mark.parametrize("kind", [name for name, _, _ in TYPES.values()])
def test_every_type_is_unpacked_as_the_library_does(kind):
    number = gguf.GGMLQuantizationType[kind]
    block, size = gguf.GGML_QUANT_SIZES[number]
    data = np.random.default_rng(3).integers(0, 60, (4, 512 // block * size), dtype=np.uint8)
    expected = gguf.quants.dequantize(data, number)
    found = unpacked(data.tobytes(), Stored(kind, (4, 512), 0, data.nbytes))
    assert found.shape == (4, 512)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


def test_channels_change_places_and_back():
    rows = torch.arange(24.0).view(12, 2)  # two heads of six channels
    assert halves(rows, 2)[:, 0].tolist() == [0, 4, 8, 2, 6, 10, 12, 16, 20, 14, 18, 22]
    assert torch.equal(neighbours(halves(rows, 2), 2), rows)
    assert halves(torch.arange(6), 1).tolist() == [0, 2, 4, 1, 3, 5]


def test_the_template_travels_and_its_mark_ends_answers(tmp_path):
    imported, _ = models.model_of("llama")
    talking = dataclasses.replace(imported, chat=ChatTemplate(CHATML, imported.tokenizer))
    write(talking, tmp_path / "model.gguf", "fp32")
    found = read(tmp_path / "model.gguf")
    said = [Message("user", "to be?"), Message("assistant", "not to be")]
    assert found.chat.encode(said).ids == talking.chat.encode(said).ids
    assert found.tokenizer.special_tokens["<|im_end|>"] in found.chat.stop_ids
    assert (
        read_header((tmp_path / "model.gguf").read_bytes()).fields["tokenizer.ggml.eos_token_id"]
        == found.tokenizer.special_tokens["<|im_end|>"]
    )


def test_rows_without_a_token_are_padding(tmp_path):
    imported, _ = models.model_of("llama", rows=384)
    write(imported, tmp_path / "model.gguf", "fp32")
    tokens = read_header((tmp_path / "model.gguf").read_bytes()).fields["tokenizer.ggml.tokens"]
    assert len(tokens) == 384
    assert tokens[-1] == "[PAD383]"
    assert read(tmp_path / "model.gguf").vocab_size == 384


@pytest.mark.parametrize("lead", Lead)
def test_a_tokenizer_of_sentencepiece_travels(lead, tmp_path, capsys):
    letters = models.sentencepiece()
    letters = of_json(letters.to_json() | lead.to_json()).extended(["<|end|>"])
    imported, _ = models.model_of("llama", rows=letters.vocab_size + 3, letters=letters)
    write(imported, tmp_path / "model.gguf", "fp32")
    found = read(tmp_path / "model.gguf").tokenizer
    assert ("puts a space" in capsys.readouterr().err) is (lead in (Lead.MISSING, Lead.FIRST))
    for text in (models.TEXT, "to be\n\n世  or", "x"):
        assert found.encode(text) == letters.encode(text)
        assert found.decode(found.encode(text)) == text
    assert found.merges == letters.merges
    assert found.special_tokens == letters.special_tokens
    assert (found.begin, found.unknown, found.end_of_text) == (1, 0, 2)


def test_a_tokenizer_of_sentencepiece_needs_scores(tmp_path):
    write(models.model_of("llama", letters=models.sentencepiece())[0], tmp_path / "model.gguf", "fp32")
    rewritten(tmp_path / "model.gguf", tmp_path / "less.gguf", drop=["tokenizer.ggml.scores"])
    with pytest.raises(DamagedError, match="scores"):
        read(tmp_path / "less.gguf")


INEXPRESSIBLE = {
    "block": {"block": "canon"},
    "softcap": {"softcap": 15.0},
    "residual": {"residual": "scaled"},
    "mixer": {"mixer": "mamba2"},
    "mixer.window": {"mixer": {"part": "attention", "window": 16}},
    "mixer.qk_norm": {"mixer": {"part": "attention", "qk_norm": True, "qk_norm_eps": 1e-3}},
    "ffn": {"ffn": {"part": "mlp", "activation": "relu2"}},
    "ffn.activation": {"ffn": {"part": "gated", "activation": "gelu"}},
    "position": {"position": "alibi"},
    "position.scaling": {"position": {"part": "rope", "scaling": "ntk", "factor": 2.0}},
    "norm": {"norm": "dyt"},
    "initialize": {"initialize": "mup"},
}


@pytest.mark.parametrize("field", INEXPRESSIBLE)
def test_what_llama_cpp_has_not_is_refused_by_name(field, tmp_path):
    imported, _ = models.model_of("llama")
    with pytest.raises(UserError, match=rf"cannot hold this model: model\.{field} is"):
        write(models.changed(imported, **INEXPRESSIBLE[field]), tmp_path / "model.gguf", "fp16")
    assert not list(tmp_path.iterdir())


def test_a_tokenizer_that_llama_cpp_has_not_is_refused(tmp_path):
    from firsthand.tokens import CharTokenizer

    imported, _ = models.model_of("llama")
    other = dataclasses.replace(imported, tokenizer=CharTokenizer.train([models.TEXT]))
    with pytest.raises(UserError, match=r"CharTokenizer.*byte-level BPE"):
        write(other, tmp_path / "model.gguf", "fp16")


def test_numbers_too_large_for_fp16_are_refused(tmp_path):
    imported, _ = models.model_of("llama")
    imported.weights["blocks.0.ffn.up.weight"][0, 0] = 1e5
    with pytest.raises(UserError, match="fp16 cannot hold"):
        write(imported, tmp_path / "model.gguf", "fp16")
    assert not list(tmp_path.iterdir())


def rewritten(source, target, keys=(), tensors=(), drop=()):
    """The file `source` with other keys and tensors."""
    reader = gguf.GGUFReader(source)
    fields = {key: field for key, field in reader.fields.items() if not key.startswith("GGUF.") and key not in drop}
    arch = dict(keys).get("general.architecture") or fields.pop("general.architecture").contents()
    fields.pop("general.architecture", None)
    writer = gguf.GGUFWriter(target, arch)
    for key, field in fields.items():
        if key not in dict(keys):
            sub = field.types[-1] if len(field.types) > 1 else None
            writer.add_key_value(key, field.contents(), field.types[0], sub)
    for key, value in dict(keys).items():
        add = {int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}.get(type(value))
        if key != "general.architecture":
            (add or writer.add_array)(key, value)
    for each in reader.tensors:
        if each.name not in drop and each.name not in dict(tensors):
            writer.add_tensor(each.name, np.array(each.data))
    for name, value in dict(tensors).items():
        writer.add_tensor(name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("written") / "model.gguf"
    write(models.model_of("llama")[0], path, "fp32")
    return path


REFUSED = {
    "architecture": ({"keys": {"general.architecture": "t5"}}, UserError, "'t5'.*Known here are llama"),
    "setting": ({"keys": {"llama.attention.scale": 2.0}}, UserError, "sets llama.attention.scale"),
    "scaling": ({"keys": {"llama.rope.scaling.type": "longrope"}}, UserError, "scales RoPE by 'longrope'"),
    "missing key": ({"drop": ["llama.context_length"]}, DamagedError, "lacks llama.context_length"),
    "missing tensor": ({"drop": ["blk.1.attn_k.weight"]}, DamagedError, "lacks the tensor blk.1.attn_k.weight"),
    "extra tensor": ({"tensors": {"blk.0.odd.weight": np.ones(4, np.float32)}}, UserError, "'blk.0.odd.weight'"),
    "wrong shape": ({"tensors": {"output_norm.weight": np.ones(8, np.float32)}}, DamagedError, "output_norm.*shape"),
    "no embedding": ({"drop": ["token_embd.weight"]}, DamagedError, "no embedding"),
    "layers without end": ({"keys": {"llama.block_count": 1 << 20}}, DamagedError, "1,048,576 layers"),
    "context without end": (
        {"keys": {"llama.context_length": 1 << 31}},
        UserError,
        "llama.context_length is 2147483648",
    ),
    "layers that differ": ({"keys": {"llama.feed_forward_length": [96, 80]}}, UserError, "feed_forward_length"),
    "size as text": ({"keys": {"llama.embedding_length": "64"}}, UserError, "embedding_length is '64'"),
    "tokenizer": ({"keys": {"tokenizer.ggml.model": "t5"}}, UserError, "of the kind 't5'"),
    "split": ({"keys": {"tokenizer.ggml.pre": "viking"}}, UserError, "'viking'"),
    "no merges": ({"drop": ["tokenizer.ggml.merges"]}, DamagedError, "lacks its merges"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_files_that_are_not_understood_are_refused_by_name(case, written, tmp_path):
    change, error, words = REFUSED[case]
    path = rewritten(written, tmp_path / "changed.gguf", **change)
    with pytest.raises(error, match=words) as raised:
        interop.read(path)
    assert str(path) in str(raised.value)
    assert type(raised.value) is error


def test_what_is_no_gguf_file_is_left_to_others(tmp_path):
    (tmp_path / "notes.txt").write_text("notes")
    assert interop.read(tmp_path / "notes.txt") is None
    (tmp_path / "empty.gguf").write_bytes(b"")
    with pytest.raises(DamagedError, match="empty"):
        interop.read(tmp_path / "empty.gguf")

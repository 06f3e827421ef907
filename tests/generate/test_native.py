"""Steps by instructions give the scores of the definition, for every plain model; others are left to torch."""

import pytest
import torch
from torch import nn

from firsthand.errors import UserError
from firsthand.generate import packed as packing
from firsthand.generate.decode import generate
from firsthand.generate.native import library as module
from firsthand.generate.native.library import Unavailable, library
from firsthand.generate.native.program import program_of
from firsthand.generate.native.rows import Rows
from firsthand.generate.packed import pack
from firsthand.generate.products import FEW
from firsthand.generate.reference import generate as by_definition
from firsthand.model.make import build_model
from firsthand.types import Place

SMALL = {"d_model": 32, "n_layers": 2, "n_heads": 4, "context_length": 32}
PLAIN = {
    "gpt2": {"preset": "gpt2", "dropout": 0.1},
    "llama": {"preset": "llama", "n_kv_heads": 2},
    "qwen3": {"preset": "qwen3", "n_kv_heads": 2, "d_head": 12},
    "modern": {"preset": "modern"},
    "shortcut": {"preset": "modern", "residual": {"part": "shortcut", "kept": 0.8, "added": 0.3}},
    "scaled": {"preset": "llama", "residual": {"part": "scaled", "initial": 0.7, "by_depth": True}},
    "mup": {"preset": "modern", "initialize": {"part": "mup", "base_width": 16}},
    "bias": {"preset": "llama", "bias": True, "ffn": {"part": "gated", "activation": "gelu"}},
    "relu": {"preset": "gpt2", "position": "none", "ffn": {"part": "mlp", "activation": "relu"}},
    "no ffn": {"preset": "modern", "ffn": "none"},
}

compiled = pytest.mark.skipif(isinstance(module._loaded(), str), reason=f"native steps: {module._loaded()}")


def make(vocab_size=45, **fields):
    torch.manual_seed(0)
    model = build_model({"preset": "modern", **SMALL, **fields}, vocab_size)
    for parameter in model.parameters():
        nn.init.normal_(parameter, 1.0 if parameter.ndim == 1 and parameter.numel() == 1 else 0.0, 0.2)
    return model.eval()


@torch.inference_mode()
def by_steps(model, ids, first, prompt=3, columns=None):
    """Logits after each token from `prompt` on, by instructions, for rows that begin in the columns `first`."""
    states = model.initial_states(len(ids), ids.shape[1])
    index = torch.arange(ids.shape[1]) - torch.tensor(first)[:, None]
    document = torch.where(index < 0, -1, 0) if any(first) else None
    place = Place(index.clamp(min=0)[:, :prompt], None if document is None else document[:, :prompt], ids[:, :prompt])
    _, states, _ = model.trunk(model.embed(ids[:, :prompt], place), place, states)
    rows = Rows(model.program, states, first, prompt)
    return torch.stack([rows.step(ids[:, column].tolist()).clone() for column in range(prompt, ids.shape[1])], 1)


@compiled
@pytest.mark.parametrize("rows", [1, 2, FEW + 1])
@pytest.mark.parametrize("name", PLAIN)
def test_the_scores_are_those_of_the_plain_model(name, rows):
    model = make(**PLAIN[name])
    ids = torch.randint(45, (rows, 12), generator=torch.Generator().manual_seed(rows))
    with torch.inference_mode():
        expected = model(ids)[:, 3:]
    found = by_steps(pack(model, "fp32", "native"), ids, [0] * rows)
    assert float((found - expected).abs().max()) < 1e-5 * float(expected.abs().max())


@compiled
@pytest.mark.parametrize("name", PLAIN)
def test_in_bf16_they_are_those_of_the_rounded_weights(name):
    """Sums are fp32, so that they lie nearer to the exact ones than torch's, which round after each operation."""
    model = make(**PLAIN[name])
    ids = torch.randint(45, (1, 12), generator=torch.Generator().manual_seed(0))
    ready = pack(model, "bf16", "native")
    with torch.inference_mode():
        exact = make(**PLAIN[name]).to(torch.bfloat16).float()(ids)[:, 3:]
        rounded = make(**PLAIN[name]).to(torch.bfloat16)(ids)[:, 3:].float()
    found, scale = by_steps(ready, ids, [0]), float(exact.abs().max())
    assert float((found - exact).abs().max()) < 0.03 * scale
    assert float((found - exact).square().mean()) < float((rounded - exact).square().mean())


@compiled
def test_rows_of_other_lengths_are_each_as_they_are_alone():
    model = make(preset="llama", n_kv_heads=2)
    ready, ids = pack(model, "fp32", "native"), torch.randint(45, (3, 10), generator=torch.Generator().manual_seed(1))
    first = [0, 2, 1]
    found = by_steps(ready, ids, first)
    with torch.inference_mode():
        for row, start in enumerate(first):
            expected = model(ids[row : row + 1, start:])[0, 3 - start :]
            torch.testing.assert_close(found[row], expected, rtol=1e-4, atol=1e-4)


@compiled
@pytest.mark.parametrize("threads", [2, 3])
def test_several_threads_share_the_work(threads):
    ready = pack(make(preset="llama"), "fp32", "native")
    ids = torch.randint(45, (2, 8), generator=torch.Generator().manual_seed(2))
    alone, before = by_steps(ready, ids, [0, 0]), torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        assert torch.equal(by_steps(ready, ids, [0, 0]), alone)
    finally:
        torch.set_num_threads(before)


@compiled
@pytest.mark.parametrize("name", PLAIN)
def test_the_same_tokens_as_the_definition(name):
    """Beyond the context too, where rows are read again; and drawn by chance as well."""
    model = make(**{**PLAIN[name], "context_length": 16})
    ready = pack(model, "fp32", "native")
    for temperature in (0.0, 1.0):
        rows = generate(ready, [[1, 2, 3, 4]], 24, temperature=temperature, seed=3)
        plain = generate(model, [[1, 2, 3, 4]], 24, temperature=temperature, seed=3)
        for _ in zip(rows, plain, strict=True):
            pass
        assert rows.ids == plain.ids
        assert rows.slid == [True]
    slow = by_definition(model, torch.tensor([[1, 2, 3]]), 10, lambda logits: logits.argmax(-1))
    assert slow[0, 3:].tolist() == _greedy(ready, [1, 2, 3], 10)


def _greedy(model, prompt, count):
    rows = generate(model, [prompt], count, temperature=0.0)
    for _ in rows:
        pass
    return rows.ids[0][len(prompt) :]


@compiled
@pytest.mark.parametrize(
    "fields",
    [
        {"mixer": "mamba"},
        {"ffn": "experts"},
        {"position": "alibi"},
        {"block": "post"},
        {"mixer": {"part": "attention", "window": 4}},
        {"mixer": {"part": "attention", "sinks": True}},
        {"mixer": {"part": "attention", "value_embedding": True}},
        {"norm": "dyt"},
        {"d_model": 33, "n_heads": 1, "d_head": 8},
    ],
)
def test_what_has_no_instruction_is_left_to_torch(fields, caplog):
    model = make(**fields)
    with pytest.raises(Unavailable, match="has no instruction"):
        program_of(pack(model, "fp32", "torch"))
    with pytest.raises(UserError, match=r"cannot write with this model: .*Use auto or torch"):
        pack(model, "fp32", "native")
    with caplog.at_level("INFO", "firsthand.generate"):
        ready = pack(model, "fp32")
    assert "torch computes the steps: " in caplog.text
    assert ready.program is None
    assert _greedy(ready, [1, 2], 8) == _greedy(model, [1, 2], 8)


@compiled
@pytest.mark.parametrize("rows", [1, FEW + 1])
def test_rows_of_the_head_that_only_pad_it_are_never_drawn(rows):
    model = make(60, tied=True)
    prompts = [[number, 7, 3] for number in range(rows)]
    expected = list(generate(model, prompts, 20, vocab_size=40))
    native = pack(model, "fp32", engine="native")
    assert list(generate(native, prompts, 20, vocab_size=40)) == expected
    assert max(id for step in expected for id in step) < 40
    assert any(id >= 40 for step in generate(native, prompts, 20) for id in step)


@compiled
def test_a_subclass_is_not_taken_for_its_parent():
    model = make()
    model.blocks[0].__class__ = type("Mine", (type(model.blocks[0]),), {})
    assert pack(model, "fp32").program is None


def test_without_a_compiler_torch_writes(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    module._loaded.cache_clear()
    try:
        with pytest.raises(Unavailable, match="there is no C compiler"):
            library()
        assert pack(make(), "fp32").program is None
    finally:
        module._loaded.cache_clear()


def test_a_compiler_that_fails_is_quoted(monkeypatch, tmp_path):
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\necho 'no such machine' >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setattr(module, "COMPILERS", (str(compiler),))
    monkeypatch.setenv("FIRSTHAND_CACHE", str(tmp_path / "cache"))
    module._loaded.cache_clear()
    try:
        with pytest.raises(Unavailable, match="no such machine"):
            library()
    finally:
        module._loaded.cache_clear()
    assert list((tmp_path / "cache" / "native").iterdir()) == []


@compiled
def test_the_library_is_compiled_once(monkeypatch, tmp_path):
    monkeypatch.setenv("FIRSTHAND_CACHE", str(tmp_path))
    first = module._compiled()
    before = first.stat().st_mtime_ns
    assert module._compiled() == first
    assert first.stat().st_mtime_ns == before
    assert [path.name for path in (tmp_path / "native").iterdir()] == [first.name]


def test_an_unknown_engine_is_refused():
    with pytest.raises(UserError, match=r"no engine 'rust'.*auto, native, torch"):
        pack(make(), "fp32", "rust")


def test_the_torch_engine_can_be_forced(monkeypatch):
    monkeypatch.setattr(packing, "library", lambda: pytest.fail("nobody asked for it"))
    assert pack(make(), "fp32", "torch").program is None

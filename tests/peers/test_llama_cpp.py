"""llama.cpp runs what we export, and we read what llama.cpp runs: the same tokens. Run by `make test-peers`."""

import pytest
import torch

pytest.importorskip("llama_cpp", reason="llama.cpp is not installed (make test-peers does it, in ten minutes)")

from firsthand.generate.decode import generate
from firsthand.interop import Imported
from firsthand.interop.gguf import write
from firsthand.interop.models import cached
from firsthand.opened import open_model
from firsthand.types import Place

from ..interop.gguf import models
from . import llama
from .products import as_llama_cpp

PROMPTS = [
    "The capital of France is",
    "Once upon a time",
    "To be, or not to be,",
    "def fibonacci(n):",
    "The three primary colours are",
    "Water boils at",
    "In 1969,",
    "My favourite book is",
    "A recipe for bread:",
    "The sun is",
    "List of planets:\n1.",
    "Photosynthesis is the process",
    "He opened the door and",
    "Dear Sir or Madam,",
    "Question: What is 2 + 2?\nAnswer:",
    "SELECT name FROM",
    "The theory of relativity",
    "Birds can fly because",
    "Yesterday I went to",
    "import numpy as np\n",
]
NEW = 16


def ours(model, prompts):
    """The NEW most probable tokens after each of the prompts, written all at once."""
    rows = generate(model, prompts, NEW, temperature=0.0)
    assert len(list(rows)) == NEW
    return [ids[len(prompt) :] for ids, prompt in zip(rows.ids, prompts, strict=True)]


@pytest.mark.parametrize("name", models.MODELS)
def test_what_we_export_has_the_same_logits_and_greedy_tokens(name, tmp_path):
    imported, model = models.model_of(name)
    write(imported, tmp_path / "model.gguf", "fp32")
    peer = llama.opened(tmp_path / "model.gguf", context=128)
    ids = imported.tokenizer.encode("whether tis nobler in the mind")
    with torch.no_grad():
        expected = model(torch.tensor([ids]))[0, -1]
    found = torch.from_numpy(llama.logits(peer, ids))
    # GPT-2's activation is a table of fp16 in ggml
    torch.testing.assert_close(found, expected, atol=5e-3 if name == "gpt2" else 1e-3, rtol=1e-3)
    assert [llama.greedy(peer, ids, NEW)] == ours(model, [ids])


@pytest.mark.parametrize("split", ["gpt2", "cl100k", "o200k", "tekken", "sentencepiece"])
def test_llama_cpp_cuts_text_as_we_do(split, tmp_path):
    imported, _ = models.model_of("llama", rows=models.sentencepiece().vocab_size)
    letters = models.sentencepiece() if split == "sentencepiece" else models.tokenizer(split)
    letters.whole = split == "tekken"
    write(models.dataclasses.replace(imported, tokenizer=letters), tmp_path / "model.gguf", "fp16")
    peer = llama.opened(tmp_path / "model.gguf", context=128)
    for text in ["to be, or not", "  it's  1234 \n\n the end", "Ünïcode 語 🙂", "<|endoftext|>", "CamelCase's a/b"]:
        assert peer.tokenize(text.encode(), add_bos=False, special=False) == letters.encode(text)


@pytest.fixture(scope="module")
def smollm():
    found = cached("smollm2-135m")
    if found is None or found.path.suffix != ".gguf":
        pytest.skip("SmolLM2 is not here as GGUF (firsthand get smollm2-135m)")
    return found.path


def written(peer, tokenizer):
    """The prompts, cut as llama.cpp does, and what it writes after each."""
    prompts = [tokenizer.encode(prompt) for prompt in PROMPTS]
    for prompt, ids in zip(PROMPTS, prompts, strict=True):
        assert peer.tokenize(prompt.encode(), add_bos=False, special=False) == ids
    return prompts, [llama.greedy(peer, ids, NEW) for ids in prompts]


def agreement(model, prompts, theirs):
    """The share of greedy tokens that are equal, written alone; and after the other's own beginning, token by token."""
    pairs = zip(ours(model, prompts), theirs, strict=True)
    free = sum(a == b for one, other in pairs for a, b in zip(one, other, strict=True))
    forced = 0
    for ids, answer in zip(prompts, theirs, strict=True):
        with torch.inference_mode():
            scores = model(torch.tensor([[*ids, *answer[:-1]]]))[0, len(ids) - 1 :]
        forced += sum(a == b for a, b in zip(scores.argmax(-1).tolist(), answer, strict=True))
    return free / (NEW * len(PROMPTS)), forced / (NEW * len(PROMPTS))


def moved(model, ids):
    """How far the logits move, on average, when the embedding is changed by a millionth."""
    row = torch.tensor([ids])
    place = Place.of(row)
    noise = torch.randn(model.embedding.d_model, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        x = model.embed(row, place)
        one, other = (model.head(model.trunk(each, place)[0])[0, -1] for each in (x, x * (1 + 1e-6 * noise)))
    return float((one - other).abs().mean())


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_same_file_gives_nearly_the_same_tokens_and_the_rest_is_their_rounding(smollm):
    """Activations in 8 bits turn differences in the order of a sum into differences of logits."""
    opened, peer = open_model(smollm), llama.opened(smollm)
    prompts, theirs = written(peer, opened.tokenizer)
    free, forced = agreement(opened.model, prompts, theirs)
    print(f"\nthe same file: {free:.1%} of tokens, {forced:.1%} after llama.cpp's own beginnings")
    exact = moved(opened.model, prompts[0])
    as_llama_cpp(opened.model, smollm)
    free_too, forced_too = agreement(opened.model, prompts, theirs)
    print(f"with their products: {free_too:.1%} of tokens, {forced_too:.1%} after llama.cpp's own beginnings")
    noisy = moved(opened.model, prompts[0])
    print(f"a change of a millionth moves our logits by {exact:.1g}, with their products by {noisy:.1g}")
    assert forced > 0.95
    assert noisy > 100 * exact


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
def test_our_export_of_it_gives_the_same_tokens(dtype, smollm, tmp_path):
    opened = open_model(smollm)
    weights = {name: parameter.detach() for name, parameter in opened.model.named_parameters()}
    model = Imported(opened.fields, opened.vocab_size, weights, opened.tokenizer, opened.chat)
    write(model, tmp_path / "model.gguf", dtype)
    free, forced = agreement(opened.model, *written(llama.opened(tmp_path / "model.gguf"), opened.tokenizer))
    print(f"\nexported as {dtype}: {free:.1%} of tokens, {forced:.1%} after llama.cpp's own beginnings")
    assert free > 0.95

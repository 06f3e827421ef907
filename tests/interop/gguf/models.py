"""Small models of every architecture that GGUF files hold here, with random weights: what tests of GGUF share."""

import dataclasses

import torch

from firsthand.interop import Imported
from firsthand.model.make import build_model
from firsthand.model.presets import resolve
from firsthand.tokens import BPETokenizer
from firsthand.tokens.foreign import CONTROL, NORMAL, OF_BYTE, UNKNOWN, sentencepiece_from_parts
from firsthand.tokens.lead import SPACE

SIZES = {"n_layers": 2, "d_model": 64, "n_heads": 4, "n_kv_heads": 2, "d_head": 16, "d_ff": 96, "context_length": 128}
ROPE = {"part": "rope", "theta": 1e4, "layout": "half"}
MODELS = {
    "llama": {"preset": "llama", **SIZES, "tied": True},
    "llama, its own head": {"preset": "llama", **SIZES, "tied": False, "d_head": 32},
    "llama, neighbours": {"preset": "llama", **SIZES, "position": {**ROPE, "layout": "interleaved"}},
    "llama, biases": {"preset": "llama", **SIZES, "mixer": {"part": "attention", "bias": True}},
    "llama, slowed": {
        "preset": "llama",
        **SIZES,
        "position": {**ROPE, "scaling": "llama3", "factor": 8.0, "trained_length": 1024},
    },
    "llama, stretched": {"preset": "llama", **SIZES, "position": {**ROPE, "scaling": "linear", "factor": 2.0}},
    "llama, yarn": {
        "preset": "llama",
        **SIZES,
        "position": {**ROPE, "scaling": "yarn", "factor": 4.0, "trained_length": 48},
    },
    "qwen2": {"preset": "llama", **SIZES, "mixer": {"part": "attention", "bias": "qkv"}},
    "qwen3, yarn": {"preset": "qwen3", **SIZES, "position": {**ROPE, "scaling": "yarn", "factor": 4.0}},
    "qwen3": {"preset": "qwen3", **SIZES, "d_head": 32},
    "mixtral": {"preset": "mixtral", **SIZES},
    "gpt2": {"preset": "gpt2", **SIZES, "n_kv_heads": 4},
}
"""Fields by name. Heads need not be as wide as d_model / n_heads, except in a GPT-2."""

TEXT = "to be or not to be that is the question whether tis nobler in the mind to suffer the slings and arrows " * 3


def tokenizer(split="gpt2"):
    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    return BPETokenizer.train([TEXT], vocab_size=312, special_tokens=names, split=split)


def sentencepiece():
    """Of the same text, with the merges that a byte-level BPE of it has."""
    learnt = tokenizer()
    names = {id: token.decode(errors="replace").replace(" ", SPACE) for id, token in enumerate(learnt.tokens)}
    made = list(dict.fromkeys(names[id] for id in learnt.merges.values()))
    letters = sorted({SPACE, *"".join(made)})
    marks = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
    tokens = [*marks, *(f"<0x{byte:02X}>" for byte in range(256)), *made, *letters]
    types = [UNKNOWN, *[CONTROL] * 4, *[OF_BYTE] * 256, *[NORMAL] * (len(made) + len(letters))]
    return sentencepiece_from_parts(tokens, [-float(i) for i in range(len(tokens))], types, begin=1, end=2)


def model_of(name, rows=None, letters=None):
    """One of MODELS with random weights, large enough for the answers to be far apart, and the model itself."""
    torch.manual_seed(7)
    letters = letters or tokenizer()
    model = build_model(MODELS[name], rows or letters.vocab_size).eval()
    for key, parameter in model.named_parameters():
        wide = parameter.ndim > 1
        torch.nn.init.normal_(parameter, mean=0.0 if wide or key.endswith("bias") else 1.0, std=0.15)
    weights = {key: parameter.detach() for key, parameter in model.named_parameters()}
    return Imported(resolve(MODELS[name]), model.vocab_size, weights, letters), model


def logits_of(imported, ids):
    model = build_model(imported.fields, imported.vocab_size).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(imported.weights[name])
        return model(torch.tensor([ids]))[0]


def changed(imported, **fields):
    return dataclasses.replace(imported, fields=resolve({**imported.fields, **fields}))

"""Claim: one row of SmolLM2-135M's shape is written in bf16 as fast as by llama.cpp, with the same weights.

Needs `pip install llama-cpp-python gguf` (the first compiles llama.cpp for this machine); without them it says so. The
weights go through a GGUF file in a temporary folder. Both sides read a prompt, then write NEW tokens, greedily and in
turn; the median of some rounds counts, reading excluded. The logits after the prompt are compared first, and the ids:
they may part only where two tokens are as good as equal (benchmarks/decode.py).
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.decode import LARGE, NEW, PROMPT, _decoding, _model, ours, same_ids
from firsthand.generate.packed import pack
from firsthand.model.language_model import LanguageModel

NAMES = {
    "mixer_norm.gain": "attn_norm",
    "ffn_norm.gain": "ffn_norm",
    "mixer.query.weight": "attn_q",
    "mixer.key.weight": "attn_k",
    "mixer.value.weight": "attn_v",
    "mixer.out.weight": "attn_output",
    "ffn.up.weight": "ffn_up",
    "ffn.gate.weight": "ffn_gate",
    "ffn.down.weight": "ffn_down",
}
WHAT = "SmolLM2-135M, bf16, 1 row, tokens/s"


def rows() -> list[dict[str, Any]]:
    try:
        import gguf
        import llama_cpp
    except ImportError as error:
        return [{"what": WHAT, "who": "llama.cpp", "figure": f"skipped: {error.name} is not installed"}]
    plain, theta = _model(LARGE, 49152), 1e5
    model = pack(plain, "bf16")
    prompt = torch.randint(model.vocab_size, (PROMPT,), generator=torch.Generator().manual_seed(1)).tolist()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.gguf"
        _write(gguf, plain, theta, path)
        threads = {"n_threads": torch.get_num_threads(), "n_threads_batch": torch.get_num_threads()}
        peer = llama_cpp.Llama(str(path), n_ctx=256, verbose=False, logits_all=False, **threads)
        _check(model, peer, prompt)
        sides: dict[str, Callable[[int, int], Any]] = {
            "firsthand": lambda n, _: ours(model, [prompt], n),
            "llama.cpp": lambda n, _: _theirs(llama_cpp, peer, prompt, n),
        }
        found = same_ids(WHAT, model, prompt, {name: side(NEW, 1) for name, side in sides.items()})
        rates = {name: (NEW - 1) / seconds for name, seconds in _decoding(sides, 1).items()}
    return found + [
        {"what": WHAT, "who": name, "figure": rate, "ours over it": rates["firsthand"] / rate}
        for name, rate in rates.items()
    ]


def _theirs(llama_cpp: Any, peer: Any, prompt: list[int], tokens: int) -> list[int]:
    """Greedy, with nothing of the Python package's sampling: its arrays of candidates would cost it more."""
    peer.reset()
    peer.eval(prompt)
    found: list[int] = []
    while True:
        logits = np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(peer.ctx, -1), (peer.n_vocab(),))
        found.append(int(logits.argmax()))
        if len(found) == tokens:
            return found
        peer.eval(found[-1:])


@torch.inference_mode()
def _check(model: LanguageModel, peer: Any, prompt: list[int]) -> None:
    """One model, to rounding in bf16."""
    import llama_cpp

    peer.reset()
    peer.eval(prompt)
    found = np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(peer.ctx, -1), (peer.n_vocab(),)).copy()
    expected = model(torch.tensor([prompt]))[0, -1].float().numpy()
    off = float(np.abs(found - expected).max() / np.abs(expected).max())
    assert off < 0.1, f"llama.cpp's logits differ by {off:.1%} of the largest"


def _write(
    gguf: Any,
    model: LanguageModel,
    theta: float,
    path: Path,
    store: Callable[[str, torch.Tensor], tuple[Any, Any]] | None = None,
) -> None:
    """The weights as llama.cpp wants them: rows of queries and keys in its order of channels, norms in fp32.

    `store`: what the file has of a matrix, and its type there; bf16 by default.
    """
    mixer: Any = model.blocks[0].mixer
    ffn: Any = model.blocks[0].ffn
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(model.context_length)
    writer.add_embedding_length(model.embedding.d_model)
    writer.add_block_count(len(model.blocks))
    writer.add_feed_forward_length(ffn.up.out_features)
    writer.add_head_count(mixer.n_heads)
    writer.add_head_count_kv(mixer.n_kv_heads)
    writer.add_rope_dimension_count(mixer.d_head)
    writer.add_rope_freq_base(theta)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(model.vocab_size)
    writer.add_tokenizer_model("no_vocab")
    names = {"embedding.weight": "token_embd.weight", "norm.gain": "output_norm.weight"}
    for number in range(len(model.blocks)):
        names |= {f"blocks.{number}.{ours_}": f"blk.{number}.{name}.weight" for ours_, name in NAMES.items()}
    for name, parameter in model.named_parameters():
        weight = parameter.detach()
        if name.endswith(("query.weight", "key.weight")):  # pairs (i, i + half) become neighbours
            weight = weight.view(-1, 2, mixer.d_head // 2, weight.shape[1]).transpose(1, 2).reshape(weight.shape)
        if weight.ndim == 1:
            writer.add_tensor(names[name], weight.float().numpy())
        elif store is not None:
            stored, kind = store(names[name], weight)
            writer.add_tensor(names[name], stored, raw_dtype=kind)
        else:
            bits = weight.to(torch.bfloat16).contiguous().view(torch.uint8).numpy()
            writer.add_tensor(names[name], bits, raw_dtype=gguf.GGMLQuantizationType.BF16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

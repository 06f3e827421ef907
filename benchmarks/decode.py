"""Claims: decoding beside `transformers`' generate with the same weights; a batch decodes many times as fast as a row;
reading a prompt uses most of what the machine can multiply.

Shapes of Llama: SmolLM2-135M's, in bf16, and one of some millions of parameters, in fp32 and in bf16. Greedy, from a
prompt of PROMPT tokens; both sides in turn, the median of ROUNDS counts, loading excluded. Ours is packed, as
`firsthand generate` does it. Before anything is timed the logits must agree to rounding in fp32, and all ids; then both
are rounded to the precision that is timed. "same ids": how many of the first NEW tokens are the same then. Where the
sides part, both tokens must be as good as equal to our model, within TIE of its largest score.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from firsthand.generate import generate
from firsthand.generate.packed import PRECISIONS, pack
from firsthand.model.language_model import LanguageModel
from firsthand.model.make import build_model
from firsthand.ops.roof import matmul_rate

SMALL = {"preset": "llama", "n_layers": 6, "d_model": 256, "n_heads": 4, "d_ff": 768, "context_length": 512}
LARGE = {"preset": "llama", "size": "smollm2-135m", "context_length": 1024}
PROMPT, NEW, ROUNDS, BATCH = 32, 64, 3, 32
TIE = 0.03
FAMILY = {"embedding": "model.embed_tokens", "norm.gain": "model.norm.weight", "unembedding": "lm_head"}
LAYER = {
    "mixer_norm.gain": "input_layernorm.weight",
    "ffn_norm.gain": "post_attention_layernorm.weight",
    "mixer.query": "self_attn.q_proj",
    "mixer.key": "self_attn.k_proj",
    "mixer.value": "self_attn.v_proj",
    "mixer.out": "self_attn.o_proj",
    "ffn.up": "mlp.up_proj",
    "ffn.gate": "mlp.gate_proj",
    "ffn.down": "mlp.down_proj",
}


def rows() -> list[dict[str, Any]]:
    small = [row for precision in PRECISIONS for row in _rows("Llama 6 x 256", _model(SMALL, 8192), 1e4, precision)]
    return small + _rows("SmolLM2-135M", _model(LARGE, 49152), 1e5, "bf16")


def _model(fields: dict[str, Any], vocab_size: int) -> LanguageModel:
    """With random weights, large enough that greedy decoding has clear winners."""
    torch.manual_seed(0)
    model = build_model(fields, vocab_size).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, 1.0 if parameter.ndim == 1 else 0.0, 0.05)
    return model


def _rows(what: str, plain: LanguageModel, theta: float, precision: str) -> list[dict[str, Any]]:
    what, model = f"{what}, {precision}", pack(plain, precision)
    prompt = torch.randint(model.vocab_size, (PROMPT,), generator=torch.Generator().manual_seed(1)).tolist()
    sides: dict[str, Callable[[int, int], list[int]]] = {"firsthand": lambda n, rows: ours(model, [prompt] * rows, n)}
    peer = _peer(plain, theta)
    if peer is not None:
        sides["transformers"] = lambda n, rows: theirs(peer, [prompt] * rows, n)
        _check(what, pack(plain, "fp32"), peer, prompt)
        peer.to(PRECISIONS[precision])
    found = same_ids(what, model, prompt, {name: side(NEW, 1) for name, side in sides.items()})
    for rows_ in (1, BATCH):
        rates = {name: rows_ * (NEW - 1) / seconds for name, seconds in _decoding(sides, rows_).items()}
        for name, rate in rates.items():
            ratio = rates["firsthand"] / rate
            found.append(
                {"what": f"{what}, {rows_} row(s), tokens/s", "who": name, "figure": rate, "ours over it": ratio}
            )
    return found + _prefill(what, model, peer)


@torch.inference_mode()
def _check(what: str, model: LanguageModel, peer: Any, prompt: list[int]) -> None:
    """The two are one model."""
    logits, expected = model(torch.tensor([prompt])), peer(torch.tensor([prompt])).logits
    off = float((logits - expected).abs().max() / expected.abs().max())
    assert off < 1e-4, f"{what}: the logits differ by {off:.1%} of the largest"
    assert ours(model, [prompt], NEW) == theirs(peer, [prompt], NEW), f"{what}: the sides write other tokens"


@torch.inference_mode()
def same_ids(what: str, model: LanguageModel, prompt: list[int], written: dict[str, list[int]]) -> list[dict[str, Any]]:
    """A row for each peer: how many of its first tokens are ours. They may part only at a near tie."""
    mine, found = written["firsthand"], []
    for name, theirs_ in written.items():
        same = next((at for at, (a, b) in enumerate(zip(mine, theirs_, strict=True)) if a != b), len(mine))
        if same < len(mine):
            scores = model(torch.tensor([prompt + mine[:same]]))[0, -1].float()
            gap = float((scores[mine[same]] - scores[theirs_[same]]).abs() / scores.abs().max())
            assert gap < TIE, f"{what}: {name} writes another token after {same}, which is no tie ({gap:.1%})"
        if name != "firsthand":
            found.append({"what": f"{what}, greedy", "who": name, "same ids": f"{same} of {len(mine)}"})
    return found


def _decoding(sides: dict[str, Callable[[int, int], Any]], rows_: int) -> dict[str, float]:
    """Seconds for all tokens but the first of each row, which reading the prompt gives."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(ROUNDS + 1):
        for name, side in sides.items():
            times = []
            for tokens in (1, NEW):
                start = time.perf_counter()
                side(tokens, rows_)
                times.append(time.perf_counter() - start)
            if number:
                seconds[name].append(times[1] - times[0])
    return {name: statistics.median(values) for name, values in seconds.items()}


@torch.inference_mode()
def _prefill(what: str, model: LanguageModel, peer: Any) -> list[dict[str, Any]]:
    """Reading 512 tokens, the head at the last of them alone: tokens/s, and the share of the peak in this precision."""
    ids = torch.randint(model.vocab_size, (1, 512), generator=torch.Generator().manual_seed(2))
    works: dict[str, Callable[[], Any]] = {"firsthand": lambda: ours(model, ids.tolist(), 1)}
    if peer is not None:
        works["transformers"] = lambda: peer(ids, logits_to_keep=1, use_cache=True)
    best = dict.fromkeys(works, float("inf"))
    for _ in range(ROUNDS + 1):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            best[name] = min(best[name], time.perf_counter() - start)
    weights = sum(
        p.numel() for name, p in model.named_parameters() if not name.startswith(("embedding", "unembedding"))
    )
    roof = matmul_rate(model.embedding.weight.dtype)
    return [
        {
            "what": f"{what}, prompt of 512, tokens/s",
            "who": name,
            "figure": 512 / seconds,
            "ours over it": seconds / best["firsthand"],
            "share of peak": 2 * weights * 512 / seconds / roof,
        }
        for name, seconds in best.items()
    ]


def ours(model: LanguageModel, prompts: list[list[int]], tokens: int) -> list[int]:
    """The ids that the first row gets."""
    rows_ = generate(model, prompts, tokens, temperature=0.0)
    for _ in rows_:
        pass
    return rows_.ids[0][len(prompts[0]) :]


@torch.inference_mode()
def theirs(model: Any, prompts: list[list[int]], tokens: int) -> list[int]:
    ids = torch.tensor(prompts)
    settings = {"max_new_tokens": tokens, "min_new_tokens": tokens, "do_sample": False, "pad_token_id": 0}
    out: list[int] = model.generate(ids, attention_mask=torch.ones_like(ids), **settings)[0, ids.shape[1] :].tolist()
    return out


def _peer(model: LanguageModel, theta: float) -> Any:
    """transformers' Llama with our weights; None where it is not installed."""
    try:
        from transformers import LlamaConfig, LlamaForCausalLM
    except ImportError:
        return None
    mixer: Any = model.blocks[0].mixer
    ffn: Any = model.blocks[0].ffn
    sizes = {"num_hidden_layers": len(model.blocks), "hidden_size": model.embedding.d_model}
    sizes |= {"num_attention_heads": mixer.n_heads, "num_key_value_heads": mixer.n_kv_heads, "head_dim": mixer.d_head}
    sizes |= {"intermediate_size": ffn.up.out_features, "max_position_embeddings": model.context_length}
    other = {"vocab_size": model.vocab_size, "rms_norm_eps": 1e-5, "tie_word_embeddings": model.unembedding is None}
    peer = (
        LlamaForCausalLM(LlamaConfig(**sizes, **other, rope_parameters={"rope_type": "default", "rope_theta": theta}))
        .eval()
        .to(model.embedding.weight.dtype)
    )
    weights = {_name(name): weight for name, weight in model.named_parameters()}
    unused = peer.load_state_dict(weights, strict=False).unexpected_keys
    assert not unused, f"{unused[0]} is no weight of theirs"
    peer.tie_weights()
    return peer


def _name(name: str) -> str:
    _, _, rest = name.partition("blocks.")
    if not rest:
        return next(name.replace(a, b) for a, b in FAMILY.items() if name.startswith(a))
    number, _, inner = rest.partition(".")
    inner = next(inner.replace(a, b) for a, b in LAYER.items() if inner.startswith(a))
    return f"model.layers.{number}.{inner}"

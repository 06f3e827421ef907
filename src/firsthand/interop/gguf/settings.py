"""From the metadata of a GGUF file to the fields of our model. A setting that is not known here is refused."""

import re
from typing import Any

import numpy as np

from firsthand.errors import DamagedError, UserError
from firsthand.interop.gguf.header import Header
from firsthand.interop.gguf.layout import POSITIONS, ROPE_FACTORS, Layout
from firsthand.model.positions.rope import frequencies
from firsthand.model.positions.scaling import llama3

ARCHITECTURES = ("llama", "qwen2", "qwen3", "gpt2")
LARGEST = 1 << 20
"""No size of a model that fits in memory is larger, its context included."""

READ = {
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "attention.layer_norm_epsilon",
    "attention.layer_norm_rms_epsilon",
    "expert_count",
    "expert_used_count",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.scaling.type",
    "rope.scaling.factor",
    "rope.scaling.original_context_length",
}
HARMLESS = {"vocab_size", "tensor_data_layout", "expert_feed_forward_length"}
"""They repeat what the tensors say."""


class Settings:
    """The metadata of one architecture, asked key by key."""

    def __init__(self, header: Header) -> None:
        self.fields = header.fields
        self.architecture = str(self.fields.get("general.architecture", ""))
        if self.architecture not in ARCHITECTURES:
            raise UserError(
                f"This GGUF file holds a model of the architecture {self.architecture[:40]!r}. Known here are "
                f"{', '.join(ARCHITECTURES)}."
            )
        for key in self.fields:
            name = key.removeprefix(f"{self.architecture}.")
            if name != key and name not in READ | HARMLESS:
                raise UserError(f"This GGUF file sets {key[:80]}, which is not known here and may change the model.")

    def size(self, key: str, default: int | None = None) -> int:
        """A number of things; one for each layer will do if they are all the same."""
        value = self.fields.get(f"{self.architecture}.{key}", default)
        if isinstance(value, np.ndarray) and len(set(value.tolist())) == 1:
            value = value.tolist()[0]
        if value is None:
            raise DamagedError(f"This GGUF file lacks {self.architecture}.{key}.")
        if type(value) is not int or not 0 <= value <= LARGEST:
            raise UserError(f"{self.architecture}.{key} is {value!r:.60}, not one number from 0 to {LARGEST:,}.")
        return value

    def real(self, key: str, default: float | None = None) -> float:
        """A number as its writer thought of it: the shortest that fp32 cannot tell from it."""
        value = self.fields.get(f"{self.architecture}.{key}", default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e30:
            raise DamagedError(f"{self.architecture}.{key} is {value!r:.60}, not a number above 0.")
        return float(str(np.float32(value)))


def layout_of(header: Header) -> Layout:
    """Which tensors the file should have, from its metadata and from the optional ones among those it has."""
    ask, has = Settings(header), header.tensors
    d_model, n_heads = ask.size("embedding_length"), ask.size("attention.head_count")
    if "token_embd.weight" not in has or len(has["token_embd.weight"].shape) != 2 or not n_heads:
        raise DamagedError("This GGUF file has no embedding (token_embd.weight), or no heads.")
    d_head = ask.size("attention.key_length", d_model // n_heads)
    for key in ("attention.value_length", "rope.dimension_count"):
        if ask.size(key, d_head) != d_head:
            raise UserError(f"{ask.architecture}.{key} differs from the heads' width of {d_head}, which is not known.")
    bias = "all" if "blk.0.attn_output.bias" in has else "qkv" if "blk.0.attn_q.bias" in has else ""
    return Layout(
        architecture=ask.architecture,
        n_layers=ask.size("block_count"),
        d_model=d_model,
        n_heads=n_heads,
        n_kv_heads=ask.size("attention.head_count_kv", n_heads),
        d_head=d_head,
        d_ff=ask.size("feed_forward_length"),
        vocab_size=has["token_embd.weight"].shape[0],
        context_length=ask.size("context_length"),
        tied="output.weight" not in has,
        bias=bias,
        qk_norm=ask.architecture == "qwen3",
        n_experts=ask.size("expert_count", 0),
        rope_factors=ROPE_FACTORS in has and ask.architecture == "llama",
    )


def check_tensors(header: Header, layout: Layout) -> None:
    """DamagedError or UserError, by name, for a tensor that is missing, unknown or of another shape."""
    there = {name: stored.shape for name, stored in header.tensors.items()}
    if layout.n_layers * 4 > len(there):
        raise DamagedError(f"This GGUF file speaks of {layout.n_layers:,} layers and has {len(there):,} tensors.")
    shapes = layout.shapes()
    missing, unknown = shapes.keys() - there.keys(), there.keys() - shapes.keys()
    if missing:
        raise DamagedError(f"This GGUF file lacks the tensor {min(missing)} and {len(missing) - 1} more.")
    if unknown:
        raise UserError(
            f"This GGUF file has the tensor {min(unknown)[:80]!r} and {len(unknown) - 1} more that a "
            f"{layout.architecture} model here does not have."
        )
    for name, shape in shapes.items():
        if there[name] != shape:
            raise DamagedError(f"The tensor {name} has the shape {there[name]}; its model needs {shape}.")


def fields_of(header: Header, layout: Layout, rope_factors: np.ndarray | None = None) -> dict[str, Any]:
    """The fields of a recipe's `model`. `rope_factors`: what the file divides RoPE's frequencies by."""
    ask = Settings(header)
    names = ("context_length", "d_model", "n_layers", "n_heads", "n_kv_heads", "d_head", "d_ff", "tied")
    fields: dict[str, Any] = {name: getattr(layout, name) for name in names}
    if layout.gpt2:
        eps = ask.real("attention.layer_norm_epsilon")
        return {"preset": "gpt2", **fields, "norm": {"part": "layer_norm", "eps": eps}}
    eps = ask.real("attention.layer_norm_rms_epsilon")
    mixer: dict[str, Any] = {"part": "attention"}
    if layout.bias:
        mixer["bias"] = True if layout.bias == "all" else layout.bias
    if layout.qk_norm:
        mixer |= {"qk_norm": "gain", "qk_norm_eps": eps}
    preset = {"qwen3": "qwen3"}.get(layout.architecture, "mixtral" if layout.n_experts else "llama")
    if layout.n_experts:
        fields["ffn"] = {
            "part": "experts",
            "n_experts": layout.n_experts,
            "top_k": ask.size("expert_used_count"),
            "activation": "silu",
        }
    position = {"part": "rope", "theta": ask.real("rope.freq_base", 10000.0), "layout": "half"}
    position |= _scaling(ask, layout, position["theta"], rope_factors)  # type: ignore[arg-type]
    return {"preset": preset, **fields, "mixer": mixer, "position": position, "norm": {"part": "rms_norm", "eps": eps}}


def _scaling(ask: Settings, layout: Layout, theta: float, rope_factors: np.ndarray | None) -> dict[str, Any]:
    kind = ask.fields.get(f"{ask.architecture}.rope.scaling.type", "none")
    if kind == "linear" and rope_factors is None:
        return {"scaling": "linear", "factor": ask.real("rope.scaling.factor")}
    if kind == "yarn" and rope_factors is None:
        trained_length = ask.size("rope.scaling.original_context_length", layout.context_length)
        return {"scaling": "yarn", "factor": ask.real("rope.scaling.factor"), "trained_length": trained_length}
    if kind != "none":
        raise UserError(f"This GGUF file scales RoPE by {kind!r:.40}, which is not known here; linear and yarn are.")
    if rope_factors is None:
        return {}
    factor = float(str(np.float32(rope_factors.max())))
    turns = frequencies(layout.d_head, theta)
    for trained_length in (1 << power for power in range(9, 20)):
        scaled, _ = llama3(turns, theta, factor, trained_length)
        if np.allclose((turns / scaled).numpy(), rope_factors, rtol=1e-4):
            return {"scaling": "llama3", "factor": factor, "trained_length": trained_length}
    raise UserError(f"{ROPE_FACTORS} scales RoPE in a way that is not known here: it is not that of Llama 3.")


def same(name: str) -> bool:
    """Whether a tensor's numbers matter one by one, so that it stays in fp32: norms, biases, positions, routers."""
    return bool(re.search(r"norm\.weight$|\.bias$|ffn_gate_inp", name)) or name in (POSITIONS, ROPE_FACTORS)

"""From the fields of our model to the metadata of a GGUF file, or the reason why llama.cpp has no such model."""

from typing import Any

from firsthand.errors import UserError
from firsthand.interop.gguf.layout import Layout
from firsthand.model.presets import resolve
from firsthand.parts import split

FOR_TRAINING = {"dropout", "attention_dropout", "balance_weight", "qk_norm_eps", "context_length", "trained_length"}
"""Arguments that change nothing when a trained model writes, or that are looked at elsewhere."""

_PLAIN: dict[str, dict[str, Any]] = {
    "attention": {
        "window": None,
        "sink_tokens": 0,
        "sinks": False,
        "softcap": None,
        "scale": None,
        "value_embedding": False,
    },
    "gated": {"activation": "silu", "bias": False},
    "mlp": {"activation": "gelu_tanh", "bias": True},
    "experts": {"activation": "silu", "n_shared": 0, "score": "softmax", "normalize": True, "scale": 1.0},
    "rms_norm": {},
    "layer_norm": {"bias": True},
    "learned": {},
    "pre": {},
    "plain": {},
}
"""For each part that llama.cpp has, the arguments that it must have."""


def layout_of(fields: dict[str, Any], vocab_size: int, tied: bool) -> Layout:
    """The tensors that a file of this model has. UserError names the field that llama.cpp cannot express."""
    fields = resolve(fields)
    for name, plain in (("block", "pre"), ("residual", "plain")):
        _check(name, fields[name], [plain])
    if fields["softcap"]:
        raise _refused("softcap", fields["softcap"], "logits that are not squeezed")
    if split(fields["initialize"])[0] == "mup":
        raise _refused("initialize", "mup", "logits that are not scaled by the width")
    _, mixer = _check("mixer", fields["mixer"], ["attention"])
    gpt2 = split(_one("position", fields["position"]))[0] == "learned"
    part, ffn = _check("ffn", fields["ffn"], ["mlp"] if gpt2 else ["gated", "experts"], fields["bias"])
    _check("norm", fields["norm"], ["layer_norm" if gpt2 else "rms_norm"], fields["bias"])
    architecture, bias, qk_norm = _attention(fields, mixer, gpt2, part == "experts")
    return Layout(
        architecture=architecture,
        vocab_size=vocab_size,
        tied=tied,
        bias=bias,
        qk_norm=qk_norm,
        n_experts=ffn.get("n_experts", 8) if part == "experts" else 0,
        rope_factors=not gpt2 and rope_of(fields, architecture).get("scaling") == "llama3",
        **{name: fields[name] for name in ("n_layers", "d_model", "n_heads", "n_kv_heads", "d_head", "d_ff")},
        context_length=fields["context_length"],
    )


def metadata(fields: dict[str, Any], layout: Layout) -> dict[str, Any]:
    """The keys of the architecture, without its name before them: int for counts, float for numbers, str."""
    fields = resolve(fields)
    keys: dict[str, Any] = {
        "block_count": layout.n_layers,
        "context_length": layout.context_length,
        "embedding_length": layout.d_model,
        "feed_forward_length": layout.d_ff,
        "attention.head_count": layout.n_heads,
        "attention.head_count_kv": layout.n_kv_heads,
        "vocab_size": layout.vocab_size,
    }
    eps = float(split(fields["norm"])[1].get("eps", 1e-5))
    if layout.gpt2:
        return keys | {"attention.layer_norm_epsilon": eps}
    keys |= {
        "attention.layer_norm_rms_epsilon": eps,
        "attention.key_length": layout.d_head,
        "attention.value_length": layout.d_head,
        "rope.dimension_count": layout.d_head,
    }
    rope = rope_of(fields, layout.architecture)
    keys["rope.freq_base"] = float(rope.get("theta", 10000.0))
    if rope.get("scaling") == "linear":
        keys |= {"rope.scaling.type": "linear", "rope.scaling.factor": float(rope["factor"])}
    if rope.get("scaling") == "yarn":
        length = rope.get("trained_length") or max(1, round(layout.context_length / rope["factor"]))
        keys |= {"rope.scaling.type": "yarn", "rope.scaling.factor": float(rope["factor"])}
        keys["rope.scaling.original_context_length"] = length
    if layout.n_experts:
        top_k = split(_one("ffn", fields["ffn"]))[1].get("top_k", 2)
        keys |= {"expert_count": layout.n_experts, "expert_used_count": top_k}
    return keys


def rope_of(fields: dict[str, Any], architecture: str) -> dict[str, Any]:
    """The arguments of RoPE. UserError for another scheme or a scaling that the architecture does not have."""
    name, arguments = split(_one("position", fields["position"]))
    if name != "rope":
        raise _refused("position", name, "rope, or learned in a GPT-2")
    known = ("linear", "yarn", "llama3") if architecture == "llama" else ("linear", "yarn")
    if arguments.get("scaling") not in (None, *known):
        raise _refused("position.scaling", arguments["scaling"], " or ".join(known))
    return arguments


def _attention(fields: dict[str, Any], mixer: dict[str, Any], gpt2: bool, experts: bool) -> tuple[str, str, bool]:
    """The architecture, which maps of attention have a bias, and whether queries and keys are normed."""
    bias = mixer.get("bias", fields["bias"])
    bias = {True: "all", False: ""}.get(bias, bias)
    qk_norm = mixer.get("qk_norm", False)
    if gpt2:
        if bias != "all" or qk_norm or fields["n_kv_heads"] != fields["n_heads"]:
            raise _refused(
                "mixer", fields["mixer"], "GPT-2's attention: biases, no qk_norm, as many key as query heads"
            )
        if fields["n_heads"] * fields["d_head"] != fields["d_model"]:
            raise _refused("d_head", fields["d_head"], "d_model / n_heads in a GPT-2")
        return "gpt2", bias, False
    if not qk_norm:
        return "qwen2" if bias == "qkv" and not experts else "llama", bias, False
    norm = split(fields["norm"])[1]
    if experts or bias or mixer.get("qk_norm_eps", 1e-5) != norm.get("eps", 1e-5):
        raise _refused("mixer.qk_norm", qk_norm, "Qwen3's: without biases or experts, with the eps of the other norms")
    return "qwen3", "", True


def _check(name: str, spec: Any, parts: list[str], bias: bool | None = None) -> tuple[str, dict[str, Any]]:
    """The part and its arguments. UserError if it is none of `parts`, or has an argument that changes the model.

    `bias`: what its argument of that name is where it is not given.
    """
    part, arguments = split(_one(name, spec))
    if part not in parts:
        raise _refused(name, part, " or ".join(parts))
    known = {"mlp": "gelu", "gated": "silu", "experts": "silu"}
    for key, plain in _PLAIN[part].items():
        usual = bias if key == "bias" else known[part] if key == "activation" else plain
        if arguments.get(key, usual) != plain:
            raise _refused(f"{name}.{key}", arguments.get(key, usual), repr(plain))
    if part == "experts" and arguments.get("balance", "loss") == "bias":
        raise _refused("ffn.balance", "bias", "loss or none")
    own = {"attention": {"bias", "qk_norm"}, "experts": {"n_experts", "top_k", "balance"}}.get(part, set())
    for key in arguments.keys() - _PLAIN[part].keys() - FOR_TRAINING - own - {"eps"}:
        raise _refused(f"{name}.{key}", arguments[key], "nothing of the kind")
    return part, arguments


def _one(name: str, spec: Any) -> Any:
    """The part that all layers have. UserError if they have several."""
    several = spec if isinstance(spec, list) else [spec]
    if any(each != several[0] for each in several):
        raise _refused(name, spec, "the same part in all layers")
    return several[0]


def _refused(name: str, value: Any, known: str) -> UserError:
    return UserError(f"A GGUF file cannot hold this model: model.{name} is {value!r:.80}, and llama.cpp knows {known}.")

"""The other way round: a model of ours is made, and each of its parameters asks for what it needs."""

from firsthand.errors import UserError
from firsthand.model.make import build_model

THEIRS = {"mixer_norm": "ln_1", "ffn_norm": "ln_2", "out": "attn.c_proj", "up": "mlp.c_fc", "down": "mlp.c_proj"}
OUTER = {"embedding.weight": "wte.weight", "position.table": "wpe.weight", "unembedding.weight": "lm_head.weight"}
QKV = ("query", "key", "value")


def convert_gpt2(config, weights):
    bends = {"gelu_new": "gelu_tanh", "gelu": "gelu", "relu": "relu"}
    fields = {
        "preset": "gpt2",
        "n_layers": config["n_layer"],
        "d_model": config["n_embd"],
        "n_heads": config["n_head"],
        "context_length": config["n_positions"],
        "d_ff": config.get("n_inner") or 4 * config["n_embd"],
        "norm": {"part": "layer_norm", "eps": config.get("layer_norm_epsilon", 1e-5)},
        "ffn": {"part": "mlp", "activation": bends[config.get("activation_function", "gelu_new")]},
        "tied": config.get("tie_word_embeddings", True),
    }
    stored = {name.replace("transformer.", ""): one for name, one in weights.items()}
    used = {f"h.{n}.attn.{mask}" for n in range(fields["n_layers"]) for mask in ("bias", "masked_bias")}
    if fields["tied"]:
        used.add("lm_head.weight")
    ours = {}
    for name, parameter in build_model(fields, len(stored.get("wte.weight", " "))).named_parameters():
        *outer, part, kind = name.split(".")
        kind = kind.replace("gain", "weight")
        if name in OUTER:
            theirs = OUTER[name]
        elif part == "norm":
            theirs = f"ln_f.{kind}"
        else:
            theirs = f"h.{outer[1]}.{'attn.c_attn' if part in QKV else THEIRS[part]}.{kind}"
        if theirs not in stored:
            raise UserError(f"no {theirs}")
        used.add(theirs)
        tensor = stored[theirs]
        if ".c_" in theirs:
            tensor = tensor.t()  # a vector stays as it is
        if part in QKV:
            d, place = fields["d_model"], QKV.index(part)
            tensor = tensor[place * d : (place + 1) * d]
        if tensor.shape != parameter.shape:
            raise UserError(f"{theirs} is {tuple(tensor.shape)}")
        ours[name] = tensor.float().contiguous()
    if stored.keys() - used:
        raise UserError(f"left over: {stored.keys() - used}")
    return fields, ours

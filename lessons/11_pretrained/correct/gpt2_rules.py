"""Each name by itself, rewritten with regular expressions; what is missing is seen by counting at the end."""

import re

import torch

FIXED = {
    "wte.weight": "embedding.weight",
    "wpe.weight": "position.table",
    "ln_f.weight": "norm.gain",
    "ln_f.bias": "norm.bias",
    "lm_head.weight": "unembedding.weight",
}
INNER = {
    "ln_1.weight": ("mixer_norm.gain",),
    "ln_1.bias": ("mixer_norm.bias",),
    "ln_2.weight": ("ffn_norm.gain",),
    "ln_2.bias": ("ffn_norm.bias",),
}
for _stored, _ours in (
    ("attn.c_attn", ("mixer.query", "mixer.key", "mixer.value")),
    ("attn.c_proj", ("mixer.out",)),
    ("mlp.c_fc", ("ffn.up",)),
    ("mlp.c_proj", ("ffn.down",)),
):
    for _kind in ("weight", "bias"):
        INNER[f"{_stored}.{_kind}"] = tuple(f"{one}.{_kind}" for one in _ours)


def map_key(name):
    """Our names for one of theirs; none if it holds nothing learnt."""
    name = re.sub(r"^transformer\.", "", name)
    if name in FIXED:
        return (FIXED[name],)
    found = re.fullmatch(r"h\.(\d+)\.(.+)", name)
    if found and found[2] in ("attn.bias", "attn.masked_bias"):
        return ()
    if found is None or found[2] not in INNER:
        raise ValueError(f"{name} is not known")
    return tuple(f"blocks.{found[1]}.{one}" for one in INNER[found[2]])


def convert_gpt2(config, weights):
    d = config["n_embd"]
    tied = config.get("tie_word_embeddings", True)
    known = {"gelu_new": "gelu_tanh"}
    bend = config.get("activation_function", "gelu_new")
    fields = {"preset": "gpt2", "n_layers": config["n_layer"], "d_model": d, "n_heads": config["n_head"]}
    fields |= {"context_length": config["n_positions"], "tied": tied}
    fields["d_ff"] = 4 * d if config.get("n_inner") is None else config["n_inner"]
    fields["norm"] = {"part": "layer_norm", "eps": config.get("layer_norm_epsilon", 1e-5)}
    fields["ffn"] = {"part": "mlp", "activation": known.get(bend, bend)}
    ours = {}
    for name, tensor in weights.items():
        names = map_key(name)
        if names == ("unembedding.weight",) and tied:
            continue
        if ".c_" in name and name.endswith("weight"):
            tensor = tensor.permute(1, 0)
        if names:
            ours.update(zip(names, tensor.split(len(tensor) // len(names)), strict=True))
    layers = range(config["n_layer"])
    wanted = {FIXED[one] for one in FIXED if one != "lm_head.weight" or not tied}
    wanted |= {f"blocks.{n}.{one}" for n in layers for names in INNER.values() for one in names}
    if set(ours) != wanted:
        raise ValueError(f"missing or left over: {sorted(set(ours) ^ wanted)}")
    return fields, {name: torch.clone(one.float(), memory_format=torch.contiguous_format) for name, one in ours.items()}

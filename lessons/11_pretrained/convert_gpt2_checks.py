"""What must hold of convert_gpt2, in teaching order."""

import torch
from torch import Tensor

from firsthand.contracts.finding import Broken
from firsthand.learn.grader import properties as p
from firsthand.learn.grader.checks import Checks, Draw, Inputs, Property
from firsthand.model.make import build_model

FIELDS = ("preset", "n_layers", "d_model", "n_heads", "context_length", "d_ff", "norm", "ffn", "tied")


def gpt2(n_layers: int = 2, bare: bool = False, masks: bool = False, half: bool = False, head: bool = False, **config):
    """A tiny GPT-2: `bare` names, with the `masks` of old files, in fp16, with a head in the file."""

    def make(draw: Draw) -> Inputs:
        d, vocab, places = 12, 19, 7
        told = {"model_type": "gpt2", "n_layer": n_layers, "n_embd": d, "n_head": 3, "n_positions": places}
        told |= {"vocab_size": vocab} | config
        inner = told.get("n_inner") or 4 * d
        shapes = {"wte.weight": (vocab, d), "wpe.weight": (places, d), "ln_f.weight": (d,), "ln_f.bias": (d,)}
        for n in range(n_layers):
            for norm in ("ln_1", "ln_2"):
                shapes |= {f"h.{n}.{norm}.weight": (d,), f"h.{n}.{norm}.bias": (d,)}
            for name, d_in, d_out in (("attn.c_attn", d, 3 * d), ("attn.c_proj", d, d), ("mlp.c_fc", d, inner)):
                shapes |= {f"h.{n}.{name}.weight": (d_in, d_out), f"h.{n}.{name}.bias": (d_out,)}
            shapes |= {f"h.{n}.mlp.c_proj.weight": (inner, d), f"h.{n}.mlp.c_proj.bias": (d,)}
            if masks:
                shapes |= {f"h.{n}.attn.bias": (1, 1, places, places), f"h.{n}.attn.masked_bias": ()}
        prefix = "" if bare else "transformer."
        weights = {prefix + name: 0.3 * draw.normal(*shape).float() for name, shape in shapes.items()}
        if head:
            weights["lm_head.weight"] = 0.3 * draw.normal(vocab, d).float()
        weights = {name: one.half() if half else one for name, one in weights.items()}
        return {"config": told, "weights": weights}

    return make


def converted(parts, config, weights):
    result = parts.convert_gpt2(config, weights)
    if not (isinstance(result, tuple) and len(result) == 2 and all(isinstance(one, dict) for one in result)):
        raise Broken(
            f"convert_gpt2 returned {type(result).__name__}, not (fields, weights), two dicts.",
            "The model is built from the one and filled from the other.",
            "return fields, ours",
        )
    strange = [name for name, one in result[1].items() if not isinstance(one, Tensor)]
    if strange:
        raise Broken(
            f"The second of the two dicts holds {strange[0]!r}, and that is no tensor.",
            "The model is built from the first one and filled from the second.",
            "return fields, ours",
        )
    return result


def convert(parts, config, weights):
    fields, ours = converted(parts, config, weights)
    return {
        "fields": {name: told(fields, name) for name in FIELDS},
        "dtypes": sorted({str(one.dtype) for one in ours.values()}),
        "weights": dict(sorted(ours.items())),
    }


def told(fields, name: str):
    """A field; of parts what matters here: the shipped one says more."""
    found = fields.get(name, "(absent)")
    wanted = {"norm": ("part", "eps"), "ffn": ("part", "activation")}.get(name)
    return {key: found.get(key) for key in wanted} if wanted and isinstance(found, dict) else found


def without(name: str, **sizes):
    def make(draw: Draw) -> Inputs:
        given = gpt2(**sizes)(draw)
        del given["weights"][name]
        return given

    return make


def adding(name: str, **sizes):
    def make(draw: Draw) -> Inputs:
        given = gpt2(**sizes)(draw)
        given["weights"][name] = draw.normal(3).float()
        return given

    return make


def missing_layer(draw: Draw) -> Inputs:
    given = gpt2()(draw)
    return given | {"config": given["config"] | {"n_layer": 3}}


def quietly(parts, config, weights):
    """Whatever is raised becomes a ValueError."""
    try:
        return convert(parts, config, weights)
    except (NotImplementedError, Broken):
        raise
    except Exception as error:
        words = f"{type(error).__name__}: {error}"
        raise ValueError(words).with_traceback(error.__traceback__) from error


def tensors(subject, case: str = ""):
    """Our weights of a case, and the model's parameters that they should fill."""
    given = subject.inputs(case)
    found = subject.within(lambda parts: converted(parts, dict(given["config"]), dict(given["weights"])))
    model = build_model({**found[0], "n_heads": 3}, 19)
    return given, found[1], dict(model.named_parameters()), model


def several(names: list[str]) -> str:
    """The first, how many more, and the verb."""
    return f"{names[0]} is" if len(names) == 1 else f"{names[0]} and {len(names) - 1} more are"


def names(subject) -> None:
    _, ours, wanted, _ = tensors(subject)
    missing, extra = sorted(wanted.keys() - ours.keys()), sorted(ours.keys() - wanted.keys())
    if missing or extra:
        lacking = f"{several(missing)} not among your weights" if missing else ""
        more = f"{several(extra)} not among our model's parameters" if extra else ""
        raise Broken(
            f"{' and '.join(filter(None, (lacking, more)))}.",
            "A parameter that nobody fills keeps the numbers it was drawn with, and says nothing.",
            "Print sorted(ours) beside sorted(dict(build_model(fields, vocab_size).named_parameters())).",
        )


def fitting(subject) -> None:
    _, ours, wanted, _ = tensors(subject)
    for name in sorted(wanted.keys() & ours.keys()):
        if ours[name].shape != wanted[name].shape:
            raise Broken(
                f"{name} is {tuple(ours[name].shape)}, and {tuple(wanted[name].shape)} in our model.",
                "GPT-2's c_ maps are stored (d_in, d_out), ours (d_out, d_in); wte and wpe are the same in both.",
                "Turn the four kinds of c_ weights, and nothing else; split along the outputs, which are rows then.",
            )


def computes(subject) -> None:
    """A layer's maps, by what they compute."""
    given, ours, _, _ = tensors(subject)
    x = torch.randn(12, generator=torch.Generator().manual_seed(5))
    stored = {name.removeprefix("transformer."): one for name, one in given["weights"].items()}
    queries = (x @ stored["h.1.attn.c_attn.weight"] + stored["h.1.attn.c_attn.bias"]).split(12)
    wanted = dict(zip(("mixer.query", "mixer.key", "mixer.value"), queries, strict=True))
    wanted["mixer.out"] = x @ stored["h.1.attn.c_proj.weight"] + stored["h.1.attn.c_proj.bias"]
    wanted["ffn.up"] = x @ stored["h.1.mlp.c_fc.weight"] + stored["h.1.mlp.c_fc.bias"]
    for name, right in wanted.items():
        found = ours[f"blocks.1.{name}.weight"].float() @ x + ours[f"blocks.1.{name}.bias"].float()
        wrong = (found - right).abs() > 1e-3
        if bool(wrong.any()):
            at = int(wrong.nonzero()[0])
            raise Broken(
                f"blocks.1.{name} does not compute what GPT-2's map does: number {at} of what comes out is "
                f"{float(found[at]):.3f}, where {float(right[at]):.3f} is right.",
                "A matrix that is square fits the other way round too, and three equal parts fit in any order.",
                "x @ theirs + bias must be ours @ x + bias: turn the weight; queries first, then keys, then values.",
            )


def contiguous(subject) -> None:
    _, ours, _, _ = tensors(subject)
    views = [name for name, one in sorted(ours.items()) if not one.is_contiguous()]
    if views:
        raise Broken(
            f"{several(views)} not contiguous.",
            "A turned matrix is another view of the same numbers; files of tensors refuse it, and products are slower.",
            "End with .contiguous(), which copies where it has to.",
        )


def refused(name: str, make, what: str, why: str, todo: str) -> Property:
    def run(parts):
        given = make(Draw(0))
        return parts.convert_gpt2(given["config"], given["weights"])

    return p.refuses(name, run, (ValueError,), what, why, todo)


GPT2 = Checks(
    call=quietly,
    cases={
        "usual": gpt2(),
        "names without transformer.": gpt2(bare=True),
        "masks in the file": gpt2(bare=True, masks=True),
        "stored in fp16": gpt2(half=True),
        "a tied head in the file": gpt2(head=True),
        "a head of its own": gpt2(head=True, tie_word_embeddings=False),
        "another eps": gpt2(layer_norm_epsilon=1e-3),
        "the exact gelu": gpt2(activation_function="gelu"),
        "gelu_new by its name": gpt2(activation_function="gelu_new"),
        "relu": gpt2(activation_function="relu"),
        "a d_ff of its own": gpt2(n_inner=30),
        "n_inner is None": gpt2(n_inner=None),
        "twelve layers": gpt2(n_layers=12),
        "a missing tensor": without("transformer.h.1.mlp.c_fc.bias"),
        "a tensor too many": adding("transformer.h.1.mlp.c_gate.weight"),
        "a bias too many": adding("transformer.h.1.mlp.c_gate.bias"),
    },
    edges=("a missing tensor", "a tensor too many", "a bias too many"),
    once=("twelve layers",),
    properties=(
        Property("names", names, "shapes"),
        Property("fitting", fitting),
        Property("computes", computes),
        Property("contiguous", contiguous),
        refused(
            "missing_tensor",
            without("transformer.h.1.mlp.c_fc.bias"),
            "Weights without h.1.mlp.c_fc.bias were taken without a word.",
            "What is missing would stay as it was drawn, or zero: a model that runs, and is wrong.",
            "Ask for every tensor that the layers need, and raise UserError with the name of the first one missing.",
        ),
        refused(
            "missing_layer",
            missing_layer,
            "Weights of 2 layers were taken for the 3 that the config tells of.",
            "A file that broke off, or the wrong config: the third layer would keep the numbers it was drawn with.",
            "Count layers by config['n_layer'], not by the names in the file.",
        ),
        refused(
            "unexpected_tensor",
            adding("transformer.h.1.mlp.c_gate.weight"),
            "Weights with h.1.mlp.c_gate.weight, which GPT-2 has not, were taken without a word.",
            "A tensor that nobody takes is a part of the model that you leave out: it is another kind of model.",
            "Keep account of what you have used; raise UserError if something is left over.",
        ),
        refused(
            "unexpected_bias",
            adding("transformer.h.1.mlp.c_gate.bias"),
            "Weights with h.1.mlp.c_gate.bias, which GPT-2 has not, were taken without a word.",
            "Only h.N.attn.bias and h.N.attn.masked_bias hold masks; any other bias was learnt by some part.",
            "Leave out these two by their whole names, not by how they end.",
        ),
    ),
)

"""Mamba-2: all that enters is one matrix, and the norm of what is read is the mixer's own."""

from typing import Any

from firsthand.interop.families.family import Family
from firsthand.interop.families.full import Full
from firsthand.interop.families.mamba import SHARED, shared_config, shared_fields, shared_mixer
from firsthand.interop.families.rules import Rule
from firsthand.interop.families.settings import Settings

RULES = (
    *SHARED,
    Rule(
        "backbone.layers.{n}.mixer.in_proj.{kind}",
        ("blocks.{n}.mixer.gate.{kind}", "blocks.{n}.mixer.enter.{kind}", "blocks.{n}.mixer.time.{kind}"),
    ),
    Rule("backbone.layers.{n}.mixer.dt_bias", ("blocks.{n}.mixer.time_bias",)),
    Rule("backbone.layers.{n}.mixer.norm.weight", ("blocks.{n}.mixer.gain",)),
)
UNBOUNDED = ([0.0, float("inf")], [0.0, {"__float__": "Infinity"}])
"""The steps' limits, as older and newer versions write that there are none."""


def _fields(settings: Settings) -> dict[str, Any]:
    fields = shared_fields(settings, "mamba2", tied=False)
    eps = settings.number("layer_norm_epsilon", 1e-5)
    mixer = {"part": "mamba2", **shared_mixer(settings), "d_head": settings.whole("head_dim", 64), "eps": eps}
    mixer["n_groups"] = settings.whole("n_groups", 8)
    settings.only("num_heads", mixer["expand"] * fields["d_model"] // mixer["d_head"])
    settings.only("time_step_limit", *UNBOUNDED)
    settings.only("rms_norm", True)
    return fields | {"mixer": mixer}


def _config(full: Full) -> dict[str, Any]:
    mixer = full["mixer"][0]
    d_head = mixer.get("d_head") or 1
    heads = (mixer.get("expand") or 1) * full["d_model"] // d_head
    return shared_config(full) | {"head_dim": d_head, "num_heads": heads, "n_groups": mixer.get("n_groups")}


MAMBA2 = Family("mamba2", "Mamba2ForCausalLM", RULES, _fields, _config, "backbone.")

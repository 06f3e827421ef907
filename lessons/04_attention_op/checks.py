"""Attention as a lookup: what must hold, in teaching order."""

from dataclasses import replace

import torch

from firsthand.learn.grader import properties as p
from firsthand.learn.grader.checks import Checks, Draw, Inputs

# no two alike, and none a power of another, so that every swapped axis and every wrong root shows
SIZES = {"batch": 2, "heads": 3, "query": 5, "key": 7, "d_head": 11, "d_value": 13}
AXES = {
    "query": "batch heads query d_head",
    "key": "batch heads key d_head",
    "value": "batch heads key d_value",
    "visible": "query key",
    "out": "batch heads query d_value",
}


def inputs(draw: Draw, lead: tuple[int, ...] = (SIZES["batch"], SIZES["heads"]), **sizes: int) -> Inputs:
    s = SIZES | sizes
    return {
        "query": draw.normal(*lead, s["query"], s["d_head"]),
        "key": draw.normal(*lead, s["key"], s["d_head"]),
        "value": draw.normal(*lead, s["key"], s["d_value"]),
        "visible": draw.mask(s["query"], s["key"]),
    }


def weights(draw: Draw) -> Inputs:
    """The identity as values: what comes back is the weights themselves."""
    found = inputs(draw)
    keys = SIZES["key"]
    return found | {"value": torch.eye(keys, dtype=draw.dtype).expand(SIZES["batch"], SIZES["heads"], keys, keys)}


def empty_row(draw: Draw) -> Inputs:
    found = inputs(draw)
    found["visible"][2] = False
    return found


def large_scores(draw: Draw) -> Inputs:
    """Scores in the hundreds, far apart, so that rounding decides nothing."""
    found = inputs(draw)
    found["query"][..., 0] = 1000
    found["key"][..., 0] = torch.arange(SIZES["key"], dtype=draw.dtype)
    return found


def one_visible(found: Inputs) -> Inputs:
    only = torch.zeros(SIZES["query"], SIZES["key"], dtype=torch.bool)
    only[:, 4] = True
    return found | {"visible": only}


def scores(subject):
    """Scores as the weights betray them, and as they should be; both without what a softmax cannot tell."""
    given = weights(Draw(0)) | {"visible": torch.ones(SIZES["query"], SIZES["key"], dtype=torch.bool)}
    mine = subject.out(given).log()
    right = given["query"] @ given["key"].transpose(-1, -2) / SIZES["d_head"] ** 0.5
    return mine - mine.mean(-1, keepdim=True), right - right.mean(-1, keepdim=True)


def call(parts, query, key, value, visible):
    return parts.attention(query, key, value, visible)


def hidden(parts, query, key, value, visible, other=0.0):
    """Key 3 is hidden from all; `other` is added to it and to its value."""
    visible = visible.clone()
    visible[:, 3], visible[:, 0] = False, True
    key, value = key.clone(), value.clone()
    key[..., 3, :] += other
    value[..., 3, :] += other
    return parts.attention(query, key, value, visible)


CHECKS = {
    "attention_op": Checks(
        call=call,
        axes=AXES,
        cases={
            "usual": inputs,
            "weights": weights,
            "a query that may read nothing": empty_row,
            "scores in the hundreds": large_scores,
            "one query, one key": lambda draw: inputs(draw, query=1, key=1),
            "more queries than keys": lambda draw: inputs(draw, query=9, key=4),
            "no axes in front": lambda draw: inputs(draw, lead=()),
            "three axes in front": lambda draw: inputs(draw, lead=(2, 1, 3)),
        },
        picture="weights",
        edges=("a query that may read nothing", "scores in the hundreds"),
        borrowed=("scaled_dot_product_attention",),
        properties=(
            p.holds(
                "rows_sum_to_one",
                lambda given, out: (out - 1).abs().amax(-1) < 1e-9,
                "With values that are all 1 your output at {where} is not 1: its weights do not add up to 1.",
                "A weighted mean of equal things is that thing; the softmax sees to it, over the keys that count.",
                "Add your weights up along the axis of the keys, after everything that is done to them.",
                changed=lambda given: given | {"value": torch.ones_like(given["value"])},
            ),
            p.parity(
                "hidden_is_unread",
                hidden,
                lambda parts, **given: hidden(parts, **given, other=5.0),
                "What you return before and after changing a key and a value that nobody may read",
                "What a query may not read must not count in any way, not even a little in the sum of the weights.",
                "Print the weights of one row: what may not be read needs exactly 0, and the others share 1.",
                axis="query",
            ),
            p.holds(
                "only_choice",
                lambda given, out: (out - given["value"][..., 4:5, :]).abs().amax(-1) < 1e-9,
                "Where key 4 is the only one that may be read, your output at {where} is not value 4.",
                "Who has one choice takes it whole.",
                "Follow one row: scores, mask, softmax, values. What is 1 where?",
                changed=one_visible,
            ),
            p.holds(
                "equal_scores",
                lambda given, out: (out - given["value"].mean(-2, keepdim=True)).abs().amax(-1) < 1e-9,
                "With a query of zeros, which fits all keys alike, your output at {where} is not the mean value.",
                "Equal scores give equal weights.",
                "Compute the softmax of (0, 0, 0) on paper, and print yours.",
                changed=lambda given: (
                    given | {"query": torch.zeros_like(given["query"]), "visible": torch.ones_like(given["visible"])}
                ),
            ),
            p.constant_factor(
                scores,
                "scores",
                "The root keeps scores near 1 whatever d_head is; larger ones make the softmax take one key.",
                "Find the line that scales: which axis does its size come from, and is it before the softmax?",
                name="score_scale",
            ),
            p.permutation(["key", "value", "visible"], "key"),
            p.isolation(["query", "key", "value"], "batch"),
            p.isolation(["query", "key", "value"], "heads"),
            p.finite("A row with nothing to read, or a large score, comes up in every run; nan then spreads to all."),
            p.gradients("query", "key", "value"),
            # a note only: the answer is right, and it is training that such a row would spoil
            replace(
                p.gradients("query", "key", "value", case="a query that may read nothing"),
                name="empty_row_gradients",
                warns=True,
            ),
        ),
    )
}

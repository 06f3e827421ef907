"""Linear attention, the causal convolution and the selective scan: what must hold, in teaching order."""

from dataclasses import replace

import torch
from torch import Tensor

from firsthand.contracts.finding import Broken
from firsthand.learn.grader import properties as p
from firsthand.learn.grader.checks import Checks, Draw, Inputs

BATCH, HEADS, TIME, D_KEY, D_VALUE = 2, 3, 7, 5, 11


def lookups(draw: Draw, batch: int = BATCH, time: int = TIME, eps: float = 1e-6, past: bool = False) -> Inputs:
    """Queries and keys as a feature map leaves them: positive. `one` names the length of the total's last axis."""
    return {
        "query": draw.normal(batch, HEADS, time, D_KEY).abs() + 0.1,
        "key": draw.normal(batch, HEADS, time, D_KEY).abs() + 0.1,
        "value": draw.normal(batch, HEADS, time, D_VALUE),
        "memory": draw.normal(batch, HEADS, D_KEY, D_VALUE) if past else None,
        "total": draw.normal(batch, HEADS, D_KEY, 1).abs() + 0.5 if past else None,
        "eps": eps,
        "one": 1,
    }


def nothing_fits(draw: Draw) -> Inputs:
    """The first two keys are zero, as relu may leave them: there is nothing to divide by."""
    found = lookups(draw)
    found["key"][:, :, :2] = 0
    return found


def several(name: str, found, count: int):
    """A tensor can be taken apart too: by its rows."""
    if not isinstance(found, tuple | list) or len(found) != count:
        what = f"{len(found)} things" if isinstance(found, tuple | list) else f"a {type(found).__name__}"
        raise Broken(
            f"{name} returned {what}, and should return {count} things.",
            "What it remembers goes into the next call; without it every piece of a text would begin anew.",
            "Return the outputs first, then what is remembered, as the docstring lists them.",
        )
    return found


def attend(parts, query, key, value, memory, total, eps, one=1):
    # a state that is passed in is used up
    memory, total = (x if x is None else x.clone() for x in (memory, total))
    found = parts.normalized_linear_attention(query, key, value, memory, total, eps)
    y, memory, total = several("normalized_linear_attention", found, 3)
    return {"y": y, "memory": memory, "total": total}


def attend_by_pieces(parts, query, key, value, memory, total, eps, one=1, pieces=(3, 1, 1, 2)):
    found = []
    for q, k, v in zip(*(x.split(pieces, 2) for x in (query, key, value)), strict=True):
        piece = attend(parts, q, k, v, memory, total, eps)
        memory, total = piece["memory"], piece["total"]
        found.append(piece["y"])
    return {"y": torch.cat(found, 2), "memory": memory, "total": total}


def by_hand(parts):
    numbers = [torch.tensor(one).double().view(1, 1, 2, 1) for one in ([1, 2], [1, 3], [10, 20])]
    return flat(parts.normalized_linear_attention(*numbers, eps=0.0))


def flat(tensors):
    """As one writes them on paper."""
    return [[round(number, 9) for number in one.flatten().tolist()] for one in tensors]


LINEAR = Checks(
    call=attend,
    axes={
        "query": "batch heads time d_key",
        "key": "batch heads time d_key",
        "value": "batch heads time d_value",
        "memory": "batch heads d_key d_value",
        "total": "batch heads d_key one",
        "out.y": "batch heads time d_value",
        "out.memory": "batch heads d_key d_value",
        "out.total": "batch heads d_key one",
    },
    cases={
        "usual": lookups,
        "going on from a memory": lambda draw: lookups(draw, past=True),
        "one token with a memory": lambda draw: lookups(draw, batch=1, time=1, past=True),
        "eps 0.5": lambda draw: lookups(draw, eps=0.5, past=True),
        "keys of zeros": nothing_fits,
        "a long text": lambda draw: lookups(draw, batch=1, time=70),
    },
    edges=("keys of zeros",),
    borrowed=("scaled_dot_product_attention",),
    properties=(
        p.by_hand(
            "two_tokens",
            by_hand,
            [[10.0, 17.5], [70.0], [4.0]],
            "With queries 1 2, keys 1 3, values 10 20 and eps 0: outputs, memory, total",
            "Token 0 reads 1·10 over 1·1. After token 1 the memory is 1·10 + 3·20 = 70 and the total 1 + 3 = 4, so "
            "that it reads 2·70 over 2·4.",
            "Write these four numbers down token by token, and print yours beside them.",
        ),
        p.perturb_future(("key", "value"), "time", out="out.y"),
        p.past_matters("value", "time", out="out.y"),
        p.holds(
            "weights_sum_to_one",
            lambda given, out: (out["y"] - 1).abs().amax(-1) < 1e-9,
            "With values that are all 1 and eps 0 your output at {where} is not 1.",
            "What is above the fraction line and what is below are sums over the same tokens with the same weights, so "
            "a mean of equal things is that thing.",
            "Compute both sums for token 0, where there is one weight only, and look at which tokens each of them has.",
            changed=lambda given: given | {"value": torch.ones_like(given["value"]), "eps": 0.0},
        ),
        p.finite(),
        p.parity(
            "pieces_equal_whole",
            attend_by_pieces,
            attend,
            "A text read in pieces of 3, 1, 1 and 2 tokens with the sums handed on, and read at once,",
            "The two sums are all that is left of what was read; with them the next token must lack nothing.",
            "Begin from memory and total if they are given, and return both with the last token in them.",
            axis="time",
        ),
        p.isolation(("query", "key", "value"), "batch", out="out.y"),
        p.isolation(("query", "key", "value"), "heads", out="out.y", name="heads_are_strangers"),
        replace(p.gradients("value"), name="value_gradients"),
        p.gradients("query", "key", "value"),
    ),
)

CHANNELS, STATES, WIDTH = 5, 3, 4


def signals(
    draw: Draw, batch: int = BATCH, time: int = TIME, past: bool = False, extra: bool = True, width: int = WIDTH
) -> Inputs:
    """`past`: there were tokens before. `extra`: with a bias and a skip. The input "past" names the window's length."""
    return {
        "x": draw.normal(batch, time, CHANNELS),
        "taps": draw.normal(CHANNELS, width),
        "bias": draw.normal(CHANNELS) if extra else None,
        "window": draw.normal(batch, width - 1, CHANNELS) if past else None,
        "dt": draw.normal(batch, time, CHANNELS).abs() + 0.1,
        "A": -draw.normal(CHANNELS, STATES).abs() - 0.2,
        "B": draw.normal(batch, time, STATES),
        "C": draw.normal(batch, time, STATES),
        "skip": draw.normal(CHANNELS) if extra else None,
        "state": draw.normal(batch, CHANNELS, STATES) if past else None,
        "past": width - 1,
    }


def scan(parts, x, taps, bias, window, dt, A, B, C, skip, state, past=WIDTH - 1):
    state = None if state is None else state.clone()
    convolved, window = several("causal_convolution", parts.causal_convolution(x, taps, bias, window), 2)
    y, state = several("selective_scan", parts.selective_scan(x, dt, A, B, C, skip, state), 2)
    return {"convolved": convolved, "window": window, "y": y, "state": state}


def scan_by_pieces(parts, window, state, pieces=(4, 1, 2), **given):
    timed = [name for name in ("x", "dt", "B", "C") if name in given]
    cuts = zip(*(given[name].split(pieces, 1) for name in timed), strict=True)
    found = []
    for cut in cuts:
        one = scan(parts, **given | dict(zip(timed, cut, strict=True)), window=window, state=state)
        window, state = one["window"], one["state"]
        found.append(one)
    joined = {name: torch.cat([one[name] for one in found], 1) for name in ("convolved", "y")}
    return joined | {"window": window, "state": state}


def row(*numbers: float) -> Tensor:
    return torch.tensor(numbers).double().view(1, -1, 1)


def convolved_by_hand(parts):
    return flat(parts.causal_convolution(row(1, 2, 3), torch.tensor([[10.0, 1.0]]).double()))


def scanned_by_hand(parts):
    """A = -ln 2: a memory that is halved in one unit of time."""
    half = -torch.tensor([[2.0]]).double().log()
    return flat(parts.selective_scan(row(4, 6), row(1, 2), half, row(1, 1), row(1, 10)))


def one_token(parts, x, taps, bias, window, **_):
    """The window that one token leaves when it comes after another."""
    _, window = parts.causal_convolution(x[:, :1], taps, bias, window)
    return parts.causal_convolution(x[:, 1:2], taps, bias, window)[1]


def window_of_two(parts, x, window, taps, **_):
    before = x.new_zeros(len(x), taps.shape[1] - 1, x.shape[2]) if window is None else window
    return torch.cat((before, x[:, :2]), 1)[:, 2:]


def unheard(given: Inputs, steps: float) -> Inputs:
    return given | {"dt": torch.full_like(given["dt"], steps), "skip": None}


SCAN = Checks(
    call=scan,
    axes={
        "x": "batch time channels",
        "taps": "channels width",
        "dt": "batch time channels",
        "A": "channels d_state",
        "B": "batch time d_state",
        "C": "batch time d_state",
        "out.convolved": "batch time channels",
        "out.window": "batch past channels",
        "out.y": "batch time channels",
        "out.state": "batch channels d_state",
    },
    cases={
        "usual": signals,
        "going on": lambda draw: signals(draw, past=True),
        "one token": lambda draw: signals(draw, batch=1, time=1, past=True),
        "two tokens, nothing before": lambda draw: signals(draw, batch=3, time=2),
        "without bias and skip": lambda draw: signals(draw, extra=False),
        "a long text": lambda draw: signals(draw, batch=1, time=70),
        "one tap, so that the window is empty": lambda draw: signals(draw, past=True, width=1),
    },
    borrowed=("firsthand.ops",),
    properties=(
        p.by_hand(
            "two_taps",
            convolved_by_hand,
            [[1.0, 12.0, 23.0], [3.0]],
            "causal_convolution of 1 2 3 with the taps 10 1: outputs and window",
            "The last tap is the current token's: 1·1, 1·2 + 10·1, 1·3 + 10·2. What the next token needs is the 3.",
            "Put width - 1 zeros (or the window) in front of x; output t then adds up width tokens that begin at t.",
        ),
        p.by_hand(
            "halved",
            scanned_by_hand,
            [[4.0, 130.0], [13.0]],
            "selective_scan of x = 4 6 with dt = 1 2, A = -ln 2, B = 1 1, C = 1 10: outputs and the last h",
            "h = 1·1·4 = 4. Then two units pass: a quarter is left, and 2·1·6 comes: h = 1 + 12 = 13, read with 10.",
            "Print fade, what is written and h for both tokens: 1/2 and 1/4; 4 and 12; 4 and 13.",
        ),
        replace(p.perturb_future(("x", "dt", "B", "C"), "time", out="out.y"), name="scan_sees_no_future"),
        replace(p.perturb_future("x", "time", out="out.convolved"), name="convolution_sees_no_future"),
        replace(p.past_matters(("x", "B"), "time", out="out.y"), name="scan_remembers"),
        p.holds(
            "unheard",
            lambda given, out: (out["state"] - given["state"]).abs().amax(-1) < 1e-9,
            "With dt = 0 the state at {where} is not what it was before.",
            "A token to which no time is given leaves no trace, and nothing fades meanwhile: so Mamba skips a token.",
            "dt belongs into the fading, exp(dt A), and into what is written, dt B x.",
            case="going on",
            changed=lambda given: unheard(given, 0.0),
        ),
        p.holds(
            "long_steps_forget",
            lambda given, out: (out["state"] - 1e4 * given["x"][:, -1, :, None] * given["B"][:, -1, None]).abs() < 1e-6,
            "After a token with dt = 10000 the state at {where} is not dt B x of that token alone.",
            "A token that is listened to for a very long time wipes out all that was before it: A is negative.",
            "Look at the sign in exp(dt A), and whether it is an exp at all: 1 + dt A is only near it for small steps.",
            case="going on",
            changed=lambda given: unheard(given, 1e4),
        ),
        p.parity(
            "window",
            one_token,
            window_of_two,
            "The window after two tokens read one by one, and the last three inputs,",
            "In writing tokens come one by one, and the convolution still looks three back.",
            "The window is the last width - 1 of (old window, x), not of x alone.",
            case="going on",
        ),
        p.parity(
            "pieces_equal_whole",
            scan_by_pieces,
            scan,
            "A text read in pieces of 4, 1 and 2 tokens with window and state handed on, and read at once,",
            "Window and state are all that is left of what was read.",
            "Begin from what is passed in if there is something, and return what the last token leaves.",
            axis="time",
            case="going on",
        ),
        replace(p.isolation("x", "channels", out="out.y"), name="scan_by_channel"),
        replace(p.isolation("x", "channels", out="out.convolved"), name="convolution_by_channel"),
        replace(p.isolation(("x", "dt", "B", "C"), "batch", out="out.y"), name="scan_by_row"),
        replace(p.gradients("dt", "A", "B", "C"), name="scan_gradients"),
        p.gradients("x", "taps", "dt", "A", "B", "C"),
    ),
)

CHECKS = {"linear_attention": LINEAR, "selective_scan": SCAN}

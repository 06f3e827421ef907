"""The causal mask, and attention with several heads: what must hold, in teaching order."""

import torch

from firsthand.contracts.finding import Broken
from firsthand.learn.grader import properties as p
from firsthand.learn.grader.checks import Checks, Draw, Inputs
from firsthand.types import Place

# no two alike, and none a power of another
BATCH, TIME, D_MODEL, N_HEADS, D_HEAD = 2, 7, 30, 3, 10


def mask(query: int, key: int, offset: int = 0):
    return lambda draw: {"query": query, "key": key, "offset": offset}


def own(given: Inputs) -> torch.Tensor:
    """True at the place of each query itself."""
    return torch.arange(given["key"]) == torch.arange(given["query"])[:, None] + given["offset"]


MASK = Checks(
    call=lambda parts, query, key, offset: parts.causal_mask(query, key, offset),
    axes={"out": "query key"},
    cases={
        "usual": mask(4, 7, 2),
        "square": mask(5, 5),
        "one query at the end": mask(1, 6, 5),
        "all keys in the past": mask(2, 3, 8),
        "queries before the first key": mask(3, 4, -2),
        "one and one": mask(1, 1),
    },
    properties=(
        p.by_hand(
            "four_by_four",
            lambda parts: parts.causal_mask(4, 4).int(),
            torch.tensor([[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]], dtype=torch.int32),
            "causal_mask(4, 4)",
            "Row i is a query: what is 1 in it may be read, which is everything up to column i.",
            "Draw the 4 by 4 square on paper, row by row, and print yours beside it.",
        ),
        p.by_hand(
            "one_query",
            lambda parts: parts.causal_mask(1, 6, 3).int(),
            torch.tensor([[1, 1, 1, 1, 0, 0]], dtype=torch.int32),
            "causal_mask(1, 6, 3)",
            "The one query stands at place offset + 0, which is 3: it reads keys 0 to 3.",
            "Add offset to the places of the queries, and to nothing else.",
        ),
        p.holds(
            "future_hidden",
            lambda given, out: ~(out.bool() & (own(given).int().cumsum(1) - own(given).int() > 0)),
            "At {where} a key may be read that stands after the query.",
            "The model would be told the answer while it learns to guess it.",
            "Query i stands at offset + i, key j at j. Which of the two must not be larger?",
        ),
        p.holds(
            "own_place_read",
            lambda given, out: out.bool() | ~own(given),
            "At {where} a query may not read its own place.",
            "Without it the first query would have nothing to read.",
            "Is the comparison <= or <?",
        ),
        p.parity(
            "steps",
            lambda parts, **_: parts.causal_mask(6, 6, 0),
            lambda parts, **_: torch.cat([parts.causal_mask(1, 6, t) for t in range(6)]),
            "The mask of six queries, and six masks of one query with offset 0 to 5 under each other,",
            "While text is written one query comes at a time, and must see what it would have seen among all.",
            "Add offset to the places of the queries, and to nothing else.",
        ),
    ),
)


def inputs(draw: Draw, batch: int = BATCH, time: int = TIME, d_head: int = D_HEAD, n_heads: int = N_HEADS) -> Inputs:
    return {"x": draw.normal(batch, time, n_heads * d_head), "n_heads": n_heads, "d_head": d_head}


def two_documents(draw: Draw) -> Inputs:
    return inputs(draw) | {"document": torch.tensor([0, 0, 0, 1, 1, 1, 1]).expand(BATCH, TIME)}


def build(parts, x, n_heads: int, dropout: float = 0.0):
    d_model = x.shape[-1]
    module = parts.CausalSelfAttention(d_model, n_heads, dropout=dropout).to(x.dtype).eval()
    return p.weights(module, {f"{name}.weight": (d_model, d_model) for name in ("query", "key", "value", "out")})


def use(module, x, document=None):
    index = torch.arange(x.shape[1]).unsqueeze(0)
    found = module(x, Place(index, document))
    if not isinstance(found, tuple) or len(found) != 2:
        raise Broken(
            f"forward returned a {type(found).__name__}, not two things.",
            "A layer of the model takes apart what its mixer returns: the output, and what is remembered.",
            "End it with: return y, state",
        )
    return found[0]


def call(parts, x, n_heads, d_head, document=None, look=False):
    if look:
        return {"weights": weights(parts, x, n_heads, d_head)[2]}
    return use(build(parts, x, n_heads), x, document)


def weights(parts, x, n_heads, d_head, skew=0.0):
    """The weights (batch, heads, query, key): what comes out if the value of place j is the j-th unit vector of its
    head, and out changes nothing. `skew` is added to all numbers of head 0's queries."""
    module, time = build(parts, x, n_heads), x.shape[1]
    with torch.no_grad():
        module.value.weight.zero_()
        for head in range(n_heads):
            module.value.weight[head * d_head : head * d_head + time, :time] = torch.eye(time)
        module.out.weight.copy_(torch.eye(x.shape[-1]))
        module.query.weight[:d_head] += skew
        marked = torch.cat((torch.eye(time, dtype=x.dtype).expand(len(x), -1, -1), x[..., time:]), -1)
        return marked, module, use(module, marked).unflatten(-1, (n_heads, d_head)).transpose(1, 2)[..., :time]


def scores(subject):
    """The last token's scores as its weights betray them, and as they should be, both around their mean."""

    def read(parts):
        x, module, found = weights(parts, **subject.inputs())
        query, key = (layer(x)[:, :, None].unflatten(-1, (N_HEADS, D_HEAD)) for layer in (module.query, module.key))
        right = (query[:, -1:] * key).sum(-1).squeeze(2).transpose(1, 2) / D_HEAD**0.5
        return found[:, :, -1].log(), right

    mine, right = subject.within(read)
    return mine - mine.mean(-1, keepdim=True), right - right.mean(-1, keepdim=True)


def of_equal_tokens(parts, x, n_heads, d_head):
    """The outputs, and the projected values that they should be, where all tokens of a row are the same."""
    module, same = build(parts, x, n_heads), x[:, :1].expand_as(x).clone()
    return use(module, same), module.out(module.value(same))


def of_last(parts, x, n_heads, d_head, turned=False):
    past = x[:, :-1].flip(1) if turned else x[:, :-1]
    return call(parts, torch.cat((past, x[:, -1:]), 1), n_heads, d_head)[:, -1:]


def first_value(parts, x, n_heads, d_head):
    module = build(parts, x, n_heads)
    return module.out(module.value(x[:, :1]))


ATTENTION = Checks(
    call=call,
    axes={"x": "batch time d_model", "out": "batch time d_model", "out.weights": "batch heads query key"},
    picture="the weights",
    once=("a text of 1030 tokens",),
    cases={
        "usual": inputs,
        "the weights": lambda draw: inputs(draw) | {"look": True},
        "one token": lambda draw: inputs(draw, batch=1, time=1),
        "one head": lambda draw: inputs(draw, n_heads=1),
        "two documents in a row": two_documents,
        "a text of 1030 tokens": lambda draw: inputs(draw, batch=1, time=1030, d_head=2, n_heads=1),
    },
    borrowed=("scaled_dot_product_attention", "MultiheadAttention"),
    properties=(
        p.by_hand(
            "split_heads",
            lambda parts: parts.split_heads(torch.arange(12.0).view(1, 3, 4), 2),
            torch.tensor([[[[0.0, 1], [4, 5], [8, 9]], [[2, 3], [6, 7], [10, 11]]]]),
            "split_heads of ((0 1 2 3) (4 5 6 7) (8 9 10 11)) with 2 heads",
            "Head 0 has the first half of each token's channels. A head cut across tokens would see the future.",
            "Cut the channels in two axes first, (batch, time, n_heads, d_head), then swap time and heads.",
        ),
        p.by_hand(
            "merge_heads",
            lambda parts: parts.merge_heads(torch.arange(12.0).view(1, 2, 3, 2)),
            torch.tensor([[[0.0, 1, 6, 7], [2, 3, 8, 9], [4, 5, 10, 11]]]),
            "merge_heads of 2 heads of 3 tokens, ((0 1) (2 3) (4 5)) and ((6 7) (8 9) (10 11)),",
            "Each token gets its own channels back, head after head.",
            "Swap heads and time back before you join the last two axes.",
        ),
        p.parameters(lambda parts, given: build(parts, given["x"], given["n_heads"])),
        p.perturb_future("x", "time"),
        p.parity(
            "first_token",
            lambda parts, **given: call(parts, **given)[:, :1],
            first_value,
            "Your output for the first token and its own value, projected by out,",
            "The first token has nothing to read but itself, so its weight is 1 and its answer is its own value.",
            "Follow token 0: its scores, its mask, its weights. They should be 1, 0, 0, ...",
        ),
        p.parity(
            "equal_tokens",
            lambda parts, **given: of_equal_tokens(parts, **given)[0],
            lambda parts, **given: of_equal_tokens(parts, **given)[1],
            "Where all tokens are the same, your output and the value of that token, projected by out,",
            "A weighted mean of equal values is that value, if the weights add up to 1 and out is used.",
            "Add up each row of your weights after everything that is done to them, and look at what out gets.",
            axis="time",
        ),
        p.parity(
            "rows_sum_to_one",
            lambda parts, **given: weights(parts, **given)[2].sum(-1),
            lambda parts, **given: torch.ones(BATCH, N_HEADS, TIME, dtype=torch.float64),
            "The sums of your rows of weights and 1",
            "Each token shares out one whole among those that it reads.",
            "Softmax over the keys, the last axis, after the mask.",
        ),
        p.past_matters("x", "time"),
        p.prefix("x", "time"),
        p.constant_factor(
            scores,
            "scores",
            "The root of d_head keeps scores near 1 whatever the width; larger ones make the softmax take one key.",
            "Which width does a dot product add over: that of one head, of all heads, or the number of tokens?",
            name="score_scale",
        ),
        p.parity(
            "heads_isolation",
            lambda parts, **given: weights(parts, **given)[2][:, 1:],
            lambda parts, **given: weights(parts, **given, skew=1.0)[2][:, 1:],
            "The weights of the other heads before and after changing the queries of head 0",
            "Heads are strangers until out mixes them.",
            "Look at how you split and merge, and for a mean or a softmax over the axis of the heads.",
        ),
        p.parity(
            "past_order",
            of_last,
            lambda parts, **given: of_last(parts, **given, turned=True),
            "The last token's output with its past in the one order and in the other",
            "Attention by itself knows no order: that is what positions are for, in the next lesson.",
            "Look for a mask or a reshape that puts tokens in each other's places.",
        ),
        p.parity(
            "documents",
            lambda parts, **given: call(parts, **given),
            lambda parts, x, document, **given: torch.cat(
                [call(parts, one, **given) for one in (x[:, :3], x[:, 3:])], 1
            ),
            "The outputs of two documents in one row, and those of each alone,",
            "Rows are packed with several texts; what one says about another is chance, and would be learnt.",
            "visible = causal_mask(time, time) & same_document(place)",
            axis="time",
            case="two documents in a row",
        ),
        p.isolation("x", "batch"),
        p.finite("A nan in one place is everywhere after the next layer."),
        p.gradients("x"),
        p.parameter_gradients(
            lambda parts, given: build(parts, given["x"], given["n_heads"]),
            lambda module, given: use(module, given["x"]),
        ),
        p.eval_deterministic(
            lambda parts, given: build(parts, given["x"], given["n_heads"], dropout=0.5),
            lambda module, given: use(module, given["x"]),
        ),
        p.dropout_on_output(
            lambda parts, given: build(parts, given["x"], given["n_heads"], dropout=0.5),
            lambda module, given: use(module, given["x"]),
        ),
    ),
)

CHECKS = {"causal_mask": MASK, "causal_attention": ATTENTION}

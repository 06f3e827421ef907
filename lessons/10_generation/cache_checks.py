"""Attention with a cache: what must hold, in teaching order."""

from dataclasses import replace

import torch

from firsthand.contracts.finding import Broken
from firsthand.learn.grader import properties as p
from firsthand.learn.grader.checks import Checks, Draw, Inputs, Property
from firsthand.learn.grader.subject import Sign
from firsthand.model.positions.rope import Rope
from firsthand.types import Place

N_HEADS, N_KV_HEADS, D_HEAD = 6, 2, 4
D_MODEL = N_HEADS * D_HEAD
TWO_DOCUMENTS = torch.tensor([[0, 0, 0, 0, 0, 1, 1, 1, 1]])


def text(pieces: list[int], batch: int = 3, kv: int = N_KV_HEADS, rotated: bool = True, document=None):
    return lambda draw: {
        "x": draw.normal(batch, sum(pieces), D_MODEL),
        "pieces": pieces,
        "n_kv_heads": kv,
        "rotated": rotated,
        "document": document,
    }


def padded(draw: Draw) -> Inputs:
    """Row 0 has three columns of padding on the left, row 1 one, row 2 none."""
    column = torch.arange(9) - torch.tensor([[3], [1], [0]])
    return text([5, 1, 1, 2])(draw) | {"document": torch.where(column < 0, -1, 0)}


def build(parts, x, n_kv_heads=N_KV_HEADS, rotated=True, dropout=0.0, seed=0):
    position = Rope(D_HEAD, context_length=64).to(x.dtype) if rotated else None
    module = parts.CausalSelfAttention(D_MODEL, N_HEADS, n_kv_heads=n_kv_heads, position=position, dropout=dropout)
    wide, narrow = (D_MODEL, D_MODEL), (n_kv_heads * D_HEAD, D_MODEL)
    shapes = {"query.weight": wide, "key.weight": narrow, "value.weight": narrow, "out.weight": wide}
    there = {name for name, _ in module.named_parameters()}
    order = {name: shapes[name] for name in ("query.weight", "key.weight", "value.weight", "out.weight")}
    return p.weights(module.to(x.dtype).eval(), order if there == set(shapes) else shapes, seed)


def place_of(x, document):
    columns = torch.arange(x.shape[1]).unsqueeze(0)
    if document is None:
        return Place(columns)
    starts = torch.stack([(row.unsqueeze(1) == row).int().argmax(1) for row in document])
    return Place((columns - starts).clamp(min=0), document)


def take(module, x, place, state=None):
    found = module(x, place, state)
    if not isinstance(found, tuple) or len(found) != 2:
        raise Broken(
            f"forward returned a {type(found).__name__}, not two things.",
            "A layer takes apart what its mixer returns: the output, and what is remembered.",
            "End it with: return y, state",
        )
    return found


def step_by_step(module, x, place, pieces, state):
    outputs, start = [], 0
    for length in pieces:
        columns = slice(start, start + length)
        document = None if place.document is None else place.document[:, columns]
        y, state = take(module, x[:, columns], Place(place.index[:, columns], document), state)
        outputs.append(y)
        start += length
    return torch.cat(outputs, 1)


def cached(parts, x, pieces, n_kv_heads, rotated, document, which="both"):
    module, place = build(parts, x, n_kv_heads, rotated), place_of(x, document)
    found = {}
    if which != "steps":
        found["whole"] = take(module, x, place)[0]
    if which != "whole":
        state = module.initial_state(len(x), 2 * x.shape[1] + 3)
        found["steps"] = step_by_step(module, x, place, pieces, state)
    return found if which == "both" else found[which]


def after_another_text(parts, x, old: bool):
    """A text that is read where (`old`) another one has been read before, with a new state of the same module."""
    module, place = build(parts, x), place_of(x, None)
    if old:
        step_by_step(module, x.flip(1), place, [4, 7], module.initial_state(len(x), x.shape[1] + 5))
    return step_by_step(module, x, place, [6, 1, 4], module.initial_state(len(x), x.shape[1] + 5))


def in_turn(parts, x, layers: int, alone: bool):
    """Two texts in turn, token by token, by one module or two, each with its own state; or one after the other."""
    place, texts = place_of(x, None), (x, x.flip(1))
    modules = [build(parts, x, seed=number) for number in range(layers)] * (3 - layers)
    states = [module.initial_state(*x.shape[:2]) for module in modules]
    if alone:
        return [take(module, text, place)[0] for module, text in zip(modules, texts, strict=True)]
    found = [[], []]
    for t in range(x.shape[1]):
        for which in (0, 1):
            one = Place(place.index[:, t : t + 1])
            y, states[which] = take(modules[which], texts[which][:, t : t + 1], one, states[which])
            found[which].append(y)
    return [torch.cat(outputs, 1) for outputs in found]


def read_once(subject) -> None:
    """In a step the keys of the new token are computed, and no others."""
    x, seen = subject.inputs()["x"][:, :7], []

    def run(parts):
        module = build(parts, x)
        module.key.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[1]))
        step_by_step(module, x, place_of(x, None), [6, 1], module.initial_state(*x.shape[:2]))

    subject.within(run)
    if seen and seen[-1] != 1:
        raise Broken(
            f"To read one token more, keys were computed for {seen[-1]}.",
            "That the old ones need not be computed again is all that a cache is for.",
            "Compute query, key and value of x only, and take the rest from the state.",
        )


def state_returned(subject) -> None:
    """Who gave a state gets one back."""
    x = subject.inputs()["x"][:, :3]

    def run(parts):
        module = build(parts, x)
        return module(x, place_of(x, None), module.initial_state(*x.shape[:2]))[1]

    if subject.within(run) is None:
        raise Broken(
            "forward was given a state, and returned None in its place.",
            "Whoever writes hands on what came back; with None the next piece begins without a memory.",
            "End it with: return y, state",
        )


def state_size(subject) -> None:
    found = subject.within(lambda parts: build(parts, torch.ones(1, 1, D_MODEL)).state_size(10))
    right = 2 * N_KV_HEADS * D_HEAD * 10
    if found != right:
        raise Sign(
            f"state_size(10) with n_kv_heads = {N_KV_HEADS} and d_head = {D_HEAD} gives {found}, and {right} is right.",
            "Memory is planned by it: keys and values, of n_kv_heads heads, for each token.",
            "2 · n_kv_heads · d_head · length",
            str(found),
        )


def by_groups(parts, x, changed: bool, **_):
    """The outputs of the query heads that do not share key head 0, before and after changing its values."""
    module = build(parts, x)
    with torch.no_grad():
        module.out.weight.copy_(torch.eye(D_MODEL))
        module.value.weight[:D_HEAD] += float(changed)
        return take(module, x, place_of(x, None))[0][..., N_HEADS // N_KV_HEADS * D_HEAD :]


def appended(parts):
    cache = parts.KVCache(1, 1, 5, 2, 2, torch.zeros(1))
    for start in (0, 1):
        numbers = torch.tensor([1.0, 2.0]) + 4 * start
        index = torch.tensor([[start]])
        reads = cache.append(numbers.view(1, 1, 1, 2), numbers.view(1, 1, 1, 2) + 2, Place(index))
    return reads.keys, reads.values


def too_many(parts):
    x = torch.ones(1, 5, D_MODEL)
    module = build(parts, x)
    return step_by_step(module, x, place_of(x, None), [4, 1], module.initial_state(1, 4))


CACHE = Checks(
    call=cached,
    axes={"x": "batch time d_model", "out.whole": "batch time d_model", "out.steps": "batch time d_model"},
    borrowed=("scaled_dot_product_attention",),
    cases={
        "usual": text([5, 1, 1, 4]),
        "without a cache": lambda draw: text([6])(draw) | {"which": "whole"},
        "token by token": text([1] * 7),
        "all at once": text([7], batch=1),
        "no rotation, as many heads of keys": text([4, 1, 2], kv=N_HEADS, rotated=False),
        "one head of keys": text([3, 1, 1], kv=1),
        "padding on the left": padded,
        "two documents": lambda draw: text([4, 2, 1, 2])(draw) | {"document": TWO_DOCUMENTS.expand(3, -1)},
    },
    properties=(
        p.parameters(lambda parts, given: build(parts, given["x"])),
        p.by_hand(
            "append",
            appended,
            (torch.tensor([[[[1.0, 2], [5, 6]]]]), torch.tensor([[[[3.0, 4], [7, 8]]]])),
            "After appending key (1 2) with value (3 4), and then (5 6) with (7 8), what may be read",
            "New tokens stand behind the old ones, and what comes back is all of them, without the empty room.",
            "Write to slots length to length + time, move length on once, and return the first `length` slots.",
        ),
        p.perturb_future("x", "time", out="out.whole"),
        replace(p.perturb_future("x", "time", out="out.steps"), name="cached_future"),
        p.parity(
            "first_piece",
            lambda parts, pieces, **given: cached(parts, pieces=pieces, **given, which="steps")[:, : pieces[0]],
            lambda parts, pieces, **given: cached(parts, pieces=pieces, **given, which="whole")[:, : pieces[0]],
            "The first piece read with an empty cache, and read without one,",
            "An empty cache changes nothing: the prompt is read as in training.",
            "Compare what attention gets in the two cases: keys, values, mask.",
        ),
        Property("state_returned", state_returned),
        p.parity(
            "steps_equal_whole",
            lambda parts, **given: cached(parts, **given, which="steps"),
            lambda parts, **given: cached(parts, **given, which="whole"),
            "Outputs in pieces of 5, 1, 1 and 4 tokens, and all at once,",
            "The model that writes must be the one that was trained.",
            "Take one token after another: which slots does it write, which may it read, at which place does it turn?",
        ),
        p.parity(
            "groups",
            lambda parts, x, **_: by_groups(parts, x, False),
            lambda parts, x, **_: by_groups(parts, x, True),
            "The outputs of query heads 3 to 5 before and after changing key head 0, which is that of 0 to 2,",
            "Neighbours share a head of keys; checkpoints rely on it.",
            "Repeat each head of keys for its group (repeat_interleave), not the row of heads (repeat).",
        ),
        Property("read_once", read_once),
        p.parity(
            "fresh_state",
            lambda parts, x, **_: after_another_text(parts, x, old=True),
            lambda parts, x, **_: after_another_text(parts, x, old=False),
            "A text read with a new state after another text, and read first,",
            "Every conversation begins with an empty memory.",
            "Make a new cache in initial_state at every call, and keep none on the module.",
        ),
        p.parity(
            "two_layers",
            lambda parts, x, **_: in_turn(parts, x, 2, alone=False),
            lambda parts, x, **_: in_turn(parts, x, 2, alone=True),
            "Two layers in turn, each with its own state, and each alone,",
            "Every layer has keys of its own.",
            "Keep nothing on the class; use the state that is passed in.",
        ),
        p.parity(
            "two_conversations",
            lambda parts, x, **_: in_turn(parts, x, 1, alone=False),
            lambda parts, x, **_: in_turn(parts, x, 1, alone=True),
            "Two conversations in turn, each with its own state, and each alone,",
            "One model serves many at once; what it keeps on itself leaks from one into the other.",
            "Read from and write to the state that is passed in, nothing else.",
        ),
        p.refuses(
            "overflow",
            too_many,
            (ValueError,),  # UserError is one
            "A cache for 4 tokens has taken a fifth, without a word.",
            "What has no room overwrites something, and the text goes astray much later.",
            "Raise UserError in append if length + time is more than the room.",
        ),
        Property("state_size", state_size),
        p.isolation("x", "batch", out="out.steps"),
        p.gradients("x", case="without a cache"),
        p.eval_deterministic(
            lambda parts, given: build(parts, given["x"], dropout=0.5),
            lambda module, given: take(module, given["x"], place_of(given["x"], None))[0],
        ),
    ),
)

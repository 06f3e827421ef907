"""What must hold of batches, in teaching order."""

import torch

from firsthand.learn.grader import properties as p
from firsthand.learn.grader.checks import Checks, Draw, Inputs
from firsthand.types import IGNORE

PLACES, LENGTH = 6, 5
"""Windows of LENGTH tokens fit into LENGTH + PLACES ids at PLACES places."""
DRAWS = 600
NONE = (torch.full((2, LENGTH), -1), torch.full((2, LENGTH), -1))
"""In place of a batch that could not be drawn."""


def text(length: int, context_length: int, stride: int | None = None, documents: int = 1):
    """Ids that say nothing about their place, the documents of which have different lengths."""

    def make(draw: Draw) -> Inputs:
        ids = 1 + draw.integers(50, length)
        borders = torch.arange(1, documents) * length // documents - torch.arange(1, documents) % 2
        document = torch.bucketize(torch.arange(length), borders, right=True) if documents > 1 else None
        return {"ids": ids, "context_length": context_length, "stride": stride, "document": document}

    return make


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(parts, seed: int = 0):
    """Many windows of a text whose ids are their places, three times themselves."""
    return parts.get_batch(3 * torch.arange(LENGTH + PLACES), DRAWS, LENGTH, seeded(seed))


def facts(parts):
    """What a batch shows whatever the order in which its places were drawn."""
    try:
        x, y = drawn(parts)
        assert x.dim() == 2
        assert x.shape == y.shape
    except (AssertionError, AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
        # what raised it, batch_sizes will tell
        return {key: [type(error).__name__] for key in ("starts", "steps", "ahead", "seeds", "whole")} | {
            "one": NONE,
            "apart": False,
        }
    return {
        "one": only(parts),
        "starts": sorted({int(start) // 3 for start in x[:, 0]}),
        "apart": len({int(step) for step in x[:, 0].diff()}) > 3,
        "steps": sorted(set((x[:, 1:] - x[:, :-1]).flatten().tolist())),
        "ahead": sorted(set((y - x).flatten().tolist())),
        "seeds": [same(drawn(parts), (x, y)), same(drawn(parts, 1), (x, y))],
        "whole": [one.dtype is torch.int64 for one in (x, y)],
    }


def only(parts):
    """Of a text that has room for a single place; NONE if none is drawn, which every_place will tell."""
    try:
        return parts.get_batch(torch.arange(20, 21 + LENGTH), 2, LENGTH, seeded(0))
    except (IndexError, RuntimeError, ValueError):
        return NONE


def same(one, other) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def windows(parts, ids, context_length, stride=None, document=None):
    """parts.windows. The last token has no target, so that it does not matter whether x holds it or 0: 0 here."""
    x, y = parts.windows(ids, context_length, stride, document)
    place = torch.arange(len(x))[:, None] * (stride or context_length) + torch.arange(context_length)
    if x.shape == place.shape:
        x = torch.where((place == len(ids) - 1) & (x == ids[-1]), 0, x)
    return x, y


def call(parts, ids, context_length, stride, document):
    train, validation = parts.split(ids[: len(ids) // 4 * 4], 0.25)
    x, y = windows(parts, ids, context_length, stride, document)
    return {"train": train, "validation": validation, "x": x, "y": y, "batch": facts(parts)}


def targets_once(given: Inputs, out) -> bool:
    y = out["y"].flatten()
    return y[y != IGNORE].tolist() == given["ids"][1:].tolist()


def twice_the_step(parts):
    """Where windows start: their first ids, which are their places."""
    return parts.windows(torch.arange(12), 3, 2)[0][:, 0]


BATCHES = Checks(
    call=call,
    cases={
        "usual": text(31, 7, documents=3),
        "windows that overlap": text(29, 6, 4),
        "windows with gaps": text(30, 4, 7),
        "a text that fits exactly": text(25, 6),
        "one window, not full": text(5, 8),
        "windows of one token": text(11, 1),
    },
    borrowed=("get_batch",),
    properties=(
        p.by_hand(
            "split",
            lambda parts: parts.split(torch.arange(8), 0.25),
            (torch.arange(6), torch.arange(6, 8)),
            "split of 0 1 2 3 4 5 6 7 with the fraction 0.25",
            "What is held out must be no part of what is trained on, or the validation loss is no test.",
            "The last quarter of 8 tokens is 2 of them: cut once, at one place, and return both sides.",
        ),
        p.by_hand(
            "next_token",
            lambda parts: parts.windows(torch.tensor([7, 1, 8, 2, 9]), 4),
            (torch.tensor([[7, 1, 8, 2]]), torch.tensor([[1, 8, 2, 9]])),
            "windows of 7 1 8 2 9 with context_length 4",
            "The model reads 7 and must guess 1, reads 7 1 and must guess 8: the target is the input shifted by one.",
            "Write x and y under one another: each y is what stands one place further in the text.",
        ),
        p.by_hand(
            "filled_up",
            lambda parts: windows(parts, torch.arange(10, 17), 4),
            (
                torch.tensor([[10, 11, 12, 13], [14, 15, 0, 0]]),
                torch.tensor([[11, 12, 13, 14], [15, 16, IGNORE, IGNORE]]),
            ),
            "windows of 10 11 12 13 14 15 16 with context_length 4",
            "7 tokens hold 6 targets, and 4 of them fit into the first window. The others are to be learnt too.",
            "The second window has two pairs; the rest of it is 0 in x, and IGNORE in y.",
        ),
        p.holds(
            "targets_once",
            targets_once,
            "Put one after another, the targets of your windows are not the text without its first token.",
            "Windows side by side (no stride given) make every token but the first a target exactly once.",
            "Print y for a short text, and look for what is missing or there twice at the windows' borders.",
            case="a text that fits exactly",
        ),
        p.by_hand(
            "stride",
            twice_the_step,
            torch.tensor([0, 2, 4, 6, 8]),
            "The first tokens of windows(0 1 2 ... 11, context_length 3, stride 2)",
            "The stride says how far apart windows begin; the last one has the last target, 11.",
            "Window w begins at token w · stride; stop when the last target has had its window.",
        ),
        p.by_hand(
            "documents",
            lambda parts: parts.windows(torch.arange(10, 17), 6, None, torch.tensor([0, 0, 0, 1, 1, 1, 1]))[1],
            torch.tensor([[11, 12, IGNORE, 14, 15, 16]]),
            "The targets of 10 11 12 | 13 14 15 16, two documents,",
            "How the next document begins cannot be guessed from this one: whoever learns it learns chance.",
            "Compare the document of each token with the document of its target.",
        ),
        p.by_hand(
            "batch_sizes",
            lambda parts: [list(one.shape) for one in drawn(parts)],
            [[DRAWS, LENGTH]] * 2,
            f"The shapes of x and y of get_batch({LENGTH + PLACES} ids, batch_size {DRAWS}, context_length {LENGTH})",
            "A batch is a table: a row for each window, a column for each place in it.",
            "The last place where a window can begin leaves room for all of it, and for the target of its last token.",
        ),
        p.holds(
            "batch_ahead",
            lambda given, out: out["batch"]["steps"] == [3] and out["batch"]["ahead"] == [3],
            "In a batch of windows of 0 3 6 9 ... some row of x is not a piece of it, or y is not what comes next.",
            "A batch is windows from other places, with the same rule: the target is the next token.",
            "Draw one row by hand: x = ids[start : start + context_length]. Where does y start?",
        ),
        p.holds(
            "every_place",
            lambda given, out: out["batch"]["starts"] == list(range(PLACES)) and int(out["batch"]["one"][0].min()) > 0,
            f"{DRAWS} windows of {LENGTH} of {LENGTH + PLACES} tokens do not begin at each of the places 0 to "
            f"{PLACES - 1} and at no other, or a text with room for one window gives none.",
            "A place that is never drawn is never learnt, and the last window needs a target for its last token.",
            "The last possible start is len(ids) - context_length - 1; torch.randint(n) gives 0 to n - 1.",
        ),
        p.holds(
            "drawn_apart",
            lambda given, out: out["batch"]["apart"],
            "The windows of a batch follow one another at equal distances.",
            "A batch should show many places of the text at once; neighbours say nearly the same.",
            "Draw one place for each row: torch.randint(..., (batch_size,), generator=generator).",
        ),
        p.holds(
            "generator",
            lambda given, out: out["batch"]["seeds"] == [True, False],
            "The same seed of the generator does not give the same batch, or another seed does not give another.",
            "A run that cannot be repeated cannot be understood.",
            "Hand the generator on: torch.randint(..., generator=generator).",
        ),
        p.holds(
            "whole_numbers",
            lambda given, out: (
                out["x"].dtype is torch.int64
                and out["y"].dtype is torch.int64
                and out["batch"]["whole"] == [True, True]
            ),
            "Your x or y is not int64.",
            "An embedding looks rows up by their number, and refuses floats.",
            "Look for a division, torch.zeros or torch.full without dtype, or .float().",
        ),
    ),
)

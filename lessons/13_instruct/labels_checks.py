"""What must hold of labels, in teaching order."""

import torch

from firsthand.contracts.finding import Broken
from firsthand.errors import UserError
from firsthand.learn.grader import properties as p
from firsthand.learn.grader.checks import Checks, Draw, Inputs, Property
from firsthand.learn.grader.subject import Raised, Sign
from firsthand.types import IGNORE


def rows(*lengths: int, length: int = 9, pad_id: int = 3):
    """Ids of which the last are learnt; the very last is pad_id's, as an end mark often is."""

    def make(draw: Draw) -> Inputs:
        found = []
        for count in lengths:
            ids = [*draw.integers(50, count - 1).tolist(), pad_id]
            found.append((ids, [place > count // 2 for place in range(count)]))
        return {"rows": found, "length": length, "pad_id": pad_id}

    return make


def listed(found):
    numbers = torch.as_tensor(found)
    if numbers.numel() and (numbers.is_floating_point() or numbers.dtype is torch.bool):
        raise Broken(
            f"What came back holds {str(numbers.dtype)[6:]} numbers, and ids are wanted.",
            "Inputs look rows of a table up, and targets are compared with places in it: both have to be integers.",
            "Make lists of ints, or arrays and tensors of int64.",
        )
    return numbers.tolist() if len(found) else []


def batch(parts, rows, length, pad_id):
    labels = [parts.mask_labels(ids, learn) for ids, learn in rows]
    inputs, targets = parts.pad_batch(
        [(ids[:-1], one) for (ids, _), one in zip(rows, labels, strict=True)], length, pad_id
    )
    return {"labels": [listed(one) for one in labels], "inputs": listed(inputs), "targets": listed(targets)}


def between(draw: Draw) -> Inputs:
    """Answers that end before the row does, as in a conversation of several turns."""
    found = []
    for pattern in ("nnyynnyyyn", "nyyn", "yynny"):
        found.append((draw.integers(50, len(pattern)).tolist(), [one == "y" for one in pattern]))
    return {"rows": found, "length": 9, "pad_id": 3}


def too_long(subject) -> None:
    try:
        found = subject.within(lambda parts: parts.pad_batch([([5, 6, 7], [6, 7, 8])], 2, 0))
    except Raised as error:
        if isinstance(error.__cause__, UserError | ValueError):
            return
        todo = "Raise UserError with the two lengths."
        raise error.instead("A refusal is right here, and what is asked for is UserError.", todo) from error
    cut = len(found[0][0]) == 2
    raise Sign(
        f"A row of 3 in a rectangle of 2 was taken without a word, and {'lost its end' if cut else 'sticks out'}.",
        "What is cut off at the end is the answer, the only thing that is learnt; what sticks out is no rectangle.",
        "Raise UserError with the two lengths.",
        "cut" if cut else "kept",
    )


def padded_rows(parts):
    rows = [([5, 6], [6, 9]), ([4], [9])]
    parts.pad_batch(rows, 3, 9)
    return rows


LABELS = Checks(
    call=batch,
    cases={
        "usual": rows(5, 10, 7),
        "pad_id 0": rows(6, 4, length=7, pad_id=0),
        "wider than the longest": rows(3, 4, length=8),
        "two ids": rows(2, length=1),
        "several turns": between,
    },
    properties=(
        p.by_hand(
            "mask_labels",
            lambda parts: listed(parts.mask_labels([5, 6, 7, 8], [False, False, True, True])),
            [IGNORE, 7, 8],
            "mask_labels((5 6 7 8), (no no yes yes))",
            "What stands at place t of the targets is what the model should say after it has read place t.",
            "Shift both by one: id and mark of place t + 1 belong to place t.",
        ),
        p.by_hand(
            "pad_batch",
            lambda parts: [listed(one) for one in parts.pad_batch([([5, 6], [6, 9]), ([4], [9])], 3, 9)],
            [[[5, 6, 9], [4, 9, 9]], [[6, 9, IGNORE], [9, IGNORE, IGNORE]]],
            "pad_batch of (5 6 → 6 9) and (4 → 9) to length 3 with pad_id 9",
            "Padding is there to fill a rectangle; nothing is learnt from it, but an end that has its id is learnt.",
            "Two rectangles, one full of pad_id and one full of IGNORE; then copy each row to the left.",
        ),
        Property("too_long", too_long),
        p.by_hand(
            "rows_stay",
            padded_rows,
            [([5, 6], [6, 9]), ([4], [9])],
            "What is afterwards in the rows (5 6 → 6 9) and (4 → 9) that pad_batch was given",
            "The rows are those of the data set, which come again in the next epoch, into another rectangle.",
            "Make new lists; += on a list changes the one that came in.",
        ),
    ),
)

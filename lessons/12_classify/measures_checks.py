"""Honest figures: what must hold, in teaching order."""

from numbers import Real

import torch
from torch.nn import functional as F

from firsthand.contracts.finding import Broken
from firsthand.learn.grader import properties as p
from firsthand.learn.grader.checks import Checks, Draw, Inputs

NAMES = ["spam", "ham", "eggs", "ham", "spam", "toast", "ham"]


def answers(draw: Draw, rows: int = 29, classes: int = 4, positive: int = 2) -> Inputs:
    return {"logits": draw.normal(rows, classes), "labels": draw.integers(classes, rows), "positive": positive}


def never(draw: Draw) -> Inputs:
    """Class 3 is no row's, and none is taken for it."""
    found = answers(draw, positive=3)
    found["labels"] %= 3
    found["logits"][:, 3] = -9.0
    return found


def never_right(draw: Draw) -> Inputs:
    found = answers(draw, rows=13)
    found["logits"][:, 2] = -9.0
    found["labels"][:5] = 2
    return found


def share(name: str, found) -> float:
    """To six digits: a share in fp32 is right too."""
    if not isinstance(found, Real):
        what = "nothing" if found is None else f"a {type(found).__name__}"
        raise Broken(
            f"{name} returned {what}, and should return a float.",
            "It goes into a report, beside other numbers.",
            "Return a number: .item() takes it out of a tensor.",
        )
    return round(float(found), 6)


def figures(parts, logits, labels, positive):
    table = parts.confusion(logits, labels)
    if isinstance(table, torch.Tensor) and not table.is_floating_point() and table.dtype is not torch.int64:
        raise Broken(
            f"confusion holds {str(table.dtype)[6:]} numbers, and int64 is asked for.",
            "A count of many rows may not fit into a smaller kind, and bools do not count at all.",
            "torch.zeros(classes, classes, dtype=torch.int64)",
        )
    return {
        "accuracy": share("accuracy", parts.accuracy(logits, labels)),
        "confusion": table,
        "f1": share("f1", parts.f1(logits, labels, positive)),
        "labels": list(parts.label_map(NAMES).items()),
    }


def said(*classes: int) -> torch.Tensor:
    return F.one_hot(torch.tensor(classes), 3).double()


FOUR = said(0, 1, 1, 2), torch.tensor([0, 1, 2, 2])
WORDS = "Rows of the classes 0, 1, 2, 2 that are taken for 0, 1, 1, 2:"

MEASURES = Checks(
    call=figures,
    axes={"logits": "rows classes", "labels": "rows", "out.confusion": "classes classes"},
    cases={
        "usual": answers,
        "two classes": lambda draw: answers(draw, 17, 2, 1),
        "few rows": lambda draw: answers(draw, 3, 5, 0),
        "a class that never comes": never,
        "a class that is never said": never_right,
    },
    edges=("a class that never comes", "a class that is never said"),
    borrowed=("f1_score", "confusion_matrix", "accuracy_score"),
    properties=(
        p.by_hand(
            "label_numbers",
            lambda parts: sorted(parts.label_map(["b", "c", "a", "b"]).items()),
            [("a", 0), ("b", 1), ("c", 2)],
            'label_map(["b", "c", "a", "b"])',
            "Numbers that depend on the order of the data change with it, and a saved head then names wrong classes.",
            "Every label once, sorted, then numbered.",
        ),
        p.by_hand(
            "labels_as_they_are",
            lambda parts: sorted(parts.label_map(["spam", "Ham", "spam"]).items()),
            [("Ham", 0), ("spam", 1)],
            'label_map(["spam", "Ham", "spam"])',
            "The labels are looked up as the data spells them.",
            "Change no letter of a label.",
        ),
        p.by_hand(
            "labels_read_once",
            lambda parts: sorted(parts.label_map(iter(["spam", "ham", "spam"])).items()),
            [("ham", 0), ("spam", 1)],
            'label_map(iter(["spam", "ham", "spam"]))',
            "Labels may come from a file that is read line by line: a second time there is nothing left.",
            "Go through labels once only: set(labels) first, and then that.",
        ),
        p.by_hand(
            "accuracy",
            lambda parts: share("accuracy", parts.accuracy(*FOUR)),
            0.75,
            f"{WORDS} accuracy",
            "Three of four rows are right.",
            "Which axis of the logits are the classes? The largest along that one is what the model says.",
        ),
        p.by_hand(
            "confusion",
            lambda parts: parts.confusion(*FOUR),
            torch.tensor([[1, 0, 0], [0, 1, 0], [0, 1, 1]]),
            f"{WORDS} confusion",
            "Row: what it is. Column: what it was taken for. The 2 that was taken for 1 stands in row 2, column 1.",
            "Go through the rows one by one, and add 1 at [label, prediction].",
        ),
        p.by_hand(
            "f1",
            lambda parts: [share("f1", parts.f1(*FOUR, positive)) for positive in range(3)],
            [1.0, round(2 / 3, 6), round(2 / 3, 6)],
            f"{WORDS} f1 of each class",
            "Class 2: one row is taken for it, rightly (P = 1), and it is one of two (R = 1/2): 2 · 1/2 / (3/2) = 2/3.",
            "Count: right = said and true; P = right / said; R = right / true.",
        ),
        p.by_hand(
            "f1_of_nothing",
            lambda parts: share("f1", parts.f1(said(0, 1), torch.tensor([0, 1]), 2)),
            0.0,
            "f1 of a class that no row has, and none is taken for,",
            "0 divided by 0 has no answer, and a run that ends there has no report.",
            "Return 0.0 where nothing is right, before you divide.",
        ),
    ),
)

"""What must hold of sampling, in teaching order."""

import torch
from torch import nn

from firsthand.contracts.finding import Broken
from firsthand.learn.grader import properties as p
from firsthand.learn.grader.checks import Checks, Property
from firsthand.learn.grader.subject import Sign

# ---- sampling: compared are the ids that ever come in 400 draws; all that may come are probable enough to

SHARES = torch.tensor([0.30, 0.22, 0.15, 0.11, 0.08, 0.05, 0.035, 0.025, 0.015, 0.010, 0.005], dtype=torch.float64)
FOUR = torch.tensor([0.15, 0.50, 0.05, 0.30], dtype=torch.float64)
SURE = torch.tensor([0.97, 0.01, 0.01, 0.01], dtype=torch.float64)
DRAWS, MANY = 400, 8000


def scores(batch: int = 3, above: float = 4.0, **settings: float):
    """The shares of every row in another order."""
    return lambda draw: (
        {
            "logits": torch.stack(
                [SHARES.log()[torch.randperm(11, generator=draw.generator)] + above for _ in range(batch)]
            ).to(draw.dtype)
        }
        | settings
    )


def ids_of(found, batch: int):
    if not isinstance(found, torch.Tensor) or found.shape != (batch,) or found.is_floating_point():
        got = f"{tuple(found.shape)} {found.dtype}" if isinstance(found, torch.Tensor) else type(found).__name__
        raise Sign(
            f"For {batch} rows of logits sample returned {got}, and should return one id a row: ({batch},) int64.",
            "Each id is glued to its row of the text.",
            "Follow the shapes: (batch, vocab_size), then one id for each row, without an axis of length 1.",
            "shape",
        )
    return found


def drawn(parts, logits, **settings):
    batch, size = logits.shape
    generator = torch.Generator().manual_seed(3)
    found = ids_of(parts.sample(logits.repeat(DRAWS, 1), generator=generator, **settings), DRAWS * batch)
    once = nn.functional.one_hot(found, size).view(DRAWS, batch, size).amax(0).bool()
    ids_of(parts.sample(logits, generator=generator, **settings), batch)
    return once


def chance(subject) -> None:
    """Rows of equal logits do not all get the same id."""

    def row(parts, seed: int) -> list[int]:
        generator = torch.Generator().manual_seed(seed)
        return ids_of(parts.sample(torch.zeros(16, 4, dtype=torch.float64), generator=generator), 16).tolist()

    rows = [subject.within(lambda parts, seed=seed: row(parts, seed)) for seed in range(8)]
    if all(len(set(one)) == 1 for one in rows):
        together = len({one[0] for one in rows}) > 1
        raise Sign(
            "16 rows of equal logits all get the same id, with each of 8 seeds.",
            "Each row is a text of its own; with one number for all of them they would be copies of each other."
            if together
            else "Where all are equally likely, each must come at times.",
            "Draw one number for each row, from the generator.",
            "together" if together else "never",
        )


def shares(name: str, expected: list[float], what: str, why: str, todo: str, **settings: float) -> Property:
    """Draws from logits of FOUR."""
    return p.distribution(
        name,
        lambda parts, generator: ids_of(
            parts.sample(FOUR.log().repeat(MANY, 1), generator=generator, **settings), MANY
        ),
        expected,
        f"{what} {why}",
        todo,
    )


def seeded(subject) -> None:
    """The same generator gives the same ids, whatever else was drawn; another one gives others."""
    logits = FOUR.log().repeat(64, 1)
    found = []
    for seed, noise in ((1, 5), (1, 6), (2, 5)):

        def draw(parts, seed=seed, noise=noise):
            torch.manual_seed(noise)
            return parts.sample(logits, generator=torch.Generator().manual_seed(seed))

        found.append(subject.within(draw))
    if not torch.equal(found[0], found[1]) or torch.equal(found[0], found[2]):
        raise Broken(
            "What was drawn does not follow from the generator: its seed alone should decide.",
            "A text that cannot be drawn again cannot be looked into, and no two runs can be compared.",
            "Hand the generator to the function that draws: generator=generator.",
        )


SAMPLING = Checks(
    call=drawn,
    axes={"logits": "batch vocab_size", "out": "batch vocab_size"},
    picture="usual",
    edges=("top_k, then top_p", "more than the vocabulary", "logits of 800"),
    borrowed=("distribution",),
    cases={
        "usual": scores(temperature=0.7, top_k=5),
        "top_p": scores(top_p=0.8),
        "warmer, then top_p": scores(temperature=2.0, top_p=0.73),
        "nearly cold": scores(temperature=0.01, top_k=5),
        "very hot": scores(temperature=100.0, top_k=7),
        "one row": scores(batch=1, top_k=2),
        "top_k, then top_p": scores(top_k=6, top_p=0.7),
        "more than the vocabulary": scores(temperature=5.0, top_k=40, top_p=1.0),
        "logits of 800": scores(above=800.0, top_k=3),
    },
    properties=(
        p.by_hand(
            "greedy",
            lambda parts: ids_of(parts.sample(torch.tensor([[0.5, 2.0, -1.0], [3.0, 1.0, 2.5]]), temperature=0), 2),
            torch.tensor([1, 0]),
            "sample of ((0.5 2 -1) (3 1 2.5)) at temperature 0",
            "As the temperature falls to 0 the most probable token gets everything; dividing by 0 gives nan instead.",
            "Return argmax over the last axis before anything is divided.",
        ),
        shares(
            "plain",
            FOUR.tolist(),
            "The logits were the logarithms of 0.15, 0.5, 0.05 and 0.3, and nothing was filtered.",
            "The softmax of logarithms is what they are logarithms of.",
            "Softmax over the last axis, and then a draw, not the largest.",
        ),
        Property("chance", chance),
        p.by_hand(
            "own_nucleus",
            lambda parts: drawn(parts, torch.stack((SURE.log(), FOUR.log())), top_p=0.75).int().tolist(),
            [[1, 0, 0, 0], [0, 1, 0, 1]],
            "Which ids come (1) at top_p = 0.75 from the shares 0.97, 0.01, 0.01, 0.01 and 0.15, 0.5, 0.05, 0.3",
            "The most probable stay until they hold p: one token where a row is sure of its next word, more elsewhere.",
            "Decide for each row: how many places, and which.",
        ),
        shares(
            "temperature",
            (FOUR**0.5 / (FOUR**0.5).sum()).tolist(),
            "Temperature 2 takes square roots of the probabilities 0.15, 0.5, 0.05 and 0.3, and sets their sum to 1.",
            "Above 1 makes flatter, below 1 more certain.",
            "Divide the logits by the temperature, before everything else.",
            temperature=2.0,
        ),
        shares(
            "top_k",
            [0.0, 0.625, 0.0, 0.375],
            "Of 0.15, 0.5, 0.05 and 0.3 top_k = 2 keeps 0.5 and 0.3.",
            "Each of very many improbable tokens comes seldom, one of them often: that is what is cut off.",
            "Find the k-th largest score of each row, and give all below it minus infinity.",
            top_k=2,
        ),
        shares(
            "top_p",
            [0.0, 0.625, 0.0, 0.375],
            "Of 0.15, 0.5, 0.05 and 0.3 top_p = 0.7 keeps 0.5 and 0.3: 0.5 is not yet 0.7.",
            "The token that crosses the line belongs to the set, so that it holds at least p.",
            "Sort downwards, add up; a token stays if what stands before it is less than p.",
            top_p=0.7,
        ),
        shares(
            "top_k_then_top_p",
            [0.0, 1.0, 0.0, 0.0],
            "top_k = 2 leaves 0.625 and 0.375; of these top_p = 0.6 keeps the first.",
            "Each filter works on what the one before has left, as shares of 1.",
            "Compute the softmax for top_p from the scores that top_k has cut.",
            top_k=2,
            top_p=0.6,
        ),
        p.isolation("logits", "batch"),
        Property("generator", seeded),
    ),
)

# ---- generate: a model whose scores depend on every token that it reads, and on their order

"""Milestones: a run of the real pipeline, with the parts that are yours so far."""

from dataclasses import dataclass

from firsthand.errors import UserError, suggest

LEARNT = ("train.optimizer={part: adamw, lr: 2.0e-3, weight_decay: 0.1}", "train.schedule={part: warmup_cosine}")
"""In place of the recipe's own: what lessons have, so that the run beside yours differs in your parts alone."""
SUBWORDS = "tokenizer={part: bpe, vocab_size: 512, characters: 100000}"
"""What plain code learns in seconds: both runs of a milestone learn their merges from so much."""
TUNED = ("train.epochs=null", "train.steps=60", "data.row_tokens=64", *LEARNT)


@dataclass(frozen=True)
class Milestone:
    """`lesson`: parts up to this one enter. `settings`: beside those of recipes/learn.yaml. `recipe`: another one.
    `then`: what to do with the model afterwards. `trains`: False for one that makes other things of a trained model."""

    name: str
    title: str
    lesson: int
    settings: tuple[str, ...] = ()
    recipe: str = "learn"
    after: str | None = None
    then: str = "firsthand generate runs/{run} --prompt 'ROMEO:' --max-tokens 120"
    trains: bool = True

    @property
    def run(self) -> str:
        """The name of its run."""
        return f"my-{self.name}"


MILESTONES = {
    one.name: one
    for one in (
        Milestone(
            "M1",
            "a first model, that knows one token, from your merges and your batches",
            lesson=3,
            settings=(SUBWORDS, "model.mixer={part: attention, window: 1}", "model.n_layers=1", "train.steps=150"),
        ),
        Milestone("M2", "a GPT with your attention", lesson=5),
        Milestone("M3", "your whole GPT, your loss, your optimizer", lesson=9),
        Milestone(
            "M4",
            "it talks: your GPT is taught to answer",
            lesson=10,
            recipe="dialogue",
            settings=TUNED,
            after="M3",
            then="firsthand chat runs/{run} --prompt 'To be, or not to be?'",
        ),
        Milestone(
            "M5",
            "it goes on to learn through an adapter, all else frozen",
            lesson=13,
            recipe="dialogue",
            settings=(*TUNED, "adapt.adapter=lora"),
            after="M4",
            then="firsthand chat runs/{run} --prompt 'To be, or not to be?'",
        ),
        Milestone("M7", "your whole GPT made smaller, in eight ways", lesson=15, after="M3", trains=False),
    )
}


def milestone(name: str) -> Milestone:
    """The milestone of that name, in either case. UserError if there is none."""
    if name.upper() not in MILESTONES:
        raise UserError(f"There is no milestone {name!r}. {suggest(name, MILESTONES)}")
    return MILESTONES[name.upper()]

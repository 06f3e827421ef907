"""A model on its way to a smaller one goes on learning: what `Given.train` is, by the one loop."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Int
from torch import Tensor

from firsthand import assemble
from firsthand.adapt.attach import merge
from firsthand.compress.prune.zeros import hold_zeros
from firsthand.compress.subject import Subject
from firsthand.config import Config, parse, replaced
from firsthand.data.shards import Tokens
from firsthand.errors import UserError, suggest
from firsthand.model.count import flops_per_token
from firsthand.model.language_model import LanguageModel
from firsthand.train import precision
from firsthand.train.loop import Loop
from firsthand.train.parallel import Ranks

ROW_TOKENS = 512
"""Tokens in a row, unless data.row_tokens says otherwise or the model reads fewer."""

USED = (
    *(f"data.{name}" for name in ("batch_tokens", "row_tokens", "stride", "mask_documents")),
    *(f"adapt.{name}" for name in ("adapter", "train")),
    *(f"train.{name}" for name in ("seed", "epochs", "steps", "tokens", "seconds", "flops", "objective", "optimizer")),
    *(f"compress.{name}" for name in ("keep_zeros", "prune")),
    *(f"train.{name}" for name in ("schedule", "microbatches", "clip", "precision", "compile", "recompute")),
)
"""The settings of a recipe that mean something here."""

Done = Callable[[float, str], object]


def trainer(
    ids: Int[Tensor, " tokens"],
    vocab_size: int,
    end_of_text: int | None,
    original: LanguageModel,
    seed: int = 0,
    done: Done = lambda share, what: None,
) -> Callable[[Subject, dict[str, Any]], None]:
    """What trains a subject's model on these tokens, with settings of a recipe.

    What a recipe leaves open the dial decides as for any trained model that is tuned; without a bound it is one epoch.
    An adapter is folded into the weights in the end. `original` is the teacher of objectives that ask for one.
    UserError for a setting that means nothing here.
    """
    data = Tokens.of(ids.numpy().astype(np.int64), vocab_size=vocab_size, end_of_text=end_of_text)

    def train(subject: Subject, settings: dict[str, Any]) -> None:
        config = _config(subject, settings, seed)
        assemble.adapt(config, subject.model)
        loop = _loop(config, subject.model, data, original)
        masks = hold_zeros(config.compress, subject.model, loop.optimizer)
        first = last = None
        for step in loop:
            if masks and masks.grow:
                masks.grow(masks, step.progress.steps, step.fraction)
            first, last = first or step.loss, step.loss
            done(step.fraction, f"training, loss {step.loss:.3f}")
        merge(subject.model)
        subject.model.requires_grad_(True).eval()
        used = loop.progress
        if first is not None and last is not None:
            said = f"trained for {used.steps} steps, {used.tokens:,} tokens, {used.seconds:.0f} s"
            subject.notes.append(f"{said}: loss {first:.3f} at first, {last:.3f} at the end")

    return train


def _config(subject: Subject, settings: dict[str, Any], seed: int) -> Config:
    length = min(ROW_TOKENS, subject.model.context_length)
    fields = subject.fields | {"weights": "the model itself", "weights_sha256": None}
    config = parse({"model": fields, "data": {"row_tokens": length}, "train": {"seed": seed}}, "A plan's training")
    for key in settings:
        if not any(key == used or key.startswith(f"{used}.") for used in USED):
            raise UserError(f"A plan's training has no setting {key!r}. {suggest(key, USED)}")
    return assemble.settle(replaced(config, settings))[0]


def _loop(config: Config, model: LanguageModel, data: Tokens, teacher: LanguageModel) -> Loop:
    device = next(model.parameters()).device
    chosen = precision.choose(config.train.precision, device)
    loader = assemble.make_loader(config, data, model.context_length, Ranks(), device)
    model.recompute = config.train.recompute
    objective = assemble.make_objective(config, teacher=teacher)
    return Loop(
        model,
        objective,
        assemble.make_optimizer(config, model, chosen),
        assemble.make_schedule(config),
        loader,
        assemble.make_budget(config, loader.rows_per_epoch / loader.rows),
        flops_per_token(model),
        device,
        chosen,
        seed=config.train.seed,
        clip=config.train.clip,
        compiled=config.train.compile is True and getattr(objective, "compiles", True),
    )

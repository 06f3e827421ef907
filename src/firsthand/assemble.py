"""From a config to a tokenizer, batches, a model, an optimizer: the one file that knows every folder."""

import contextlib
import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from firsthand import dial, tokens
from firsthand.adapt.prepare import make_adapter, prepare
from firsthand.adapt.saved import Adapted, Base
from firsthand.compress.distillation import TAUGHT
from firsthand.compress.prune.zeros import check_zeros
from firsthand.config import Config, replaced
from firsthand.data import conversations, loader
from firsthand.data.conversations import ConversationLoader, Conversations
from firsthand.data.drawn import DrawnLoader, draw_of
from firsthand.data.labelled import ExampleLoader, Examples
from firsthand.data.loader import Loader
from firsthand.data.shards import Tokens
from firsthand.errors import UserError, of_a_part, suggest
from firsthand.model.count import count_blocks, flops_per_token
from firsthand.model.language_model import LanguageModel
from firsthand.model.make import build_model, sketch
from firsthand.model.presets import resolve
from firsthand.parts import build, find, split
from firsthand.tokens import Tokenizer
from firsthand.tokens.bpe import train_bpe
from firsthand.tokens.chat import ChatTemplate
from firsthand.train.budget import Budget
from firsthand.train.objectives import OBJECTIVES, Objective
from firsthand.train.optimizers import OPTIMIZERS
from firsthand.train.parallel import Ranks
from firsthand.train.schedules import SCHEDULES, Schedule
from firsthand.types import Batch

SIZES = ("d_model", "n_heads", "n_kv_heads", "d_head", "d_ff")

MOST_ROW_TOKENS = {"conversations": 1024, "labels": 256}
"""Where the recipe does not say. Longer rows of conversations cost more attention than they save padding; what a text
is about, its first 256 tokens say."""

ANY_VOCABULARY = 257
"""A number of tokens for questions whose answer does not depend on it."""


def settle(config: Config) -> tuple[Config, dict[str, Any]]:
    """The config with everything filled in that it leaves to the dial (dial.py), and just that, by dotted key."""
    model, train = config.model, config.train
    fields = resolve(model)
    name, arguments = split(train.optimizer)
    derived: dict[str, Any] = {}
    if model.n_layers and not (model.size or model.d_model):
        derived |= {f"model.{key}": fields[key] for key in SIZES if getattr(model, key) is None}
    tuned = model.weights is not None
    if config.data.kind in MOST_ROW_TOKENS and config.data.row_tokens is None:
        derived["data.row_tokens"] = min(fields["context_length"], MOST_ROW_TOKENS[config.data.kind])
    unbounded = not (train.epochs or train.steps or train.tokens or train.seconds or train.flops)
    unrated = [rate for rate in dial.rates(name, 1.0, 1) if rate not in arguments]
    if unbounded or unrated or config.data.batch_tokens is None:
        weights, flops_per_token = count_blocks(fields)
        flops = flops_per_token * dial.horizon(weights)
        share = dial.TUNING_SHARE if tuned and not config.adapt.adapter else 1.0
        rates = dial.rates(name, flops, fields["d_model"], share)
        derived |= {f"train.optimizer.{rate}": rates[rate] for rate in unrated}
        if config.data.batch_tokens is None:
            derived["data.batch_tokens"] = _batch_tokens(replaced(config, derived), fields["context_length"], flops)
        if unbounded and tuned:
            derived["train.epochs"] = 1 if config.data.kind == "text" else dial.TUNING_EPOCHS
        elif unbounded:
            derived["train.tokens"] = dial.horizon(weights)
    return replaced(config, derived), derived


def _batch_tokens(config: Config, context_length: int, flops: float) -> int:
    length = row_tokens(config, context_length)
    if config.model.weights or config.data.kind != "text":
        return dial.tuning_batch(length, config.train.microbatches)
    return dial.batch_tokens(flops, length, config.train.microbatches)


def check(config: Config) -> None:
    """UserError, before there is any data, if a part of the model or of its training cannot be made.

    Each is made and thrown away, the model on the meta device, so nothing is allocated. A part that needs numbers in
    its constructor (torch then raises a RuntimeError) cannot be tried so; it is made when there are some.
    """
    make_schedule(config)
    draw_of(config.data)
    if split(config.tokenizer)[0] in tokens.TOKENIZERS:
        tokenizer_maker(config)
    objective, classes = split(config.train.objective)[0], config.data.kind == "labels"
    if objective in OBJECTIVES | TAUGHT and classes != (objective == "classify"):
        raise UserError(
            f"train.objective={config.train.objective!r} does not fit data.kind={config.data.kind}: to name classes, "
            "set data.kind=labels and train.objective=classify; to write text, neither."
        )
    _, quantizer = make_adapter(config.adapt)
    if quantizer and not config.model.weights:
        raise UserError(
            f"adapt.quantize={config.adapt.quantize} stores trained weights in few bits, and this recipe has none: "
            "name a model in model.weights."
        )
    check_zeros(config)
    with contextlib.suppress(RuntimeError):
        model = sketch(resolve(config.model), ANY_VOCABULARY)
        prepare(model, config.adapt.model_copy(update={"quantize": None}), 0, ("a", "b") if classes else None)
        make_optimizer(config, model)
        make_objective(config)


def tokenizer_maker(config: Config) -> Callable[[Iterable[str]], Tokenizer]:
    """What makes the tokenizer from texts; a folder with a tokenizer.json is loaded instead, whatever the texts are.

    UserError for an unknown kind or argument, before there are any texts.
    """
    name, arguments = split(config.tokenizer)
    if name not in tokens.TOKENIZERS and (Path(name) / "tokenizer.json").is_file():
        return lambda _: tokens.load(Path(name))
    train: Callable[..., Tokenizer] = find("tokenizer", tokens.TOKENIZERS, name).train  # type: ignore[attr-defined]
    _, *known = inspect.signature(train).parameters
    for argument in arguments:
        if argument not in known:
            raise UserError(f"tokenizer: {name} has no argument {argument!r}. {suggest(argument, known)}")
    if "merges" in arguments:
        arguments["merges"] = find("tokenizer.merges", {"train_bpe": train_bpe}, str(arguments["merges"]))

    def make(texts: Iterable[str]) -> Tokenizer:
        try:
            return train(texts, **arguments)
        except TypeError as error:
            if of_a_part(error):
                raise
            raise UserError(f"tokenizer: {name} cannot be trained with {arguments} ({error}).") from error

    return make


def make_model(config: Config, vocab_size: int, files: bool = True) -> LanguageModel:
    """The model, with weights drawn from the run's seed."""
    torch.manual_seed(config.train.seed)
    model = build_model(resolve(config.model), vocab_size, files=files)
    model.recompute = config.train.recompute
    return model


def adapt(
    config: Config, model: LanguageModel, labels: Sequence[str] | None = None, base: Base | None = None
) -> Adapted:
    """Make of a model with its first weights what `adapt` asks for (adapt/prepare.py)."""
    length = row_tokens(config, model.context_length) if labels else None
    return prepare(model, config.adapt, config.train.seed, labels, length, base)


def row_tokens(config: Config, context_length: int) -> int:
    """Tokens in a row of a batch. UserError if the model cannot read so many."""
    length = config.data.row_tokens or context_length
    if length > context_length:
        raise UserError(
            f"data.row_tokens={length} is more than the model reads at once, which is model.context_length="
            f"{context_length}. Set it to at most that."
        )
    return length


def make_loader(
    config: Config, data: Tokens | Conversations | Examples, context_length: int, ranks: Ranks, device: torch.device
) -> Loader | DrawnLoader | ConversationLoader | ExampleLoader:
    assert config.data.batch_tokens is not None, "settle the config first"
    length = row_tokens(config, context_length)
    shared: dict[str, Any] = {
        "batch_tokens": config.data.batch_tokens,
        "seed": config.train.seed,
        "microbatches": max(config.train.microbatches, ranks.world),
        "rank": ranks.rank,
        "world": ranks.world,
        "device": device,
    }
    if (draw := draw_of(config.data)) and isinstance(data, Tokens):
        return DrawnLoader(draw, data, length, name=config.data.batches, **shared)
    if isinstance(data, Examples):
        return ExampleLoader(data, length, **shared)
    if isinstance(data, Conversations):
        return ConversationLoader(data, length, packed=config.data.packing, **shared)
    return Loader(data, length, stride=config.data.stride, mask_documents=config.data.mask_documents, **shared)


def evaluation(
    config: Config, data: Tokens | Conversations, length: int, batch_rows: int, device: torch.device
) -> Iterator[Batch]:
    """All that is held out, each target once."""
    if isinstance(data, Conversations):
        return conversations.evaluation(data, length, batch_rows, device)
    return loader.evaluation(data, length, batch_rows, config.data.mask_documents, device)


def make_optimizer(config: Config, model: LanguageModel, precision: str = "fp32") -> torch.optim.Optimizer:
    """The optimizer, for all that learns, in a run that computes in `precision`.

    UserError if the model's width rules ask for rates that it cannot give.
    """
    name, _ = split(config.train.optimizer)
    takes = inspect.signature(find("train.optimizer", OPTIMIZERS, name)).parameters
    if model.width_ratio != 1 and "width_ratio" not in takes:
        raise UserError(
            f"model.initialize=mup asks for learning rates that follow the width, but train.optimizer={name} has no "
            "argument `width_ratio`. Give it one, or choose other initial weights."
        )
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    offered: dict[str, Any] = {"named_parameters": named, "width_ratio": model.width_ratio, "precision": precision}
    optimizer: torch.optim.Optimizer = build("train.optimizer", OPTIMIZERS, config.train.optimizer, **offered)
    return optimizer


def make_objective(
    config: Config, class_counts: Sequence[int] | None = None, teacher: LanguageModel | None = None
) -> Objective:
    """`class_counts`: rows of each class to train on, where classes are named. `teacher`: the model that the objective
    learns from, whatever the recipe calls it."""
    spec: Any = config.train.objective
    offered: dict[str, Any] = {"class_counts": class_counts} if class_counts else {}
    if teacher is not None:
        name, arguments = split(spec)
        spec = {"part": name} | {key: value for key, value in arguments.items() if key != "teacher"}
        offered["teacher"] = teacher
    objective: Objective = build("train.objective", OBJECTIVES | TAUGHT, spec, **offered)
    return objective


def make_schedule(config: Config) -> Schedule:
    schedule: Schedule = build("train.schedule", SCHEDULES, config.train.schedule)
    return schedule


def make_budget(config: Config, steps_per_epoch: float | None = None) -> Budget:
    """`steps_per_epoch`: rows of the data over rows of a step, for a run that is bounded by epochs."""
    train, steps = config.train, config.train.steps
    if train.epochs and steps_per_epoch:
        whole = max(1, math.ceil(train.epochs * steps_per_epoch))
        steps = min(whole, steps or whole)
    return Budget(steps, train.tokens, train.seconds, train.flops)


def run_flops(config: Config, vocab_size: int) -> float | None:
    """FLOPs after which the steps, tokens or FLOPs of a settled config are used up; None if nothing of this bounds it.

    Also None if the model has a part that needs numbers in its constructor, so that it cannot be sketched.
    """
    train, batch = config.train, config.data.batch_tokens or 0
    tokens = [bound for bound in (train.tokens, train.steps and train.steps * batch) if bound]
    bounds = [train.flops] if train.flops else []
    with contextlib.suppress(RuntimeError):
        if tokens:
            bounds.append(min(tokens) * flops_per_token(sketch(resolve(config.model), vocab_size)))
    return min(bounds, default=None)


def description(
    config: Config,
    tokenizer: Tokenizer,
    vocab_size: int | None = None,
    chat: ChatTemplate | None = None,
    adapted: Adapted | None = None,
) -> dict[str, Any]:
    """What a checkpoint's config.json holds: the run's tree, every field of the model, its tokenizer and template.

    `vocab_size`: rows of the embedding, if they are more than the tokenizer's ids.
    """
    return {
        "run": config.model_dump(mode="json"),
        "model": resolve(config.model),
        "vocab_size": vocab_size or tokenizer.vocab_size,
        "tokenizer": tokens.fingerprint(tokenizer),
        "chat": chat.to_json() if chat else None,
        "adapt": adapted.to_json() if adapted else None,
    }


def load_weights(
    model: LanguageModel, weights: dict[str, torch.Tensor], where: str, learning_only: bool = False
) -> None:
    """Copy saved weights into the model, each parameter once. UserError if names or shapes do not fit.

    `learning_only`: they are those of the parameters that learn, and no others.
    """
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad or not learning_only}
    if parameters.keys() != weights.keys():
        odd = sorted(parameters.keys() ^ weights.keys())
        raise UserError(f"{where} was made with another model: {odd[0]!r} and {len(odd) - 1} more names do not fit.")
    with torch.no_grad():
        for name, parameter in parameters.items():
            if parameter.shape != weights[name].shape:
                raise UserError(
                    f"{where} was made with another model: {name} is {tuple(weights[name].shape)} there and "
                    f"{tuple(parameter.shape)} here."
                )
            parameter.copy_(weights[name])

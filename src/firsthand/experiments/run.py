"""A run from beginning to end: data, model, training, last evaluation, plots."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from firsthand import assemble, checkpoint
from firsthand.adapt.saved import Adapted
from firsthand.compress.distillation.matching import is_lesson
from firsthand.compress.prune.masks import Masks
from firsthand.compress.prune.zeros import hold_zeros
from firsthand.config import Config
from firsthand.errors import DamagedError, Stopped
from firsthand.experiments import corpus as corpus_module
from firsthand.experiments import outside, teaching
from firsthand.experiments.corpus import AnyCorpus
from firsthand.experiments.folder import RunFolder
from firsthand.experiments.labels import LabelledCorpus
from firsthand.experiments.origin import Origin, begin
from firsthand.experiments.plots import plot_run
from firsthand.experiments.watch import Show, Silent, Watch
from firsthand.model.count import flops_per_token
from firsthand.model.presets import resolve
from firsthand.ops.attention.outside import attention_by
from firsthand.ops.roof import measure_peak
from firsthand.parts import is_file, split
from firsthand.train import host
from firsthand.train.budget import Progress
from firsthand.train.choices import Choices, choose
from firsthand.train.loop import Loop
from firsthand.train.optimizers.groups import load_state_tensors
from firsthand.train.parallel import Ranks, ranks
from firsthand.train.precision import LossScale
from firsthand.train.signals import StopFlag
from firsthand.train.trackers import open_trackers


def execute(config: Config, resume: bool = False, fresh: bool = False, show: Show | None = None) -> dict[str, Any]:
    """Train what `config` describes and return the summary that `firsthand train --json` prints.

    The clock of a budget in seconds starts here: preparing the data counts. `resume` continues a run in the same
    folder (and starts it if there is none), `fresh` moves it aside. Raises Stopped if a signal asked for it, after
    saving; UserError for everything that the user can put right; what is wrong with a part is told before data is read.
    """
    started = time.perf_counter()
    folder = RunFolder(config.run.folder)
    config, origin = begin(config, folder.config() if resume and folder.used else None)
    config, derived = assemble.settle(config)
    assemble.check(config)
    teaching.check(config)
    with ranks(config.train.device) as group, StopFlag() as stop:
        show = show if show is not None and group.first else Silent()
        if derived:
            show.note(f"the dial sets {', '.join(f'{key}={value:.9g}' for key, value in derived.items())}")
        continuing = resume and folder.used
        if group.first:
            _open_folder(folder, config, resume, fresh, show)
            corpus_module.make(config, folder.data, show.note, origin.found if origin else None)
        group.wait()
        stop.check("preparing the data")
        corpus = corpus_module.open_corpus(folder.data)
        device = host.pick_device(config.train.device, group.local)
        choices = _choices(config, device, folder.choices() if continuing else {}, corpus).agreed(group)
        show.note(f"computes with {'; '.join(choices.why)}")
        loop, adapted, masks = _loop(config, corpus, group, device, choices, origin)
        if choices.compiled and not loop.compiled:
            show.note("what a teacher says is compared a few rows at a time, so these steps are not compiled")
        if origin:
            show.note(f"begins with {origin.base.name} (weights {origin.base.sha256[:12]}…)")
        show.note(f"{_parameters(loop) / 1e6:.2f} M parameters on {device}")
        loop.stop = lambda: stop.wanted
        loop.progress = Progress(seconds=time.perf_counter() - started)
        if continuing:
            _restore(loop, adapted, masks, folder, show)
        watch = _watch(loop, config, corpus, folder, show, choices, adapted, masks)
        try:
            with attention_by(config.train.attention, choices.attention):
                return _train(loop, watch, folder, tuning=config.model.weights is not None)
        except Exception as error:
            if group.first and not isinstance(error, Stopped):
                folder.set_status("failed", error=str(error), step=loop.progress.steps)
            raise


def _open_folder(folder: RunFolder, config: Config, resume: bool, fresh: bool, show: Show) -> None:
    if fresh and (aside := folder.move_aside()):
        show.note(f"the run that was in {folder.path} is now in {aside}")
    continuing = resume and folder.used
    folder.begin(resume)
    if continuing:
        folder.check_same(config)
    outside.keep(config, folder.path, continuing)
    folder.save_config(config)
    folder.set_status("running")


def _choices(config: Config, device: torch.device, earlier: Mapping[str, Any], corpus: AnyCorpus) -> Choices:
    train, fields = config.train, resolve(config.model)
    mixers = fields["mixer"] if isinstance(fields["mixer"], list) else [fields["mixer"]]
    own = is_file(train.attention)  # then there is nothing to choose
    attends = not own and any(split(mixer)[0] == "attention" for mixer in mixers)
    d_head = fields["d_head"] or fields["d_model"] // fields["n_heads"]
    return choose(
        device,
        train.precision,
        "auto" if own else train.attention,
        train.threads,
        train.compile,
        (assemble.row_tokens(config, fields["context_length"]), d_head) if attends else None,
        earlier,
        train.seconds,
        assemble.run_flops(config, corpus.tokenizer.vocab_size),
    )


def _loop(
    config: Config, corpus: AnyCorpus, group: Ranks, device: torch.device, choices: Choices, origin: Origin | None
) -> tuple[Loop, Adapted, Masks | None]:
    """The loop, what checkpoints must say about its model, and what keeps its zeros."""
    train, chosen = config.train, choices.precision
    model = assemble.make_model(config, corpus.vocab_size)
    if origin:
        origin.put_into(model, corpus.tokenizer.vocab_size)
    classes = corpus if isinstance(corpus, LabelledCorpus) else None
    adapted = assemble.adapt(config, model, classes.labels if classes else None, origin.base if origin else None)
    if origin:
        origin.check_new_tokens(model, corpus.tokenizer)
    loader = assemble.make_loader(config, corpus.train, model.context_length, group, device)
    model, flops = model.to(device), flops_per_token(model)
    counts = classes.class_counts if classes else None
    objective = assemble.make_objective(config, counts, teaching.teacher_of(config, corpus, device))
    teaching.begin(objective, model, corpus)
    optimizer = assemble.make_optimizer(config, model, chosen)
    masks = hold_zeros(config.compress, model, optimizer)
    loop = Loop(
        model,
        objective,
        optimizer,
        assemble.make_schedule(config),
        teaching.batches(objective, loader, model, train.seed, corpus.tokenizer.vocab_size),
        assemble.make_budget(config, loader.rows_per_epoch / loader.rows),
        flops,
        device,
        chosen,
        seed=train.seed,
        clip=train.clip,
        ranks=group,
        compiled=choices.compiled and getattr(objective, "compiles", True),
    )
    return loop, adapted, masks


def _restore(loop: Loop, adapted: Adapted, masks: Masks | None, folder: RunFolder, show: Show) -> None:
    """Put the newest valid checkpoint's weights, masks, optimizer state and progress into the loop."""
    saved = checkpoint.latest(folder.checkpoints, show.note)
    if saved is None:
        raise DamagedError(
            f"No checkpoint in {folder.checkpoints} is intact, so nothing can be resumed; the damaged ones are kept "
            "there as bad-step-…. Start anew with --fresh, which moves the folder aside."
        )
    weights, state = teaching.with_lessons(saved.model, saved.optimizer)
    assemble.load_weights(loop.model, weights, str(saved.path), learning_only=adapted.base is not None)
    state = masks.load(state) if masks else state
    load_state_tensors(loop.optimizer, loop.model.named_parameters(), state)
    loop.progress = Progress(**saved.loop["progress"])
    loop.scale = LossScale(**saved.loop["loss_scale"])
    show.note(f"continuing after step {saved.step}")


def _watch(
    loop: Loop,
    config: Config,
    corpus: AnyCorpus,
    folder: RunFolder,
    show: Show,
    choices: Choices,
    adapted: Adapted,
    masks: Masks | None,
) -> Watch:
    peak = measure_peak(loop.device.type, seconds=0.03) * loop.ranks.world
    trackers = open_trackers(config.train.trackers, config.run.name, folder.path, config.model_dump(mode="json"))
    if loop.ranks.first:
        folder.save_environment(
            choices=choices.record(),
            precision=loop.precision,
            device=str(loop.device),
            ranks=loop.ranks.world,
            peak_flops=peak,
            seed=loop.seed,
        )
    description = assemble.description(config, corpus.tokenizer, corpus.vocab_size, corpus.chat, adapted)
    return Watch(loop, config, corpus, folder, description, show, peak, trackers, masks)


def _train(loop: Loop, watch: Watch, folder: RunFolder, tuning: bool) -> dict[str, Any]:
    """All steps. `tuning`: the model can do something already, so it is asked before the first of them."""
    if tuning and loop.progress.steps == 0:
        watch.evaluate(watch.at_most)
    for step in loop:
        watch(step)
        if step.stop:
            watch.save()
            if loop.ranks.first:
                folder.set_status("stopped", step=step.progress.steps)
            raise Stopped(
                f"Stopped and saved after step {step.progress.steps} in {folder.path}. The same command with --resume "
                "goes on from there."
            )
    final = watch.evaluate()
    watch.sample()
    watch.save()
    summary = _summary(loop, watch, folder.path) | final
    if isinstance(watch.corpus, LabelledCorpus):
        summary |= watch.corpus.conclude(loop.model, folder.path, watch.row_tokens, loop.ranks.first)
    if loop.ranks.first:
        plot_run(folder.path)
        folder.set_status("finished", **summary)
    return summary


def _parameters(loop: Loop) -> int:
    return sum(p.numel() for name, p in loop.model.named_parameters() if not is_lesson(name))


def _summary(loop: Loop, watch: Watch, path: Path) -> dict[str, Any]:
    progress = loop.progress
    return {
        "run": str(path),
        "steps": progress.steps,
        "tokens": progress.tokens,
        "seconds": round(progress.seconds, 3),
        "flops": progress.flops,
        "parameters": _parameters(loop),
        "train_loss": watch.last.get("loss"),
        "precision": loop.precision,
        "threads": torch.get_num_threads(),
        "skipped_steps": watch.skipped,
    }

"""What happens beside training: logging, validation, samples and checkpoints, each at its own pace."""

import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from firsthand import assemble, checkpoint
from firsthand.compress.distillation.matching import is_lesson
from firsthand.compress.prune.masks import Masks
from firsthand.config import Config
from firsthand.data.conversations import Conversations
from firsthand.evaluate.experts import expert_visits, shares
from firsthand.evaluate.perplexity import Score, score
from firsthand.experiments import teaching
from firsthand.experiments.corpus import AnyCorpus, Corpus
from firsthand.experiments.folder import RunFolder
from firsthand.experiments.labels import LabelledCorpus
from firsthand.generate import complete
from firsthand.generate.text import answer
from firsthand.train.loop import Loop, Step
from firsthand.train.optimizers.groups import state_tensors
from firsthand.types import Message


@runtime_checkable
class Show(Protocol):
    """Whoever shows a run to people."""

    def note(self, text: str) -> None: ...
    def step(self, line: dict[str, Any], fraction: float) -> None: ...
    def evaluated(self, line: dict[str, Any]) -> None: ...
    def sample(self, step: int, text: str) -> None: ...


class Silent:
    """Shows nothing: for ranks but the first, and for tests."""

    def note(self, text: str) -> None:
        pass

    def step(self, line: dict[str, Any], fraction: float) -> None:
        pass

    def evaluated(self, line: dict[str, Any]) -> None:
        pass

    def sample(self, step: int, text: str) -> None:
        pass


class Pace:
    """Due every `every` steps; or, if that is None, each time another `share` of the budget has been used."""

    def __init__(self, every: int | None, share: float, fraction: float = 0.0) -> None:
        self._every, self._share = every, share
        self._done = int(fraction / share)

    def due(self, step: Step) -> bool:
        if self._every is not None:
            return step.progress.steps % self._every == 0
        before, self._done = self._done, int(step.fraction / self._share)
        return self._done > before


class Watch:
    """Call it with every step. All ranks call it; the first one writes and shows."""

    def __init__(
        self,
        loop: Loop,
        config: Config,
        corpus: AnyCorpus,
        folder: RunFolder,
        description: dict[str, Any],
        show: Show,
        peak: float,
        trackers: list[Callable[[dict[str, Any]], None]],
        masks: Masks | None = None,
    ) -> None:
        self.loop, self.corpus, self.folder, self.show = loop, corpus, folder, show
        self._train, self._description, self._peak, self._trackers = config.train, description, peak, trackers
        self._config, self.row_tokens = config, assemble.row_tokens(config, loop.model.context_length)
        self._learning_only = bool((description.get("adapt") or {}).get("base"))  # the rest lies with the base
        fraction = loop.budget.fraction(loop.progress)
        self._evaluating = Pace(config.train.evaluate_every, 0.1, fraction)
        self._sampling = Pace(config.train.sample_every, 0.2, fraction)
        self._saving = Pace(config.train.save_every, 0.1, fraction)
        self._masks = masks
        self._busy, self._tokens_before = 0.0, loop.progress.tokens
        self._resumed_at = time.perf_counter()
        self.last: dict[str, Any] = {}
        self.skipped = 0

    def __call__(self, step: Step) -> None:
        self._busy += time.perf_counter() - self._resumed_at
        self.skipped += step.skipped
        if self._masks and self._masks.grow:
            self._masks.grow(self._masks, step.progress.steps, step.fraction)
        if step.progress.steps % self._train.log_every == 0 or step.progress.steps == 1:
            self._log(step)
        if self._evaluating.due(step) and step.fraction < 1:
            self.evaluate(self._train.evaluate_tokens)
        if self._sampling.due(step) and step.fraction < 1:
            self.sample()
        if self._saving.due(step) and step.fraction < 1:
            self.save()
        self._resumed_at = time.perf_counter()

    def _log(self, step: Step) -> None:
        progress = step.progress
        rate = (progress.tokens - self._tokens_before) / max(self._busy, 1e-9)
        self._busy, self._tokens_before = 0.0, progress.tokens
        line = self._stamp() | {
            "loss": step.loss,
            "grad_norm": step.grad_norm,
            "lr": step.lr,
            "tokens_per_second": rate,
            "peak_share": rate * self.loop.flops_per_token / self._peak,
            "skipped": self.skipped,
        }
        if self._masks:
            line["zeros"] = self._masks.share
        self._write(line)
        if self.loop.ranks.first:
            self.show.step(line, step.fraction)

    def evaluate(self, at_most: int | None = None) -> dict[str, Any]:
        """Validate on the whole held-out text, or on `at_most` tokens from all over it; logs and returns it."""
        named = isinstance(self.corpus, LabelledCorpus)
        line = self._stamp() | (self._named(at_most) if named else self._predicted(at_most))
        self.last |= line
        self._write(line)
        if self.loop.ranks.first:
            self.show.evaluated(line)
        return line

    @property
    def at_most(self) -> int | None:
        """The tokens that evaluations along the way read."""
        return self._train.evaluate_tokens

    def _named(self, at_most: int | None) -> dict[str, Any]:
        """How well classes are named; all ranks find the same."""
        assert isinstance(self.corpus, LabelledCorpus)
        found = self.corpus.evaluate(self.loop.model, "validation", self.row_tokens, at_most)
        keep = ("accuracy", "macro_f1", "positive_f1")
        return {"validation_loss": found["nats"], **{key: found[key] for key in keep if key in found}}

    def _predicted(self, at_most: int | None) -> dict[str, Any]:
        """How well tokens are predicted, over all ranks."""
        assert isinstance(self.corpus, Corpus)
        model, ranks, held_out, length = self.loop.model, self.loop.ranks, self.corpus.validation, self.row_tokens
        tokens = len(held_out.ids) if isinstance(held_out, Conversations) else len(held_out)
        every = 1 if at_most is None else -(-tokens // at_most)
        rows = max(1, (8192 if every == 1 else 2048) // length)
        batches = assemble.evaluation(self._config, held_out, length, rows, self.loop.device)
        batches = islice(batches, 0, None, every)
        batches = islice(batches, ranks.rank, None, ranks.world)
        with expert_visits(model) as visits:
            mine = score(model, batches, self.loop.objective, self.loop.precision)
        nats, targets = (sum(column) for column in zip(*ranks.gather([mine.nats, float(mine.targets)]), strict=True))
        whole = Score(nats, int(targets))
        share = whole.targets / (held_out.targets if isinstance(held_out, Conversations) else len(held_out) - 1)
        line: dict[str, Any] = {
            "validation_loss": whole.nats_per_token,
            "bits_per_byte": whole.bits_per_byte(1) / (self.corpus.validation_bytes * share),
            "validation_tokens": whole.targets,
        }
        if visits:
            line["expert_load"] = shares(visits)  # of what the first rank has read
        return line

    def sample(self) -> str | None:
        """Let the model continue the recipe's prompt; the first rank alone does it."""
        if not self.loop.ranks.first:
            return None
        steps = self.loop.progress.steps
        if isinstance(self.corpus, LabelledCorpus):
            text = self.corpus.sample(self.loop.model, self.row_tokens)
        else:
            text = self._conversations() if self.corpus.prompts else self._continuation()
        self.folder.add_sample(steps, text)
        self.show.sample(steps, text)
        return text

    def _continuation(self) -> str:
        return self._train.sample_prompt + complete(
            self.loop.model, self.corpus.tokenizer, self._train.sample_prompt, **self._sampling_settings()
        )

    def _conversations(self) -> str:
        """Held-out prompts, each with the model's answer."""
        assert self.corpus.chat is not None, "conversations have a template"
        shown = []
        for *prompt, _ in self.corpus.prompts:
            said = answer(self.loop.model, self.corpus.chat, prompt, **self._sampling_settings())
            shown.append("\n".join(f"{m.role}: {m.content}" for m in [*prompt, Message("assistant", said)]))
        return "\n\n".join(shown)

    def _sampling_settings(self) -> dict[str, Any]:
        at_most = min(160, self.loop.model.context_length)
        return {"max_tokens": at_most, "temperature": 0.8, "seed": self._train.seed}

    def save(self) -> Path | None:
        """Write a checkpoint from which training continues exactly."""
        loop = self.loop
        if not loop.ranks.first:
            return None
        named = dict(loop.model.named_parameters())
        state = {
            "progress": vars(loop.progress),
            "loss_scale": vars(loop.scale),
            "last": self.last,
            "seed": loop.seed,
        }
        return checkpoint.save(
            self.folder.checkpoints,
            loop.progress.steps,
            {name: p.detach() for name, p in named.items() if self._saved(name, p)},
            state_tensors(loop.optimizer, named.items())
            | teaching.lessons(loop.model)
            | (self._masks.tensors() if self._masks else {}),
            state,
            self._description,
            self.folder.data / "tokenizer.json",
            keep=self._train.keep,
            report=self.show.note,
        )

    def _saved(self, name: str, parameter: Tensor) -> bool:
        """Whether it is part of the model, and not only of its training or of its base."""
        return not is_lesson(name) and (parameter.requires_grad or not self._learning_only)

    def _stamp(self) -> dict[str, Any]:
        progress = self.loop.progress
        return {"step": progress.steps, "tokens": progress.tokens, "seconds": round(progress.seconds, 3)}

    def _write(self, line: dict[str, Any]) -> None:
        self.last |= line
        if self.loop.ranks.first:
            self.folder.log(line)
            for tracker in self._trackers:
                tracker(line)

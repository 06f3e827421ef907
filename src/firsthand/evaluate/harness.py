"""Our models in lm-evaluation-harness (the extra `eval`): its tasks, its prompts, its figures.

The rules by which texts become ids, and by which what is too long is cut, are those of its own Hugging Face backend
(lm_eval 0.4, models/huggingface.py), so that a model gives the same figures through both.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from firsthand.errors import UserError
from firsthand.evaluate.likelihood import Pair, encode_pairs, log_likelihoods
from firsthand.evaluate.write import write
from firsthand.generate.packed import pack
from firsthand.generate.text import begun
from firsthand.model.language_model import LanguageModel
from firsthand.tokens import Tokenizer, encode_on
from firsthand.tokens.chat import ChatTemplate
from firsthand.types import Message

TOGETHER = 32
"""Answers that are written at once."""
MAX_TOKENS = 256
"""Of an answer, where the task does not say."""


class Adapter:
    """What the harness asks of a model; `language_model` makes an `LM` of it. Requests bring their `args`.

    `done` is told how many requests have been answered, as it goes.
    """

    tokenizer_name = "firsthand"

    def __init__(
        self,
        model: LanguageModel,
        tokenizer: Tokenizer,
        chat: ChatTemplate | None = None,
        precision: str = "fp32",
        done: Callable[[int], None] = lambda requests: None,
    ) -> None:
        super().__init__()
        self.model, self.tokens, self.chat, self.precision, self.done = model, tokenizer, chat, precision, done
        self.writer = pack(model, precision)
        self._rendered: dict[str, list[int]] = {}

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """ln p of each continuation after its context, and whether it is what greedy decoding writes."""
        if self._rendered:
            pairs = [(self._ids(context), encode_on(self.tokens, text)) for context, text in _arguments(requests)]
        else:
            pairs = encode_pairs(self.tokens, list(_arguments(requests)))
        found = log_likelihoods(self.model, pairs, self.precision, self.done)
        return [(one.nats, one.greedy) for one in found]

    def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
        """ln p of each text, in windows that do not overlap; the last one is read with as much before it as fits."""
        windows = [self._windows(self.tokens.encode(request.args[0])) for request in requests]
        found = iter(log_likelihoods(self.model, [pair for own in windows for pair in own], self.precision))
        sums = [sum((next(found).nats for _ in own), 0.0) for own in windows]
        self.done(len(sums))
        return sums

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """The answer to each context, up to the strings in "until"."""
        alike: dict[str, list[int]] = defaultdict(list)
        for number, request in enumerate(requests):
            alike[repr(sorted(request.args[1].items()))].append(number)
        texts = [""] * len(requests)
        for numbers in alike.values():
            settings = _settings(requests[numbers[0]].args[1])
            prompts = {number: self._ids(requests[number].args[0]) for number in numbers}
            numbers.sort(key=lambda number: len(prompts[number]))
            for first in range(0, len(numbers), TOGETHER):
                some = numbers[first : first + TOGETHER]
                ends = self.chat.stop_ids if self.chat else []
                written = write(self.writer, self.tokens, [prompts[i] for i in some], stop_ids=ends, **settings)
                for number, one in zip(some, written, strict=True):
                    texts[number] = one.text
                self.done(len(some))
        return texts

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The conversation as text. Its ids are kept, for no text is ever encoded as a mark of the template."""
        if self.chat is None:
            raise UserError("This model has no chat template, so its prompts cannot become conversations.")
        if not add_generation_prompt:
            raise UserError("Answers that begin with a given text are not supported together with a chat template.")
        messages = [Message(turn["role"], turn["content"]) for turn in chat_history]
        ids = self.chat.encode(messages, answer=True).ids
        text = self.tokens.decode(ids)
        self._rendered[text] = ids
        return text

    def chat_template(self, chat_template: bool | str = False) -> str:
        """Its source, for the record."""
        return self.chat.source if self.chat and chat_template else ""

    def _ids(self, context: str) -> list[int]:
        if self._rendered and context not in self._rendered:
            raise UserError("The harness changed a prompt after the chat template had made it. Leave out --chat.")
        return self._rendered[context] if self._rendered else begun(self.tokens, self.tokens.encode(context))

    def _windows(self, ids: list[int]) -> list[Pair]:
        length = self.model.context_length
        row = [*begun(self.tokens, []), *ids]  # what stands before ids[i] is row[i]
        ends = [(start, min(start + length, len(ids))) for start in range(0, len(ids), length)]
        return [(row[max(0, stop - length) : start + 1], ids[start:stop]) for start, stop in ends]


def language_model(adapter: Adapter) -> Any:
    """The adapter as an `lm_eval.api.model.LM`, which `lm_eval.simple_evaluate` takes as its `model`."""
    LM = _lm_eval().api.model.LM
    made: Any = type("Firsthand", (Adapter, LM), {})
    lm = made.__new__(made)
    LM.__init__(lm)
    vars(lm).update(vars(adapter))
    return lm


def evaluate(
    adapter: Adapter,
    tasks: Sequence[str],
    limit: int | None = None,
    seed: int = 0,
    allow_code: bool = False,
) -> dict[str, Any]:
    """What the harness finds for `tasks`: names of its own, or paths of its YAML files. Its data come from where the
    task says; with HF_HUB_OFFLINE=1 nothing is fetched.

    {"results": {task: {metric: value}}, "samples": {task: [...]}, "versions": ...}. UserError for an unknown task.
    """
    harness = _lm_eval()
    files = [Path(task).suffix in (".yaml", ".yml") for task in tasks]
    for task, is_file in zip(tasks, files, strict=True):
        if is_file and not Path(task).is_file():
            raise UserError(f"There is no task file {task} (looked for {Path(task).absolute()}).")
    manager = harness.tasks.TaskManager(include_defaults=not all(files))
    for task, is_file in zip(tasks, files, strict=True):
        if not is_file and task not in manager.all_tasks:
            near = ", ".join(get_close_matches(task, manager.all_tasks)) or "none"
            raise UserError(f"lm-evaluation-harness knows no task {task!r}. Of a similar name: {near}.")
    found: dict[str, Any] = harness.simple_evaluate(
        language_model(adapter),
        tasks=list(tasks),
        limit=limit,
        task_manager=manager,
        apply_chat_template=adapter.chat is not None,
        bootstrap_iters=1000,
        confirm_run_unsafe_code=allow_code,
        random_seed=seed,
        numpy_random_seed=seed,
        torch_random_seed=seed,
        fewshot_random_seed=seed,
    )
    return {name: found[name] for name in ("results", "samples", "versions", "n-samples", "configs")}


def _lm_eval() -> Any:
    """The library, told to keep to itself."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        import lm_eval
        import lm_eval.api.model
        import lm_eval.tasks
    except ImportError as error:
        raise UserError("lm-evaluation-harness is not installed: pip install 'firsthand[eval]'.") from error
    return lm_eval


def _arguments(requests: Sequence[Any]) -> Iterator[tuple[str, str]]:
    return ((str(request.args[0]), str(request.args[1])) for request in requests)


def _settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """The harness's generation settings as those of `write`."""
    left = dict(given)
    until = left.pop("until", None) or []
    lengths = [left.pop(name, None) for name in ("max_gen_toks", "max_new_tokens", "max_tokens")]
    sampled = left.pop("do_sample", None)
    temperature = float(left.pop("temperature", None) or (1.0 if sampled else 0.0))
    settings: dict[str, Any] = {
        "stop": [stop for stop in ([until] if isinstance(until, str) else until) if stop],
        "max_tokens": next((int(length) for length in lengths if length is not None), MAX_TOKENS),
        "temperature": 0.0 if sampled is False else temperature,
    }
    settings |= {name: left.pop(name) for name in ("top_k", "top_p", "min_p", "repetition_penalty") if name in left}
    if left:
        raise UserError(
            f"The task sets generation_kwargs.{min(left)}, which is not known here. Remove it from the task."
        )
    return settings

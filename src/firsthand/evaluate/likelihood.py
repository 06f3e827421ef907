"""How probable a model finds one text after another: many pairs at once, each prompt read once."""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from firsthand.errors import UserError
from firsthand.generate.decode import evaluating
from firsthand.model.language_model import LanguageModel
from firsthand.tokens import Tokenizer
from firsthand.tokens.fast import encode_all
from firsthand.train.precision import compute_in
from firsthand.types import Place, State

BATCH_TOKENS = 4096
"""Of a batch, padding included."""
ROWS = 512
"""Tokens whose logits are held at once: 100 MB for a vocabulary of 50,000."""

Ids = list[int]
Pair = tuple[Ids, Ids]


@dataclass(frozen=True)
class Likelihood:
    """ln p of a continuation after its prompt, in nats (at most 0); its number of tokens; and whether each of them was
    the most probable one."""

    nats: float
    tokens: int
    greedy: bool


def encode_pairs(tokenizer: Tokenizer, pairs: Sequence[tuple[str, str]]) -> list[Pair]:
    """The ids of prompts and continuations, which are encoded as one text and cut where the prompt's ids end.

    Spaces at a prompt's end go over to the continuation, whose first token they belong to (the rule of
    lm-evaluation-harness). A prompt without tokens is the mark at which texts begin.
    """
    moved = [(prompt.rstrip(), prompt[len(prompt.rstrip()) :] + text) for prompt, text in pairs]
    prompts = [ids.tolist() for ids in encode_all(tokenizer, (prompt for prompt, _ in moved))]
    wholes = [ids.tolist() for ids in encode_all(tokenizer, (prompt + text for prompt, text in moved))]
    begin = [tokenizer.end_of_text]
    return [(prompt or begin, whole[len(prompt) :]) for prompt, whole in zip(prompts, wholes, strict=True)]


def log_likelihoods(
    model: LanguageModel,
    pairs: Sequence[Pair],
    precision: str = "fp32",
    done: Callable[[int], None] = lambda pairs: None,
) -> list[Likelihood]:
    """The likelihood of every continuation after its prompt. `done` is told how many pairs are ready, as it goes.

    A prompt that several pairs share is read once: the continuations go on from copies of its states. What does not
    fit into the model's context is cut from the prompt's beginning. UserError for a continuation that alone does not.
    """
    found: list[Likelihood | None] = [None] * len(pairs)
    device = next(model.parameters()).device
    with torch.inference_mode(), evaluating(model), compute_in(precision, device):
        for batch in _batches(_by_prompt(pairs, model.context_length), model.context_length):
            for number, likelihood in _score(model, batch):
                found[number] = likelihood
            done(sum(len(question.answers) for question in batch))
    return [likelihood for likelihood in found if likelihood is not None]


@dataclass
class _Question:
    """A prompt, and its continuations with the numbers of their pairs, the longest first."""

    prompt: Ids
    answers: list[tuple[int, Ids]]


def _by_prompt(pairs: Sequence[Pair], context: int) -> list[_Question]:
    questions: dict[tuple[int, ...], _Question] = {}
    for number, (prompt, answer) in enumerate(pairs):
        if not 0 < len(answer) <= context:
            raise UserError(
                f"A continuation of {len(answer)} tokens cannot be scored: the model's context is {context} tokens, "
                "and there must be at least one. Shorten it, or choose a model with a longer context."
            )
        prompt = prompt[-(context + 1 - len(answer)) :]
        questions.setdefault(tuple(prompt), _Question(prompt, [])).answers.append((number, answer))
    for question in questions.values():
        question.answers.sort(key=lambda answer: -len(answer[1]))
    return list(questions.values())


def _batches(questions: list[_Question], context: int) -> Iterator[list[_Question]]:
    """Questions of similar length together, as many as BATCH_TOKENS and the context hold."""
    batch: list[_Question] = []
    longest = 0
    for question in sorted(questions, key=lambda each: len(each.prompt)):
        width = max(longest, len(question.answers[0][1])) - 1 + len(question.prompt)
        if batch and (width > context or width * (len(batch) + 1) > BATCH_TOKENS):
            yield batch
            batch, longest = [], 0
        batch.append(question)
        longest = max(longest, len(question.answers[0][1]))
    if batch:
        yield batch


def _score(model: LanguageModel, batch: list[_Question]) -> Iterator[tuple[int, Likelihood]]:
    device = next(model.parameters()).device
    lengths = torch.tensor([[len(question.prompt)] for question in batch], device=device)
    width = int(lengths.max())
    longest = max(len(question.answers[0][1]) for question in batch)
    ids = torch.tensor([[0] * (width - len(each.prompt)) + each.prompt for each in batch], device=device)
    model.check(ids)
    states = model.initial_states(len(batch), width + longest - 1) if longest > 1 else None
    x, states = _read(model, ids, torch.arange(width, device=device) - (width - lengths), states)
    first = model.head(x[:, -1]).float().log_softmax(-1)
    rounds = max(len(question.answers) for question in batch)
    for turn in range(rounds):
        asked = [question.answers[turn] if turn < len(question.answers) else (-1, []) for question in batch]
        # the last round may use up the states; those before it leave them as they are
        yield from _answers(model, asked, first, lengths, states if turn == rounds - 1 else copy.deepcopy(states))


def _answers(
    model: LanguageModel,
    asked: list[tuple[int, Ids]],
    first: Float[Tensor, "batch vocab"],
    lengths: Int[Tensor, "batch 1"],
    states: list[State] | None,
) -> Iterator[tuple[int, Likelihood]]:
    """The likelihoods of one continuation a row, or none where its number is -1."""
    device = first.device
    width = max(len(answer) for _, answer in asked)
    ids = torch.tensor([answer + [0] * (width - len(answer)) for _, answer in asked])
    model.check(ids)
    there = torch.arange(width) < torch.tensor([[len(answer)] for _, answer in asked])
    scores, best = torch.zeros(ids.shape, dtype=torch.float64), torch.ones_like(there)
    scores[:, 0] = first.gather(1, ids[:, :1].to(device))[:, 0].cpu()
    best[:, 0] = first.argmax(-1).cpu() == ids[:, 0]
    if width > 1:
        x, _ = _read(model, ids[:, :-1].to(device), lengths + torch.arange(width - 1, device=device), states)
        later = there[:, 1:]
        found = token_scores(model, x[later.to(device)], ids[:, 1:][later].to(device))
        scores[:, 1:][later], best[:, 1:][later] = found
    sums, greedy = (scores * there).sum(1).tolist(), (best | ~there).all(1).tolist()
    for (number, answer), nats, all_best in zip(asked, sums, greedy, strict=True):
        if number >= 0:
            yield number, Likelihood(nats, len(answer), all_best)


def _read(
    model: LanguageModel, ids: Int[Tensor, "batch time"], index: Int[Tensor, "batch time"], states: list[State] | None
) -> tuple[Float[Tensor, "batch time d_model"], list[State] | None]:
    """The trunk's output where the tokens stand at `index`; a negative one marks padding before a row begins.

    Padding behind a row needs no mark: nothing reads what comes after it.
    """
    together = bool((index == index[:1]).all())
    place = Place(index[:1], None, ids) if together else Place(index.clamp(min=0), -(index < 0).long(), ids)
    x, states, _ = model.trunk(model.embed(ids, place), place, states)
    return x, states


def token_scores(
    model: LanguageModel, x: Float[Tensor, "rows d_model"], targets: Int[Tensor, " rows"]
) -> tuple[Float[Tensor, " rows"], Bool[Tensor, " rows"]]:
    """ln p of each target after the trunk's output `x`, in float64, and whether none is more probable; both on the CPU.

    A few rows of logits at a time: those of a whole text would not fit into memory.
    """
    nats, best = [], []
    for start in range(0, len(targets), ROWS):
        wanted = targets[start : start + ROWS]
        logits = model.head(x[start : start + ROWS]).float()
        nats.append(logits.gather(1, wanted[:, None])[:, 0].cpu().double() - logits.logsumexp(-1).cpu().double())
        best.append((logits.argmax(-1) == wanted).cpu())
    return torch.cat(nats), torch.cat(best)

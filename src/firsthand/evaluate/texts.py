"""How well a model predicts texts, window by window: every token but each text's first is a target exactly once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from firsthand.errors import UserError
from firsthand.evaluate.bootstrap import Figure, bootstrap
from firsthand.evaluate.likelihood import token_scores
from firsthand.evaluate.perplexity import Score
from firsthand.generate.decode import evaluating
from firsthand.model.language_model import LanguageModel
from firsthand.tokens import TableTokenizer, Tokenizer
from firsthand.tokens.fast import encode_all
from firsthand.train.precision import compute_in
from firsthand.types import Document, Place

BATCH_TOKENS = 8192
TOGETHER = 64
"""Windows that are sorted by length, so that short ones stand together."""


@dataclass(frozen=True)
class Passage:
    """The targets of one window. `start`: the first of them, counted in its document's tokens. `bytes`: their share of
    the document's text in UTF-8. `nats`: their surprise, summed."""

    document: str
    start: int
    tokens: int
    bytes: float
    nats: float


@dataclass(frozen=True)
class Texts:
    """Texts cut into windows: of each, the document's number, the ids it shows, and from which on they are targets."""

    names: list[str]
    ids: list[NDArray[np.integer]]
    bytes_per_id: list[NDArray[np.float64]]
    windows: list[tuple[int, int, int, int]]
    """(document, start, stop, first target): ids[start:stop] are read, ids[first:stop] are targets."""
    unknown: int
    """Tokens read as <unk>."""


def cut(tokenizer: Tokenizer, documents: Sequence[Document], window: int, stride: int | None = None) -> Texts:
    """Encode the documents and cut each into windows of `window` inputs, one every `stride` tokens.

    With a stride below the window (absent: equal), windows overlap, and a window's targets are those that the one
    before has not had: each has at least window - stride tokens before it. A tokenizer that begins texts with a token
    of its own does so here, and then the text's first token is a target as well. UserError for a stride that leaves out
    tokens, and where no document has two tokens.
    """
    step = window if stride is None else stride
    if not 1 <= step <= window:
        raise UserError(f"The stride is {step}, but must be between 1 and the window of {window} tokens.")
    ids = list(encode_all(tokenizer, (document.text for document in documents)))
    sizes = _sizes(tokenizer, documents, ids)
    begin = getattr(tokenizer, "begin", None)  # only some tokenizers from elsewhere have one
    if begin is not None:  # it stands for no bytes, and nothing is asked about it
        ids = [np.concatenate([np.array([begin], own.dtype), own]) for own in ids]
        sizes = [np.concatenate([[0.0], size]) for size in sizes]
    windows = []
    for number, own in enumerate(ids):
        first = 1
        for start in range(0, len(own) - 1, step):
            stop = min(start + window + 1, len(own))
            windows.append((number, start, stop, first))
            if stop == len(own):
                break
            first = stop
    if not windows:
        raise UserError("There is nothing to predict: no document has two tokens. Give more text.")
    unknown = getattr(tokenizer, "unknown", -1)  # only some kinds have one
    return Texts(
        [document.name for document in documents], ids, sizes, windows, sum(int((own == unknown).sum()) for own in ids)
    )


def _sizes(
    tokenizer: Tokenizer, documents: Sequence[Document], ids: list[NDArray[np.integer]]
) -> list[NDArray[np.float64]]:
    """The UTF-8 bytes that each id stands for. Where ids do not keep every byte, the text's bytes are spread evenly."""
    different = np.unique(np.concatenate(ids))
    before = tokenizer.before if isinstance(tokenizer, TableTokenizer) else lambda text: ""
    table = np.array([len(tokenizer.decode_bytes([int(id)])) for id in different], dtype=np.float64)
    sizes = []
    for document, own in zip(documents, ids, strict=True):
        there = len(document.text.encode("utf-8", "surrogatepass"))
        size = table[np.searchsorted(different, own)]
        size[:1] -= len(before(document.text))
        sizes.append(size if size.sum() == there else np.full(len(own), there / max(1, len(own))))
    return sizes


def read(model: LanguageModel, texts: Texts, precision: str = "fp32") -> Iterator[Passage]:
    """The passages of all windows, in their order, as batches of them are ready."""
    device = next(model.parameters()).device
    for first in range(0, len(texts.windows), TOGETHER):
        some = texts.windows[first : first + TOGETHER]
        order = sorted(range(len(some)), key=lambda i: some[i][1] - some[i][2])
        found: dict[int, float] = {}
        while order:
            rows = max(1, BATCH_TOKENS // (some[order[0]][2] - some[order[0]][1]))
            batch, order = order[:rows], order[rows:]
            with torch.inference_mode(), evaluating(model), compute_in(precision, device):
                found.update(zip(batch, _nats(model, texts, [some[i] for i in batch]), strict=True))
        for i, (number, _, stop, target) in enumerate(some):
            size = float(texts.bytes_per_id[number][target:stop].sum())
            yield Passage(texts.names[number], target, stop - target, size, found[i])


def _nats(model: LanguageModel, texts: Texts, windows: list[tuple[int, int, int, int]]) -> list[float]:
    """The summed surprise of the targets of each window. Rows are filled up behind, where nothing looks."""
    width = max(stop - start for _, start, stop, _ in windows)
    ids = np.zeros((len(windows), width), dtype=np.int64)
    counted = np.zeros((len(windows), width - 1), dtype=np.bool_)
    for row, (number, start, stop, target) in enumerate(windows):
        ids[row, : stop - start] = texts.ids[number][start:stop]
        counted[row, target - start - 1 : stop - start - 1] = True
    device = next(model.parameters()).device
    rows, mask = torch.from_numpy(ids), torch.from_numpy(counted)
    model.check(rows)
    x = rows[:, :-1].to(device)
    place = Place.of(x)
    hidden, _, _ = model.trunk(model.embed(x, place), place)
    nats = torch.zeros(mask.shape, dtype=torch.float64)
    nats[mask] = -token_scores(model, hidden[mask.to(device)], rows[:, 1:][mask].to(device))[0]
    return [float(value) for value in nats.sum(1)]


@dataclass(frozen=True)
class TextReport:
    """The figures over passages, with intervals from drawing the passages again."""

    score: Score
    bytes: float
    documents: int
    nats_per_token: Figure
    bits_per_byte: Figure


def report(passages: Sequence[Passage], seed: int = 0) -> TextReport:
    """The figures over all passages. There must be one."""
    nats = [passage.nats for passage in passages]
    tokens = [float(passage.tokens) for passage in passages]
    sizes = [passage.bytes for passage in passages]
    bits = [value / np.log(2) for value in nats]
    whole = Score(sum(nats), sum(passage.tokens for passage in passages))
    names = {passage.document for passage in passages}
    return TextReport(whole, sum(sizes), len(names), bootstrap(nats, tokens, seed), bootstrap(bits, sizes, seed))

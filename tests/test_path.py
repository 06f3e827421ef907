"""From text to loss in ten files: docs/architecture.md lists them, and a batch that is sent along proves the list."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import firsthand
from firsthand.config import ModelNode
from firsthand.data.loader import Loader
from firsthand.data.shards import Tokens
from firsthand.model.make import build_model
from firsthand.model.presets import resolve
from firsthand.text.clean import CLEANERS, STANDARD
from firsthand.text.sources import read
from firsthand.tokens import TOKENIZERS
from firsthand.train.objectives.next_token import NextToken

SOURCE = Path(firsthand.__path__[0])
PAGE = Path(__file__).parents[1] / "docs" / "architecture.md"


def _section() -> str:
    found = re.search(r"^## From text to loss$(.*?)^## ", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def _to_read() -> list[str]:
    return re.findall(r"^\d+\. `([\w/]+\.py)`: .+$", _section(), re.MULTILINE)


def _beside_it() -> list[str]:
    return re.findall(r"^- `([\w/]+\.py)`: .+$", _section(), re.MULTILINE)


def _executed(action: Callable[[], Any]) -> set[str]:
    """The files of the package in which a function ran during `action`."""
    seen: set[str] = set()

    def note(frame: Any, event: str, argument: Any) -> None:
        seen.add(frame.f_code.co_filename)

    before = sys.gettrace()
    sys.settrace(note)
    try:
        action()
    finally:
        sys.settrace(before)
    return {str(Path(name).relative_to(SOURCE)) for name in seen if Path(name).is_relative_to(SOURCE)}


class Journey:
    """What travels from a text file to a loss; building the model in between is not part of the way."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def text_to_batch(self) -> None:
        texts = [document.text for document in read(str(self.path))]
        for step in STANDARD:
            texts = [CLEANERS[step](text) for text in texts]
        self.tokenizer = TOKENIZERS["char"].train(texts)
        ids = [np.array(self.tokenizer.encode(text), dtype=np.uint16) for text in texts]
        (self.batch,) = Loader(Tokens.of(np.concatenate(ids)), context_length=16, batch_tokens=64).batch(0)

    def make_model(self) -> None:
        torch.manual_seed(0)
        fields = ModelNode(preset="gpt2", context_length=16, d_model=16, n_layers=1, n_heads=2, dropout=0)
        self.model = build_model(resolve(fields), self.tokenizer.vocab_size)

    def batch_to_loss(self) -> None:
        loss = NextToken()(self.model, self.batch)
        self.nats = float((loss.value / loss.count).detach())


def test_the_path_is_ten_files_and_they_are_what_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firsthand.ops.attention.choose", lambda *_: "reference")
    (tmp_path / "text.txt").write_text("Now is the winter of our discontent\nMade glorious summer.\n" * 9)
    journey = Journey(tmp_path / "text.txt")
    executed = _executed(journey.text_to_batch)
    journey.make_model()
    executed |= _executed(journey.batch_to_loss)
    assert np.log(2) < journey.nats < 2 * np.log(30)
    to_read, beside_it = _to_read(), _beside_it()
    assert 0 < len(to_read) <= 10
    listed = {*to_read, *beside_it}
    assert listed - executed == set(), "these are listed and nothing in them ran"
    assert executed - listed == set(), "these ran and stand in neither list"


def test_the_lists_name_files_that_exist() -> None:
    assert [name for name in _to_read() + _beside_it() if not (SOURCE / name).is_file()] == []
    assert not set(_to_read()) & set(_beside_it())


def test_the_path_can_be_read_in_an_afternoon() -> None:
    assert sum(len((SOURCE / name).read_text(encoding="utf-8").splitlines()) for name in _to_read()) <= 1000

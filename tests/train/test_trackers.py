"""Trackers by a stand-in for each library: none of them is needed to train."""

import sys
import types

import pytest

from firsthand.errors import UserError
from firsthand.train.trackers import open_trackers


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_the_library_gets_every_line(name, monkeypatch, tmp_path):
    calls = []
    library = types.ModuleType(name)
    run = types.SimpleNamespace(log=lambda values, step: calls.append((step, values)))
    library.init = lambda **arguments: calls.append(arguments["project"]) or run
    library.log = run.log
    monkeypatch.setitem(sys.modules, name, library)
    (track,) = open_trackers([name], "a-run", tmp_path, {})
    track({"step": 3, "loss": 1.5, "skipped": 0})
    assert calls == ["firsthand", (3, {"loss": 1.5, "skipped": 0.0})]


def test_a_missing_library_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match=r"firsthand\[track\]"):
        open_trackers(["wandb"], "a-run", tmp_path, {})

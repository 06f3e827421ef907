"""Threads are chosen for the time of writing, and given back."""

import pytest
import torch

from firsthand.errors import UserError
from firsthand.generate import threads as module
from firsthand.generate.threads import with_threads
from firsthand.model.make import build_model


@pytest.fixture
def model():
    return build_model({"preset": "modern", "d_model": 16, "n_layers": 1, "n_heads": 2, "context_length": 8}, 20)


@pytest.fixture
def four():
    """As if torch had chosen four threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("four")
def test_a_number_holds_inside_and_the_old_one_afterwards(model):
    with with_threads(model, 2) as chosen:
        assert (chosen, torch.get_num_threads()) == (2, 2)
    assert torch.get_num_threads() == 4
    with pytest.raises(RuntimeError, match="interrupted"), with_threads(model, 3):
        raise RuntimeError("interrupted")
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("four")
@pytest.mark.parametrize("best", [1, 2, 4])
def test_the_fastest_of_a_trial_is_taken_and_said(model, monkeypatch, caplog, best):
    monkeypatch.setattr(module, "_step_seconds", lambda model, rows, threads: 0.001 * (1 + (threads != best)))
    with caplog.at_level("INFO", "firsthand.generate"), with_threads(model) as chosen:
        assert (chosen, torch.get_num_threads()) == (best, best)
    assert f"{best}: 1.0 ms" in caplog.text
    assert f"generating with {best}" in caplog.text


@pytest.mark.usefixtures("four")
@pytest.mark.parametrize("context_length", [1, 3])
def test_the_trial_fits_every_context(context_length):
    fields = {"preset": "gpt2", "d_model": 16, "n_layers": 1, "n_heads": 2, "context_length": context_length}
    with with_threads(build_model(fields, 20), rows=3) as chosen:
        assert chosen in (1, 2, 4)


def test_no_thread_is_refused(model):
    with pytest.raises(UserError, match="threads = 0 makes no sense"), with_threads(model, 0):
        pass

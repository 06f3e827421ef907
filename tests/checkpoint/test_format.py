"""Saving, loading, finding, keeping: what a checkpoint promises where nothing goes wrong."""

import json
import math
import os
import re

import pytest
import torch

from firsthand import checkpoint
from firsthand.errors import DamagedError, UserError


def steps(root):
    return [name for name in sorted(os.listdir(root)) if "step" in name]


def test_what_is_saved_is_what_is_read(kit, tmp_path):
    folder = kit.save(tmp_path / "checkpoints", 123)
    assert folder == tmp_path / "checkpoints" / "step-000000123"
    assert kit.same(checkpoint.read(folder), 123)
    assert sorted(os.listdir(folder)) == [
        "config.json",
        "loop.json",
        "manifest.json",
        "model.safetensors",
        "optimizer.safetensors",
        "tokenizer.json",
    ]
    assert (tmp_path / "checkpoints" / "latest").read_text() == "step-000000123\n"


def test_numbers_in_the_loop_state_come_back_to_the_bit(kit, tmp_path):
    loop = {"loss": 0.1 + 0.2, "tiny": 5e-324, "big": 2**63 - 1, "infinite": math.inf, "list": [1, [2.5, None, True]]}
    folder = checkpoint.save(tmp_path, 1, **{**kit.content(1), "loop": loop})
    assert checkpoint.read(folder).loop == loop


def test_the_tokenizer_may_be_a_file(kit, tmp_path):
    (tmp_path / "tokenizer.json").write_bytes(b"{}")
    folder = checkpoint.save(tmp_path / "c", 1, **{**kit.content(1), "tokenizer": tmp_path / "tokenizer.json"})
    assert (folder / "tokenizer.json").read_bytes() == b"{}"


def test_weights_on_a_graph_or_transposed_are_saved_by_value(kit, tmp_path):
    weight = torch.arange(12.0, requires_grad=True).reshape(3, 4).T
    folder = checkpoint.save(tmp_path, 1, **{**kit.content(1), "model": {"w": weight}})
    assert torch.equal(checkpoint.read(folder).model["w"], weight.detach())


def test_the_optimizer_can_be_left_out_on_reading(kit, tmp_path):
    folder = kit.save(tmp_path, 1)
    loaded = checkpoint.read(folder, optimizer=False)
    assert loaded.optimizer == {}
    assert loaded.model.keys() == kit.content(1)["model"].keys()


def test_nothing_in_a_checkpoint_is_a_pickle(kit, tmp_path):
    folder = kit.save(tmp_path, 1)
    for path in folder.iterdir():
        start = path.read_bytes()[:16]
        assert path.suffix in (".json", ".safetensors")
        assert start[:1] == b"{" or start[8:9] == b"{"


def test_the_newest_two_are_kept(kit, tmp_path):
    for step in range(1, 8):
        kit.save(tmp_path, step * 10)
    assert steps(tmp_path) == ["step-000000060", "step-000000070"]
    kit.save(tmp_path, 80, keep=4)
    kit.save(tmp_path, 90, keep=4)
    assert len(steps(tmp_path)) == 4


def test_fewer_than_two_are_never_kept(kit, tmp_path):
    for step in (1, 2, 3):
        kit.save(tmp_path, step, keep=0)
    assert steps(tmp_path) == ["step-000000002", "step-000000003"]


def test_retention_counts_only_what_verifies(kit, tmp_path):
    for step in (1, 2, 3):
        kit.save(tmp_path, step, keep=3)
    (tmp_path / "step-000000003" / "model.safetensors").write_bytes(b"x" * 9)
    said = []
    kit.save(tmp_path, 4, keep=2, report=said.append)
    assert steps(tmp_path) == ["bad-step-000000003", "step-000000002", "step-000000004"]
    assert len(said) == 1
    assert "bad-step-000000003" in said[0]


def test_the_one_just_saved_is_kept_even_below_older_numbers(kit, tmp_path):
    for step in (100, 200):
        kit.save(tmp_path, step)
    kit.save(tmp_path, 5)
    assert steps(tmp_path) == ["step-000000005", "step-000000200"]


def test_saving_a_step_again_replaces_it(kit, tmp_path):
    kit.save(tmp_path, 1)
    folder = checkpoint.save(tmp_path, 1, **kit.content(2))
    assert checkpoint.read(folder).loop == kit.content(2)["loop"]
    assert steps(tmp_path) == ["step-000000001"]


def test_latest_of_nothing_is_none(tmp_path):
    assert checkpoint.latest(tmp_path) is None
    assert checkpoint.latest(tmp_path / "absent") is None
    assert list(tmp_path.iterdir()) == []


def test_latest_goes_by_exact_names_not_by_the_hint(kit, tmp_path):
    kit.save(tmp_path, 9)
    kit.save(tmp_path, 10)
    for name in ("step-11", "step-0000000012", "xstep-000000013", "step-000000014x", "step-00000001a"):
        (tmp_path / name).mkdir()
    (tmp_path / "step-٠٠٠٠٠٠٠١٥").mkdir()
    (tmp_path / "latest").write_text("step-999999999")
    said = []
    assert kit.same(checkpoint.latest(tmp_path, said.append), 10)
    assert said == []


def test_reading_writes_nothing_into_the_folder(kit, tmp_path):
    kit.save(tmp_path / "a", 1)
    (tmp_path / "a" / ".lock").unlink(missing_ok=True)
    before = sorted(os.listdir(tmp_path / "a"))
    checkpoint.latest(tmp_path / "a")
    checkpoint.load(tmp_path / "a")
    assert sorted(os.listdir(tmp_path / "a")) == before


@pytest.mark.parametrize("where", ["", "checkpoints", "checkpoints/step-000000002"])
def test_resolve_and_load_take_a_run_its_checkpoints_or_one(kit, tmp_path, where):
    for step in (1, 2):
        kit.save(tmp_path / "checkpoints", step)
    newest = tmp_path / "checkpoints" / "step-000000002"
    assert checkpoint.resolve(tmp_path / where) == newest
    assert checkpoint.load(tmp_path / where, optimizer=True).path == newest
    assert checkpoint.load(tmp_path / where).optimizer == {}


def test_a_copy_under_another_name_can_be_read(kit, tmp_path):
    kit.save(tmp_path / "checkpoints", 3)
    os.rename(tmp_path / "checkpoints" / "step-000000003", tmp_path / "my best one")
    assert kit.same(checkpoint.load(tmp_path / "my best one", optimizer=True), 3)


def test_resolve_says_what_it_looked_for(tmp_path):
    with pytest.raises(UserError, match=r"There is no .*absent\. Give a run folder"):
        checkpoint.resolve(tmp_path / "absent")
    with pytest.raises(UserError, match=r"no checkpoint in .*manifest\.json.*step-\*.*checkpoints"):
        checkpoint.load(tmp_path)


def test_another_writer_is_refused(kit, tmp_path, monkeypatch):
    import filelock

    monkeypatch.setattr("firsthand.checkpoint.tidy.PATIENCE", 0.0)
    kit.save(tmp_path, 1)
    with filelock.FileLock(tmp_path / ".lock"), pytest.raises(UserError, match="Another process is writing"):
        kit.save(tmp_path, 2)
    kit.save(tmp_path, 2)


def test_a_run_may_hold_its_claim_while_it_saves(kit, tmp_path):
    with checkpoint.claim(tmp_path / "c"):
        kit.save(tmp_path / "c", 1)
        kit.save(tmp_path / "c", 2)
        assert kit.same(checkpoint.latest(tmp_path / "c"), 2)


def test_a_reader_leaves_the_writers_unfinished_folder_alone(kit, tmp_path):
    import filelock

    kit.save(tmp_path, 1)
    (tmp_path / ".tmp-of-the-writer").mkdir()
    with filelock.FileLock(tmp_path / ".lock"):
        assert kit.same(checkpoint.latest(tmp_path), 1)
        assert (tmp_path / ".tmp-of-the-writer").exists()
    checkpoint.latest(tmp_path)
    assert not (tmp_path / ".tmp-of-the-writer").exists()


def test_the_checkpoint_asked_for_is_the_one_read(kit, tmp_path):
    folder = kit.save(tmp_path, 1)
    known = checkpoint.read(folder).sha256
    assert re.fullmatch("[0-9a-f]{64}", known)
    assert known == json.loads((folder / "manifest.json").read_text())["self"]
    assert checkpoint.read(folder, expect_sha256=known.upper()).step == 1
    with pytest.raises(DamagedError, match=f"not the checkpoint asked for: its SHA-256 is {known}"):
        checkpoint.read(folder, expect_sha256="0" * 64)


def test_equal_states_make_equal_checkpoints(kit, tmp_path):
    one, two = (checkpoint.read(kit.save(tmp_path / name, 1)).sha256 for name in "ab")
    assert one == two


def test_a_step_of_ten_digits_has_no_name(kit, tmp_path):
    with pytest.raises(AssertionError, match="nine digits"):
        kit.save(tmp_path, 10**9)

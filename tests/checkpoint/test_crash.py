"""A checkpoint is whole or it does not exist: crashes after every operation (R3), and a disk that refuses (R7)."""

import errno
import os
import random
import shutil

import pytest

from firsthand import checkpoint
from firsthand.checkpoint import files
from firsthand.cli import errors


def names(root):
    return [name for name in os.listdir(root) if name not in (".lock", "latest")]


def record(kit, disk, base, before, step):
    """The operations of saving `step` into base/runs/x/checkpoints where `before` were saved earlier."""
    root = base / "runs" / "x" / "checkpoints"
    for earlier in before:
        kit.save(root, earlier)
    past = kit.Past(base)
    disk.operations.clear()
    checkpoint.save(root, step, **kit.content(step + 100 * (step in before)))
    return past, list(disk.operations)


@pytest.mark.parametrize("way", ["all", "names", "none", "some"])
@pytest.mark.parametrize(("before", "step"), [([], 1), ([1], 2), ([1, 2], 3), ([1, 2], 2), ([2], 2)])
def test_r03_any_prefix_of_a_save_leaves_a_whole_checkpoint(kit, disk, tmp_path, way, before, step):
    base = tmp_path / "base"
    base.mkdir()
    past, operations = record(kit, disk, base, before, step)
    root = base / "runs" / "x" / "checkpoints"
    folder = str(root / f"step-{step:09}")
    commit = next(k for k, done in enumerate(operations) if done[0] == "replace" and done[2] == folder)
    durable = next(k for k, done in enumerate(operations) if k > commit and done[:2] == ("fsync", str(root)))
    new = step + 100 * (step in before)
    luck = random.Random(7)
    assert len(operations) > 25
    for count in range(len(operations) + 1):
        if count:
            past.apply(operations[count - 1])
        crashed = tmp_path / "crashed"
        past.leave(crashed, way, luck)
        here = crashed / "runs" / "x" / "checkpoints"
        said = []
        loaded = checkpoint.latest(here, said.append)
        is_new = loaded is not None and loaded.loop == kit.content(new)["loop"]
        if count > (commit if way in ("all", "names") else durable):
            assert is_new, f"after {count} operations the new checkpoint must be there"
        elif way in ("all", "names", "none"):
            assert not is_new
        if not is_new:
            assert kit.same(loaded, max(before)) if before else loaded is None
        assert not said, "a crash never looks like damage"
        assert not here.exists() or all(name.startswith("step-") for name in names(here)), "nothing is left over"
        shutil.rmtree(crashed)


def test_r03_the_next_save_after_any_crash_works(kit, disk, tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    past, operations = record(kit, disk, base, [1, 2], 3)
    for operation in operations:
        past.apply(operation)
        crashed = tmp_path / "crashed"
        past.leave(crashed, "names", random.Random(0))
        root = crashed / "runs" / "x" / "checkpoints"
        kit.save(root, 4)
        assert kit.same(checkpoint.latest(root), 4)
        assert len(names(root)) == 2
        shutil.rmtree(crashed)


def test_r03_everything_is_on_the_disk_before_the_rename_and_deleting_comes_after(kit, disk, tmp_path):
    _, operations = record(kit, disk, tmp_path, [1, 2], 3)
    kinds = [done[0] for done in operations]
    commit = next(k for k, done in enumerate(operations) if done[0] == "replace")
    part = operations[commit][1]
    created = [done[1] for done in operations[:commit] if done[0] == "create"]
    synced = [done[1] for done in operations[:commit] if done[0] == "fsync"]
    assert len(created) == 6
    assert synced == [os.path.dirname(part), *created, part]
    assert operations[commit + 1] == ("fsync", os.path.dirname(part))
    assert min(k for k, kind in enumerate(kinds) if kind in ("unlink", "rmdir")) > commit + 1


@pytest.mark.parametrize("lasting", [False, True])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize(("before", "step"), [([1, 2], 3), ([1, 2], 2), ([], 1)])
def test_r07_a_refusing_disk_never_costs_a_checkpoint(kit, disk, tmp_path, code, lasting, before, step):
    """The k-th operation fails (and all writes after it, if `lasting`), for every k."""
    base = tmp_path / "base"
    base.mkdir()
    (base / "runs" / "x" / "checkpoints").mkdir(parents=True)
    _, operations = record(kit, disk, base, before, step)
    new = step + 100 * (step in before)
    for k in range(len(operations)):
        root = tmp_path / f"{k}" / "checkpoints"
        for earlier in before:
            kit.save(root, earlier)
        files.make_folder(root)
        disk.operations.clear()
        disk.fails = lambda number, kind, k=k: (
            code if number == k or (lasting and number > k and kind in ("create", "write", "mkdir")) else None
        )
        said = []
        failure = None
        try:
            checkpoint.save(root, step, **kit.content(new), report=said.append)
        except OSError as error:
            failure = error
        disk.fails = lambda number, kind: None
        assert len(disk.operations) > k, "the fault was met"
        left = names(root)
        loaded = checkpoint.latest(root, said.append)
        if failure:
            assert failure.errno == code
            assert f"the checkpoint of step {step} was not saved" in str(failure)
            assert ("is still there" if before else "no earlier one") in str(failure)
            assert kit.same(loaded, max(before)) if before else loaded is None
        else:
            assert loaded is not None
            assert loaded.loop == kit.content(new)["loop"]
            assert len(said) <= 1
        assert len(left) >= min(2, len(before))
        assert not any(name.startswith("bad-") for name in left)
        assert all(name.startswith("step-") for name in names(root))
        disk.operations.clear()
        kit.save(root, 7)
        assert kit.same(checkpoint.latest(root), 7)


def test_r07_short_writes_are_carried_on(kit, disk, tmp_path):
    disk.short = True
    kit.save(tmp_path, 1)
    assert kit.same(checkpoint.latest(tmp_path), 1)
    assert sum(done[0] == "write" for done in disk.operations) > 50


def test_r07_a_failed_save_leaves_no_temporary_files(kit, disk, tmp_path):
    kit.save(tmp_path, 1)
    disk.operations.clear()
    disk.fails = lambda number, kind: errno.ENOSPC if kind == "write" else None
    with pytest.raises(OSError, match="No space left on device; the checkpoint of step 2 was not saved"):
        kit.save(tmp_path, 2)
    assert names(tmp_path) == ["step-000000001"]


def test_r07_a_full_disk_is_exit_code_74_and_one_line(kit, disk, tmp_path, capsys):
    disk.fails = lambda number, kind: errno.ENOSPC if kind == "write" else None
    assert errors.run(lambda: kit.save(tmp_path, 2), json=False, debug=False) == 74
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "No space left on device" in said


def test_r07_a_file_where_the_folder_should_be(kit, tmp_path):
    (tmp_path / "checkpoints").write_text("in the way")
    with pytest.raises(OSError, match="the checkpoint of step 1 was not saved") as caught:
        kit.save(tmp_path / "checkpoints", 1)
    assert caught.value.filename == str(tmp_path / "checkpoints")


def test_r07_a_folder_that_may_not_be_written(kit, disk, tmp_path):
    kit.save(tmp_path, 1)
    disk.operations.clear()
    disk.fails = lambda number, kind: errno.EROFS
    with pytest.raises(OSError, match=r"Read-only file system; .*step-000000001 is still there"):
        kit.save(tmp_path, 2)
    assert kit.same(checkpoint.latest(tmp_path), 1)


def test_an_interrupt_while_saving_keeps_the_previous_checkpoint(kit, tmp_path, monkeypatch):
    kit.save(tmp_path, 1)
    write, written = files.write, []

    def interrupted(path, parts):
        written.append(path)
        if len(written) == 3:
            raise KeyboardInterrupt
        return write(path, parts)

    monkeypatch.setattr(files, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        kit.save(tmp_path, 2)
    assert names(tmp_path) == ["step-000000001"]

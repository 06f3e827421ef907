"""An altered checkpoint is found before any of it is used, and the previous one takes its place (R4)."""

import random
import shutil

import pytest

from firsthand import checkpoint
from firsthand.checkpoint import manifest
from firsthand.errors import DamagedError, UserError

FILES = [*manifest.FILES, manifest.NAME]


@pytest.fixture
def root(kit, tmp_path):
    """Checkpoints of steps 1 and 2, the weights longer than 4 KiB."""
    folder = tmp_path / "checkpoints"
    for step in (1, 2):
        kit.save(folder, step)
    return folder


def mutants(name, old, original, luck):
    """Altered versions of a file's content: flipped bits, cut ends, a zeroed block, another step's file."""
    for _ in range(50):
        place = luck.randrange(len(original))
        flipped = bytes([original[place] ^ 1 << luck.randrange(8)])
        yield original[:place] + flipped + original[place + 1 :]
    for length in {0, 1, len(original) - 1, *(luck.randrange(len(original)) for _ in range(12))}:
        yield original[:length]
    start = luck.randrange(max(1, len(original) - 4096))
    yield original[:start] + bytes(len(original[start : start + 4096])) + original[start + 4096 :]
    yield original + b"\0"
    yield original + b" "
    yield bytes(len(original))
    yield old


@pytest.mark.parametrize("name", FILES)
def test_r04_every_altered_byte_is_found_and_the_previous_step_loads(kit, root, name):
    newest, aside = root / "step-000000002", root / "bad-step-000000002"
    path = newest / name
    original, old = path.read_bytes(), (root / "step-000000001" / name).read_bytes()
    assert original != old
    tried = 0
    for mutant in mutants(name, old, original, random.Random(name)):
        assert mutant != original
        path.write_bytes(mutant)
        with pytest.raises(DamagedError):
            checkpoint.read(newest)
        said = []
        assert kit.same(checkpoint.latest(root, said.append), 1)
        assert len(said) == 1
        assert str(newest) in said[0]
        assert "\n" not in said[0]
        assert aside.exists()
        aside.rename(newest)
        tried += 1
    path.write_bytes(original)
    assert kit.same(checkpoint.latest(root), 2)
    assert tried >= 65


@pytest.mark.parametrize("name", FILES)
def test_r04_a_missing_file_is_found(kit, root, name):
    (root / "step-000000002" / name).unlink()
    said = []
    assert kit.same(checkpoint.latest(root, said.append), 1)
    assert name in said[0]


def test_r04_files_that_changed_places_are_found(kit, root):
    folder = root / "step-000000002"
    model, optimizer = folder / "model.safetensors", folder / "optimizer.safetensors"
    model.rename(folder / "x")
    optimizer.rename(model)
    (folder / "x").rename(optimizer)
    assert kit.same(checkpoint.latest(root, lambda line: None), 1)


def test_r04_no_false_alarms(kit, root):
    said = []
    assert all(kit.same(checkpoint.latest(root, said.append), 2) for _ in range(50))
    assert said == []


def test_r04_every_bit_of_the_manifest_counts(root):
    folder = root / "step-000000002"
    path = folder / manifest.NAME
    original = path.read_bytes()
    for place in range(0, len(original), 3):
        for bit in (place % 8, 5):
            path.write_bytes(original[:place] + bytes([original[place] ^ 1 << bit]) + original[place + 1 :])
            with pytest.raises(DamagedError):
                manifest.read(folder)
    path.write_bytes(original)
    assert manifest.read(folder)["step"] == 2


def test_r04_if_all_are_damaged_nothing_is_deleted(root):
    for step in (1, 2):
        (root / f"step-{step:09}" / "loop.json").write_bytes(b"{}")
    said = []
    assert checkpoint.latest(root, said.append) is None
    assert len(said) == 2
    assert sorted(path.name for path in root.glob("*step*")) == ["bad-step-000000001", "bad-step-000000002"]


def test_loading_a_run_falls_back_but_a_named_checkpoint_does_not(kit, root):
    (root / "step-000000002" / "loop.json").write_bytes(b"{}")
    with pytest.raises(DamagedError, match=r"loop\.json"):
        checkpoint.load(root / "step-000000002")
    assert (root / "step-000000002").exists()
    assert checkpoint.load(root.parent, lambda line: None).step == 1
    shutil.rmtree(root / "step-000000001")
    shutil.copytree(root / "bad-step-000000002", root / "step-000000003")
    with pytest.raises(DamagedError, match=r"No checkpoint in .* is intact"):
        checkpoint.load(root, lambda line: None)
    assert (root / "bad-step-000000003").exists()


def test_a_damaged_one_is_set_aside_under_a_free_name(root):
    for _ in range(3):
        shutil.copytree(root / "step-000000002", root / "step-000000009")
        checkpoint.latest(root, lambda line: None)
    bad = sorted(path.name for path in root.glob("bad-*"))
    assert bad == ["bad-step-000000009", "bad-step-000000009-2", "bad-step-000000009-3"]


@pytest.mark.parametrize("other", [b'{"version": "1.0", "step": 3}', b"{}"])
def test_a_tokenizer_of_another_run_is_named_as_such(root, other):
    (root / "step-000000002" / "tokenizer.json").write_bytes(other)
    with pytest.raises(DamagedError, match="a tokenizer that does not belong to the checkpoint"):
        checkpoint.read(root / "step-000000002")


def test_a_checkpoint_of_another_version_is_not_called_damaged(root, monkeypatch):
    monkeypatch.setattr(manifest, "SCHEMA", "firsthand.checkpoint/2")
    with pytest.raises(UserError, match="this version of firsthand reads") as caught:
        checkpoint.latest(root)
    assert not isinstance(caught.value, DamagedError)
    assert not list(root.glob("bad-*"))


def test_without_verifying_sizes_and_form_still_count(root):
    folder = root / "step-000000002"
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert checkpoint.read(folder, verify=False).step == 2
    path.write_bytes(content[:-1])
    with pytest.raises(DamagedError, match="bytes long, it was saved with"):
        checkpoint.read(folder, verify=False)
    path.write_bytes(b"\xff" * len(content))
    with pytest.raises(DamagedError, match="header"):
        checkpoint.read(folder, verify=False)
    (folder / "loop.json").write_bytes(b"[" * (folder / "loop.json").stat().st_size)
    with pytest.raises(DamagedError, match=r"loop\.json is damaged"):
        checkpoint.read(folder, verify=False)

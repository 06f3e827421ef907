"""The manual: links lead somewhere, and the lists of parts are complete."""

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import firsthand
from firsthand.model.presets.family import Family
from firsthand.text.sources import Source

LINK = re.compile(r"(?<!`)!?\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+)$", flags=re.MULTILINE)
CODE = re.compile(r"^```.*?^```$", flags=re.MULTILINE | re.DOTALL)

# Each table of parts, and the page that promises to list all of it.
PAGES = {
    "MEASURES": "evaluation.md",
    "SOURCES": "data.md",
    "BATCHES": "data.md",
    "RECORDS": "finetuning/README.md",
    "CLEANERS": "data.md",
    "FILTERS": "data.md",
    "TASKS": "data.md",
    "TOKENIZERS": "tokenizers.md",
    "PRESETS": "model.md",
    "MIXERS": "mixers.md",
    "FEATURE_MAPS": "mixers.md",
    "POSITIONS": "model.md",
    "SCALINGS": "model.md",
    "FFNS": "model.md",
    "BALANCES": "model.md",
    "BLOCKS": "model.md",
    "RESIDUALS": "model.md",
    "NORMS": "model.md",
    "ACTIVATIONS": "model.md",
    "INITIALIZERS": "model.md",
    "VERSIONS": "operations.md",
    "SLOTS": "your-own-part.md",
    "CHECKS": "your-own-part.md",
    "BATTERIES": "your-own-part.md",
    "OBJECTIVES": "training.md",
    "TAUGHT": "compression/distillation.md",
    "DIVERGENCES": "compression/distillation.md",
    "MATCHES": "compression/distillation.md",
    "OPTIMIZERS": "training.md",
    "SCHEDULES": "training.md",
    "TRACKERS": "training.md",
    "ADAPTERS": "finetuning/adapters.md",
    "QUANTIZERS": "finetuning/adapters.md",
    "PRUNERS": "compression/pruning.md",
    "METHODS": "compression/README.md",
    "FORMATS": "compression/README.md",
    "SCORES": "compression/structured.md",
}


def _pages(files: list[Path]) -> list[Path]:
    return [path for path in files if path.suffix == ".md"]


def _anchor(heading: str) -> str:
    """The name that a web host gives a heading."""
    words = re.sub(r"[^\w\- ]", "", heading.lower().replace("`", ""))
    return words.strip().replace(" ", "-")


def _tables() -> dict[str, set[str]]:
    """Every table of parts: a public dict in capitals whose values build or do something. Apps have no parts."""
    tables: dict[str, set[str]] = {}
    kinds = dict | Source | Family
    for module in pkgutil.walk_packages(firsthand.__path__, "firsthand."):
        if module.name.startswith(("firsthand.experiments", "firsthand.cli")):
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            parts = list(value.values()) if name.isupper() and isinstance(value, dict) else []
            if parts and name[0] != "_" and all(callable(part) or isinstance(part, kinds) for part in parts):
                tables.setdefault(name, set()).update(str(key) for key in value)
    return tables


def test_every_link_leads_somewhere(files: list[Path]) -> None:
    broken = []
    for page in _pages(files):
        for target in LINK.findall(CODE.sub("", page.read_text(encoding="utf-8"))):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            there = (page.parent / path).resolve() if path else page
            if not there.exists() or (anchor and anchor not in _anchors(there)):
                broken.append(f"{page.name}: {target}")
    assert not broken


def _anchors(page: Path) -> set[str]:
    return {_anchor(heading) for heading in HEADING.findall(CODE.sub("", page.read_text(encoding="utf-8")))}


def test_the_index_lists_every_page(files: list[Path], root: Path) -> None:
    index = (root / "docs" / "README.md").read_text(encoding="utf-8")
    pages = [path.relative_to(root / "docs") for path in _pages(files) if path.is_relative_to(root / "docs")]
    missing = [str(page) for page in pages if f"({page})" not in index and page.name != "README.md"]
    assert not missing, f"docs/README.md does not lead to {missing}"


def test_every_table_has_its_page() -> None:
    assert set(_tables()) - set(PAGES) == set(), "say in PAGES which page lists this table, or make it private"


@pytest.mark.parametrize(("table", "page"), PAGES.items())
def test_the_page_lists_every_part(root: Path, table: str, page: str) -> None:
    text = (root / "docs" / page).read_text(encoding="utf-8")
    missing = [name for name in sorted(_tables()[table]) if f"`{name}`" not in text]
    assert not missing, f"docs/{page} promises all of {table} and leaves out {missing}"


def test_every_recipe_is_named_in_the_manual(files: list[Path], root: Path) -> None:
    recipes = [path.name for path in files if path.parent == root / "recipes" and path.suffix == ".yaml"]
    manual = "\n".join(page.read_text(encoding="utf-8") for page in _pages(files))
    assert recipes, "there are no recipes"
    assert [name for name in recipes if name not in manual] == []

"""The page on data: its examples run."""

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_the_examples_run(example, capsys):
    names: dict[str, object] = {}
    exec(compile(example, "docs/data.md", "exec"), names)
    if "print(" in example:
        assert capsys.readouterr().out.strip()
    else:
        assert callable(names["no_shouting"])

"""%%my_llm FILE: a notebook's cell becomes a module of the workspace, where training and the grader find it.

`%load_ext firsthand.learn.magic` brings it.
"""

from pathlib import Path
from typing import Any

from firsthand.errors import UserError
from firsthand.learn import workspace


def load_ipython_extension(shell: Any) -> None:
    """What IPython calls. `!firsthand` is the program of this very Python, even where its folder is not in PATH."""
    import os
    import sys

    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    shell.register_magic_function(my_llm, "cell", "my_llm")


def my_llm(line: str, cell: str) -> None:
    """Write the cell to the file of that name in the workspace; what was there is in the notebook or in git.

    UserError for a name that is not a plain .py file.
    """
    import sys

    name = line.strip()
    if Path(name).name != name or not name.endswith(".py"):
        raise UserError(f"%%my_llm {name}: name one module of the workspace, such as %%my_llm attention.py")
    found = workspace.find()
    workspace.write_whole(found.path / name, cell if cell.endswith("\n") else cell + "\n")
    if str(found.path) not in sys.path:
        sys.path.insert(0, str(found.path))
    print(f"wrote {found.path / name}")

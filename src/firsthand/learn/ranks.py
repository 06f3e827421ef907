"""Several processes on this machine that know of each other, started as torchrun starts them."""

import inspect
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

END = """
import json, sys
from pathlib import Path
Path(sys.argv[1]).write_text(json.dumps({name}(*json.loads(sys.argv[2]))))
"""


def run_ranks(functions: Sequence[Callable[..., Any]], world: int, *arguments: Any) -> list[Any]:
    """What the last of `functions` returns in each of `world` processes. `functions`: all that it calls, by source, so
    each imports what it needs; arguments and results pass as JSON. RuntimeError if a process ends with an error."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = "\n".join(map(inspect.getsource, functions)) + END.format(name=functions[-1].__name__)
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(world)}
    shared["PYTHONPATH"] = os.pathsep.join(sys.path)
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f"{rank}.json") for rank in range(world)]
        started = [
            subprocess.Popen(
                [sys.executable, "-c", program, str(file), json.dumps(arguments)],
                env=os.environ | shared | {"RANK": str(rank)},
                stdout=subprocess.DEVNULL,
            )
            for rank, file in enumerate(files)
        ]
        codes = [process.wait() for process in started]
        if any(codes):
            raise RuntimeError("a rank stopped with an error; it is printed above")
        return [json.loads(file.read_text()) for file in files]

"""What a failing command says, and its exit code.

0 done · 1 something the user can put right · 2 wrong usage · 3 a damaged file · 70 a bug of ours · 74 disk or
input/output · 75 stopped and saved, run it again with --resume · 130 interrupted with nothing to save.
"""

import sys
import traceback
from collections.abc import Callable
from typing import Any

import typer

from firsthand.cli.output import emit
from firsthand.errors import OUTSIDE, Stopped, UserError, of_a_part

# typer raises click's exceptions: those of the click beside it, or of the copy that newer versions carry
_WRONG_USAGE: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


def run(command: Callable[[], Any], json: bool, debug: bool) -> int:
    """Run `command`; turn whatever it raises into one paragraph and an exit code."""
    try:
        result = command()
    except typer.Exit as exit_:
        return exit_.exit_code
    except _WRONG_USAGE as error:
        if json:
            emit({"error": error.format_message(), "exit_code": error.exit_code})
        error.show()
        return int(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return _tell("Interrupted.", 130, json)
    except Stopped as stopped:
        return _tell(str(stopped), stopped.exit_code, json)
    except Exception as error:
        if debug:
            traceback.print_exc()
        return _tell(*_explain(error), json)
    return result if isinstance(result, int) else 0


def _explain(error: Exception) -> tuple[str, int]:
    if isinstance(error, UserError):
        return str(error), error.exit_code
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        return (
            f"The system refused: {error.strerror or error}{where}. Check the path, its permissions and free space.",
            74,
        )
    if isinstance(error, MemoryError) or "not enough memory" in str(error) or "out of memory" in str(error):
        return "Out of memory. Halve data.batch_tokens, or double train.microbatches; then model.d_model.", 1
    said = f"{type(error).__name__}: {error}."
    if where := of_a_part(error):
        return f"A part of yours failed at {where}: {said} Put it right; --debug shows the whole way there.", 1
    files = sorted(f"{name.removeprefix(OUTSIDE)}.py" for name in sys.modules if name.startswith(OUTSIDE))
    theirs = f" Parts of {', '.join(files)} took part: ask `firsthand check` about them first." if files else ""
    return f"This is a bug of firsthand: {said}{theirs} Run again with --debug and report it.", 70


def _tell(message: str, code: int, json: bool) -> int:
    if json:
        emit({"error": message, "exit_code": code})
    sys.stderr.write(message + "\n")
    return code

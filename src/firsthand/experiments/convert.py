"""A model from elsewhere becomes the folder of a run, whose only checkpoint it is."""

import re
import tempfile
from pathlib import Path
from typing import Any

from firsthand import checkpoint, interop
from firsthand.assemble import description
from firsthand.config import parse
from firsthand.errors import UserError
from firsthand.interop import hub


def convert(source: str, out: Path | None = None, address: str | None = None) -> dict[str, Any]:
    """Write `out` (by default runs/NAME) from a file, a folder or org/name on the hub (at `address`); report on it.

    UserError if there is nothing, if it is no model that is known here, or if `out` is there already.
    """
    last = Path(source).name or Path(source).resolve().name
    name = plain_name(last.removesuffix(".gguf"))
    out = out or Path("runs") / name
    if out.exists():
        raise UserError(f"{out} is there already. Give another --out, or move it away.")
    if not Path(source).exists() and hub.NAME.fullmatch(source):
        folder = hub.fetch(source, address)
        return _written(interop.read(folder), source, name, out) | {"revision": folder.name}
    if not Path(source).exists():
        raise UserError(f"There is no {source}. Give a folder, a .gguf file, or a name on the hub as org/name.")
    return _written(interop.read(Path(source)), source, name, out)


def plain_name(name: str) -> str:
    """A run's name as near to this one as they may be."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip(".")[:128] or "imported"


def _written(found: interop.Imported | None, source: str, name: str, out: Path) -> dict[str, Any]:
    if found is None:
        raise UserError(f"{source} is neither a Hugging Face folder (it has no config.json) nor a GGUF file.")
    saved = save_as_run(found, source, name, out)
    return {
        "out": str(out),
        "checkpoint": str(saved),
        "parameters": sum(tensor.numel() for tensor in found.weights.values()),
        "n_layers": found.fields["n_layers"],
        "context_length": found.fields["context_length"],
        "vocab_size": found.vocab_size,
        "tokens": found.tokenizer.vocab_size,
        "chat": found.chat is not None,
    }


def save_as_run(
    found: interop.Imported, source: str, name: str, out: Path, compress: dict[str, Any] | None = None
) -> Path:
    """Write the model as the only checkpoint of a run in `out`; returns the checkpoint. `source`: for complaints.

    `compress`: what must be known of weights in few bits (compress/saved.py), if there are any.
    """
    fields = found.fields | {"weights": None, "weights_sha256": None}  # it needs no other model
    config = parse({"run": {"name": name, "dir": str(out)}, "model": fields}, source)
    content = description(config, found.tokenizer, found.vocab_size, found.chat) | {"compress": compress}
    with tempfile.TemporaryDirectory(prefix="firsthand-") as folder:
        found.tokenizer.save(folder)
        tokenizer = (Path(folder) / "tokenizer.json").read_bytes()
    return checkpoint.save(out / "checkpoints", 0, found.weights, {}, {}, content, tokenizer)

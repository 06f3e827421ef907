"""Models on the Hugging Face hub, by name. Only files that are data are fetched, all of one revision."""

import re
from pathlib import Path

from firsthand.errors import UserError
from firsthand.interop.hugging_face.config import read_config

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
WANTED = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,100}\.(json|jinja|txt)|model[A-Za-z0-9._-]{0,100}\.safetensors")
"""Files at the top of a repository; no folder, no code, nothing pickled, and no second copy of the weights."""


def fetch(name: str, hub: str | None = None) -> Path:
    """The folder with the files of the model `name` (org/name), in the cache of huggingface_hub, named by commit.

    `hub`: its address; None: what HF_ENDPOINT says, else huggingface.co. UserError without the extra `hf`, without a
    network, if there is no such model, or if it is of a kind that is not known here: then no weights are fetched.
    """
    try:
        import huggingface_hub
    except ImportError:
        raise UserError("The hub needs huggingface_hub: pip install 'firsthand[hf]'.") from None
    try:
        info = huggingface_hub.HfApi(endpoint=hub).model_info(name)
        there = [file.rfilename for file in info.siblings or []]
        wanted = [file for file in there if WANTED.fullmatch(file)]
        _complete(name, wanted, there)
        for file in sorted(wanted, key=lambda file: (file.endswith(".safetensors"), file != "config.json")):
            path = Path(huggingface_hub.hf_hub_download(name, file, revision=info.sha, endpoint=hub))
            if file == "config.json":
                family, settings = read_config(path.parent)
                family.fields_of(settings)
        return path.parent
    except UserError:
        raise
    except Exception as error:
        raise _explained(name, hub, error) from error


def _complete(name: str, wanted: list[str], there: list[str]) -> None:
    """UserError if there is no point in fetching anything."""
    if "config.json" not in wanted:
        raise UserError(f"{name} on the hub has no config.json, so it is not a model that can be read here.")
    if not any(file.endswith(".safetensors") for file in wanted):
        other = [file for file in there if file.endswith((".bin", ".pt", ".pth", ".gguf"))]
        raise UserError(
            f"{name} on the hub has no model.safetensors{f', only {other[0]}' if other else ''}. Pickled weights can "
            "run code when they are opened and are not fetched; look for a converted copy."
        )


def _explained(name: str, hub: str | None, error: Exception) -> Exception:
    """A UserError if it is the network's or the hub's doing, else the error itself."""
    theirs = type(error).__module__.startswith(("huggingface_hub", "http", "requests"))
    if not (theirs or isinstance(error, OSError)):
        return error
    reason = " ".join(str(error).split())[:200]
    where = hub or "the hub (huggingface.co, or what HF_ENDPOINT says)"
    return UserError(f"{name} could not be fetched from {where}: {type(error).__name__}: {reason}")

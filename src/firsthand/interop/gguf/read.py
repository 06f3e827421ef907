"""A GGUF file as a model of ours: header first, checked; then the `gguf` library unpacks its tensors."""

import mmap
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from firsthand.errors import DamagedError, UserError
from firsthand.interop.channels import halves
from firsthand.interop.gguf.header import MAGIC, TYPES, Bytes, Header, Stored, read_header
from firsthand.interop.gguf.layout import ROPE_FACTORS, Layout, ours
from firsthand.interop.gguf.settings import check_tensors, fields_of, layout_of
from firsthand.interop.gguf.vocabulary import chat_of, tokenizer_of
from firsthand.interop.imported import Imported, chat_or_none
from firsthand.model.presets import resolve

NUMBERS = {name: number for number, (name, _, _) in TYPES.items()}


def fits(path: Path) -> bool:
    """Whether `path` is a file that says it is GGUF."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == MAGIC or path.suffix == ".gguf"


def read(path: Path) -> Imported:
    """The model in a GGUF file, its weights in fp32.

    UserError for an architecture, tokenizer or setting that is not known here; DamagedError for a file that is not
    whole or does not agree with itself.
    """
    with path.open("rb") as file:
        if not path.stat().st_size:
            raise DamagedError(f"{path} is empty. Fetch it again.")
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # goes with the last view of it
    try:
        return _read(data, str(path))
    except UserError as error:
        raise type(error)(f"{path}: {error}") from error


def _read(data: mmap.mmap, where: str) -> Imported:
    header = read_header(data)
    layout = layout_of(header)
    check_tensors(header, layout)
    tokenizer = tokenizer_of(header, layout.vocab_size)
    factors = unpacked(data, header.tensors[ROPE_FACTORS]) if layout.rope_factors else None
    fields = resolve(fields_of(header, layout, factors))
    chat = chat_or_none(lambda: chat_of(header, tokenizer), where)
    return Imported(fields, layout.vocab_size, _weights(data, header, layout), tokenizer, chat)


def unpacked(data: Bytes, stored: Stored) -> np.ndarray:
    """The numbers of a tensor, in fp32."""
    from gguf.constants import GGMLQuantizationType
    from gguf.quants import dequantize

    content = np.frombuffer(data, np.uint8, stored.end - stored.begin, stored.begin)
    rows = content.reshape(*stored.shape[:-1], -1)
    found: np.ndarray = dequantize(rows, GGMLQuantizationType(NUMBERS[stored.type]))
    return found.astype(np.float32, copy=False).reshape(stored.shape)


def _weights(data: Bytes, header: Header, layout: Layout) -> dict[str, Tensor]:
    """The parameters by our names."""
    weights: dict[str, Tensor] = {}
    for name, stored in header.tensors.items():
        if name == ROPE_FACTORS:
            continue
        found = unpacked(data, stored)
        tensor = torch.from_numpy(found if found.flags.writeable else found.copy())
        names = ours(name)
        if len(names) > 1:  # GPT-2's queries, keys and values
            weights |= zip(names, (part.clone() for part in tensor.chunk(len(names))), strict=True)
        elif layout.neighbours and (heads := layout.turned(name)):
            weights[names[0]] = halves(tensor, heads)
        else:
            weights[names[0]] = tensor
    return weights

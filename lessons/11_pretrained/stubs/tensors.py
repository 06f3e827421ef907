"""A file of tensors, read by hand. Nothing in it can run: it is a length, a table, and numbers."""

# ruff: noqa: F401 - what is imported here is for the holes below

from pathlib import Path

from torch import Tensor

from firsthand.errors import UserError


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file by name, on the CPU, each with its own dtype and shape.

    The file: 8 bytes, the length of the header as a whole number, little-endian · the header, JSON in UTF-8, maybe
    with blanks at its end · the tensors' bytes, little-endian. The header is a table: name to {"dtype", "shape",
    "data_offsets": [begin, end]}, where begin and end count from the end of the header, and the entries stand in any
    order. "__metadata__", if it is there, is no tensor. dtype is one of F64 F32 F16 BF16 I64 I32 I16 I8 U8 BOOL. The
    shape [] is a single number, and a shape may have a 0 in it.

    UserError (or another ValueError) where the file is no such file: it ends too early, or goes on behind the last
    tensor; two tensors overlap, or leave bytes between them that belong to none; a tensor's shape and dtype need
    another number of bytes than end - begin; a dtype is unknown.
    """
    raise NotImplementedError

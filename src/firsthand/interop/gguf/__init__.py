"""GGUF, the file of llama.cpp: read as if hostile, written so that llama.cpp gives the same tokens."""

from firsthand.interop.gguf.read import fits, read
from firsthand.interop.gguf.write import DTYPES, write

__all__ = ["DTYPES", "fits", "read", "write"]

"""NPY files that are written piece by piece, without knowing how long they will be."""

import os
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Column:
    """One NPY file of a one-dimensional array that grows; the length goes into the header at the end."""

    def __init__(self, path: Path, dtype: np.dtype[Any]) -> None:
        self.length = 0
        self._dtype = dtype
        self._file = path.open("wb", buffering=1 << 20)
        self._header()

    def append(self, array: NDArray[Any]) -> None:
        self._file.write(array.astype(self._dtype, copy=False).tobytes())
        self.length += len(array)

    def close(self) -> None:
        """Fill in the length and make sure that all is on the disk."""
        self._file.seek(0)
        self._header()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def _header(self) -> None:
        # NumPy pads this header so that it keeps its size (128 bytes) while the length grows
        header = {"descr": self._dtype.str, "fortran_order": False, "shape": (self.length,)}
        np.lib.format.write_array_header_1_0(self._file, header)

    def __enter__(self) -> "Column":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close() if error is None else self._file.close()


class Columns:
    """A `Column` cut into files of `limit` elements: `tokens-00000.npy`, `tokens-00001.npy`, ..."""

    def __init__(self, folder: Path, dtype: np.dtype[Any], limit: int) -> None:
        self._folder, self._dtype, self._limit = folder, dtype, limit
        self._count = 0
        self._open = self._next()

    def append(self, array: NDArray[Any]) -> None:
        while len(array) > (room := self._limit - self._open.length):
            self._open.append(array[:room])
            self._open.close()
            self._open = self._next()
            array = array[room:]
        self._open.append(array)

    def _next(self) -> Column:
        column = Column(self._folder / f"tokens-{self._count:05}.npy", self._dtype)
        self._count += 1
        return column

    def __enter__(self) -> "Columns":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

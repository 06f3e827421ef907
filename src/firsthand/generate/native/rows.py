"""Rows of text that are written by instructions: their strips of numbers, and the keys and values of the states."""

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from firsthand.generate.native.codes import room
from firsthand.generate.native.library import Instruction, Text, library
from firsthand.generate.native.program import Program
from firsthand.generate.products import FEW
from firsthand.model.mixers.kv_cache import KVCache


class Rows:
    """`states`: those of a prefill that has read `column` columns; their memory is written on. `first`: in which column
    each row's text begins."""

    def __init__(self, program: Program, states: Sequence[KVCache], first: Sequence[int], column: int) -> None:
        rows, capacity = len(first), states[0].keys.shape[2]
        self.program, self.states = program, states
        count = len(program.instructions)
        self.instructions = (Instruction * count)(*program.instructions)
        self.strips = torch.zeros(rows, program.strip)
        self.scores = np.empty((rows, program.groups, capacity), np.float32)
        self.tokens, self.first = np.zeros(rows, np.int64), np.array(first, np.int32)
        pointers = ctypes.c_void_p * len(states)
        self.keys = pointers(*(state.keys.data_ptr() for state in states))
        self.values = pointers(*(state.values.data_ptr() for state in states))
        widest = max(room(each.m) for each in program.instructions)
        self.apart = np.empty((torch.get_num_threads(), rows, widest), np.float32)
        self.text = Text(
            self.strips.data_ptr(),
            self.scores.ctypes.data,
            self.apart.ctypes.data,
            ctypes.addressof(self.keys),
            ctypes.addressof(self.values),
            self.tokens.ctypes.data,
            self.first.ctypes.data,
            program.strip,
            widest,
            rows,
            column,
            capacity,
            states[0].keys.dtype == torch.bfloat16,
            1,
        )
        self.logits = self.strips[:, program.logits : program.logits + program.vocab_size]
        self.address = ctypes.addressof(self.text)
        self.run = library().step
        self.products = self._products() if rows > FEW else []

    def step(self, ids: list[int]) -> Float[Tensor, "rows vocab_size"]:
        """Logits after one more token for each row, overwritten by the next step."""
        self.tokens[:] = ids
        self.text.threads = min(torch.get_num_threads(), len(self.apart))
        start, count = 0, len(self.instructions)
        for index, after, product in self.products:
            self.run(self.instructions, start, index, self.address)
            product()
            start = after
        self.run(self.instructions, start, count, self.address)
        self.text.column += 1
        return self.logits

    def settle(self) -> None:
        """Tell the states which columns were written since, for whoever reads them next."""
        columns = torch.arange(self.text.column) - torch.from_numpy(self.first).long()[:, None]
        for state in self.states:
            state.index[:, state.length : self.text.column] = columns[:, state.length :]
            state.length = self.text.column

    def _products(self) -> list[Any]:
        """For each product of the program: its first instruction, the one after it, and a call that does its work."""
        found = []
        for index, (module, count) in self.program.maps.items():
            op = self.program.instructions[index]
            width = sum(each.n for each in self.program.instructions[index : index + count])
            x, y = (self.strips[:, start : start + size] for start, size in ((op.x, op.m), (op.y, width)))
            found.append((index, index + count, _product(module, x, y, op.a if op.flag else None)))
        return found


def _product(module: Any, x: Tensor, y: Tensor, share: float | None) -> Any:
    """A call that leaves the module's answer to x in y, or adds `share` of it."""

    def call() -> None:
        answer = module.multiply(x.to(module.dtype))
        if share is None:
            y.copy_(answer)
        else:
            y.add_(answer, alpha=share)

    return call

"""A sound mixer from a file, and one with each fault that a check should find."""

import torch
from torch import nn
from torch.nn import functional as F

from firsthand.model.mixers.segments import segments
from firsthand.types import Place


class Sound(nn.Module):
    """Every channel keeps a mean of the past that fades."""

    def __init__(self, d_model, dropout=0.0):
        super().__init__()
        self.value, self.gate, self.out = (nn.Linear(d_model, d_model) for _ in range(3))
        self.fade = nn.Parameter(torch.linspace(-2, 2, d_model))
        self.dropout = nn.Dropout(dropout)

    def initial_state(self, batch, length):
        weight = self.value.weight
        dtype = torch.promote_types(weight.dtype, torch.float32)
        return {"mean": torch.zeros(batch, len(weight), dtype=dtype), "document": None}

    def state_size(self, length):
        return len(self.value.weight)

    def forward(self, x, place, state=None):
        memory = self.initial_state(len(x), 0) if state is None else state
        segment, memory["document"] = segments(place, memory["document"])
        means = self.scan(self.value(x), segment, memory)
        y = self.dropout(self.out(means.to(x.dtype) * F.silu(self.gate(x))))
        return y, None if state is None else memory

    def scan(self, value, segment, memory):
        mean, keep = memory["mean"], self.fade.sigmoid()
        new = None if segment is None else torch.diff(segment, prepend=torch.zeros_like(segment[:, :1])) != 0
        means = []
        for t in range(value.shape[1]):
            if new is not None:
                mean = mean.masked_fill(new[:, t, None], 0.0)
            mean = keep * mean + (1 - keep) * value[:, t]
            means.append(mean)
        memory["mean"] = mean.to(memory["mean"].dtype)
        return torch.stack(means, 1)


class Changed(Sound):
    def forward(self, x, place, state=None):
        y, state = super().forward(x, place, state)
        return self.change(x, y), state


class AttributeSlip(Sound):
    def forward(self, x, place, state=None):
        return x * self.gain, state


class NoState(Sound):
    initial_state = None


class NoPlace(Sound):
    def forward(self, x, state=None):
        return x, state


class NoModule:
    def __init__(self, d_model):
        self.d_model = d_model


class NoPair(Sound):
    def forward(self, x, place, state=None):
        return super().forward(x, place, state)[0]


class Swapped(Changed):
    def change(self, x, y):
        return y.transpose(1, 2)


class OneShort(Changed):
    def change(self, x, y):
        return y[:, 1:] if y.shape[1] > 1 else y


class SinglePrecision(Changed):
    def change(self, x, y):
        return y.float()


class NotANumber(Changed):
    def change(self, x, y):
        return torch.cat((y[:, :1] / 0.0 * 0.0, y[:, 1:]), 1)


class Talkative(Sound):
    def forward(self, x, place, state=None):
        return super().forward(x, place, self.initial_state(len(x), 0) if state is None else state)


class LooksAhead(Changed):
    def change(self, x, y):
        return y + F.pad(x, (0, 0, 0, 4))[:, 4:]


class KnowsTheLength(Changed):
    def change(self, x, y):
        return y / x.shape[1]


class Deaf(Sound):
    def forward(self, x, place, state=None):
        return self.out(x), state


class Shift(Sound):
    """Knows its own token and the one before, and says so; `Short` and `Far` say something else."""

    window = 2

    def initial_state(self, batch, length):
        return {"last": torch.zeros(batch, self.state_size(0), dtype=self.value.weight.dtype), "document": None}

    def scan(self, value, segment, memory):
        before = torch.cat((memory["last"].unsqueeze(1), value[:, :-1]), 1)
        if segment is not None:
            new = torch.diff(segment, prepend=torch.zeros_like(segment[:, :1])) != 0
            before = before.masked_fill(new.unsqueeze(-1), 0.0)
        memory["last"] = value[:, -1].clone()
        return value + before * self.fade


class Short(Shift):
    window = 1


class Far(Shift):
    window = 3


class SeesDocuments(Sound):
    def forward(self, x, place, state=None):
        return super().forward(x, Place(place.index), state)


class GoesByColumn(Changed):
    def change(self, x, y):
        return y * torch.arange(x.shape[1]).unsqueeze(1)


class GoesOnAcross(Sound):
    def forward(self, x, place, state=None):
        if state is not None and state["document"] is not None and place.document is not None:
            state["document"] = place.document[:, 0]
        return super().forward(x, place, state)


class SeesPadding(Sound):
    def forward(self, x, place, state=None):
        if place.document is not None:
            place = Place(place.index, place.document.clamp(min=0))
        return super().forward(x, place, state)


class MixesRows(Changed):
    def change(self, x, y):
        return y + x.mean(0, keepdim=True)


class Forgets(Sound):
    def forward(self, x, place, state=None):
        return super().forward(x, place, None if state is None else self.initial_state(len(x), 0))


class Imprecise(Sound):
    def initial_state(self, batch, length):
        return {**super().initial_state(batch, length), "mean": torch.zeros(batch, self.state_size(0))}


class KeepsTheLast(Sound):
    def forward(self, x, place, state=None):
        self.last = x[:, -1]
        return super().forward(x, place, state)


SHARED = {}


class OneForAll(Sound):
    def initial_state(self, batch, length):
        return SHARED.setdefault(batch, super().initial_state(batch, length))


class Boaster(Sound):
    def state_size(self, length):
        return 1


class Grows(Sound):
    def forward(self, x, place, state=None):
        y, after = super().forward(x, place, state)
        if state is not None:
            after["all"] = [*state.get("all", []), x]
        return y, after


class AllHeads(Sound):
    def __init__(self, d_model, n_heads, n_kv_heads):
        super().__init__(d_model)
        if n_heads % n_kv_heads or n_kv_heads == 1:
            raise ValueError(f"{n_kv_heads} heads are too few")


class Detached(Changed):
    def change(self, x, y):
        return y + x.detach().square()


class Idle(Sound):
    def __init__(self, d_model):
        super().__init__(d_model)
        self.idle = nn.Parameter(torch.ones(d_model))


class BothZero(Sound):
    def __init__(self, d_model):
        super().__init__(d_model)
        self.left, self.right = (nn.Parameter(torch.zeros(d_model)) for _ in range(2))

    def forward(self, x, place, state=None):
        y, state = super().forward(x, place, state)
        return y + x * self.left * self.right, state


class OneZero(BothZero):
    def __init__(self, d_model):
        super().__init__(d_model)
        nn.init.ones_(self.right)


class RandomTable(Sound):
    def __init__(self, d_model):
        super().__init__(d_model)
        self.register_buffer("table", torch.randn(d_model))

    def forward(self, x, place, state=None):
        y, state = super().forward(x, place, state)
        return y + self.table, state


class ChangesInputs(Sound):
    def forward(self, x, place, state=None):
        y, state = super().forward(x, place, state)
        with torch.no_grad():
            x += 1.0
        return y, state


class Coarse(Changed):
    def change(self, x, y):
        return y + 300.0 - 300.0


class FixedTable(Changed):
    def change(self, x, y):
        return y * torch.ones(1)


class Unwritten(Changed):
    def change(self, x, y):
        return y + torch.empty_like(x).isnan()


class UnwrittenState(Sound):
    def initial_state(self, batch, length):
        state = super().initial_state(batch, length)
        return {**state, "mean": torch.empty_like(state["mean"]).nan_to_num(1.0)}


class Noisy(Changed):
    def change(self, x, y):
        return y + torch.randn_like(y)


class DropsAlways(Changed):
    def change(self, x, y):
        return y * (1 - self.dropout.p)


class DropsNever(Sound):
    def __init__(self, d_model, dropout=0.0):
        super().__init__(d_model)


class AsksNumbers(Sound):
    def forward(self, x, place, state=None):
        y, state = super().forward(x, place, state)
        return (y if float(x.sum()) > 1e9 else y * 1.0), state

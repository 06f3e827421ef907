"""What every mixer promises about its state."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from firsthand.contracts import module
from firsthand.contracts.difference import difference, many, tiny
from firsthand.contracts.finding import Broken
from firsthand.contracts.flow import by_pieces, with_position
from firsthand.contracts.part import Part

PIECES = ([13], [1] * 13, [5, 1, 1, 6], [1, 12], [65, 1, 63, 1])


@torch.no_grad()
def decoding(part: Part) -> None:
    """Prefill and then token by token gives what the whole text gives, at every step."""
    for position in part.positions:
        mixer = part.make(position)
        for pieces in PIECES:
            text = part.text(3, sum(pieces))
            whole = part.ask(mixer, text)
            state: Any = mixer.initial_state(3, text.time + 2)  # type: ignore[operator]
            start = 0
            for step, piece in enumerate(text.pieces(pieces)):
                y, state = mixer(piece.x, piece.place, state)
                found = difference(y, whole[:, start : start + piece.time])
                if found:
                    raise Broken(
                        f"At step {step} (of {len(pieces)}, this one of {many(piece.time, 'token')}) output "
                        f"{start + found.token} differs by {found.amount:.2g} from that of the whole text"
                        f"{with_position(part, position)}.",
                        "Text is generated step by step: the model would not be the one that was trained.",
                        "Go on from the state where it stands, by place.index and not by the column, and put "
                        f"everything into it that later tokens need.{tiny(found.amount)}",
                    )
                start += piece.time


@torch.no_grad()
def memory(part: Part) -> None:
    """The state is all that is remembered: nothing is kept on the module, and conversations do not mix."""
    mixer = part.make()
    before = _keepsakes(mixer)
    texts = [part.text(1, 8, seed=seed) for seed in (2, 3)]
    wholes = [part.ask(mixer, text) for text in texts]
    states: list[Any] = [mixer.initial_state(1, 8) for _ in texts]  # type: ignore[operator]
    steps = [text.pieces([1] * 8) for text in texts]
    outputs: list[list[Tensor]] = [[], []]
    for t in range(8):
        for which in (0, 1):
            y, states[which] = mixer(steps[which][t].x, steps[which][t].place, states[which])
            outputs[which].append(y)
    new = _changed(before, _keepsakes(mixer))
    if new:
        raise Broken(
            f"After reading two texts it keeps something new: {', '.join(new)}.",
            "One model serves many conversations at once; what it keeps on itself leaks from one into the other.",
            "Put it into the state, which is passed in and returned.",
        )
    for which, whole in enumerate(wholes):
        found = difference(torch.cat(outputs[which], dim=1), whole)
        if found:
            raise Broken(
                f"Two conversations in turn got mixed: output {found.token} of conversation {which} differs by "
                f"{found.amount:.2g} from what it is alone.",
                "One model serves many conversations at once.",
                "Make every state anew in initial_state, and share no tensors between states.",
            )


@torch.no_grad()
def state_size(part: Part) -> None:
    """`state_size(length)` is what a state for so many tokens holds, at first and at the end."""
    mixer: Any = part.make()
    for length in (1, 17, 130):
        text = part.text(2, length)
        state = mixer.initial_state(2, length)
        claimed = mixer.state_size(length)
        if not isinstance(claimed, int):
            raise Broken(
                f"state_size({length}) returned {claimed!r}.",
                "It is how many numbers are kept, so that memory can be known before it is used.",
                "Return a whole number.",
            )
        _holds("A new state", numbers_in(state), 2 * claimed, length, exactly=True)
        for piece in text.pieces([length // 2] * (length > 1) + [1] * (length - length // 2)):
            _, state = mixer(piece.x, piece.place, state)
        _holds("After the last token the state", numbers_in(state), 2 * claimed, length, exactly=False)


def _holds(which: str, held: int, claimed: int, length: int, exactly: bool) -> None:
    if held > claimed or (exactly and held != claimed):
        raise Broken(
            f"{which} for 2 rows of {many(length, 'token')} holds {held:,} numbers, and state_size says {claimed:,}.",
            "Memory is planned by state_size; the comparison of mixers prints it.",
            "Count every floating-point tensor of the state for one row, set aside all of it in initial_state, and "
            "copy what you keep of a larger tensor (.clone()), which would be kept alive as a whole.",
        )


def numbers_in(state: Any) -> int:
    """How many floating-point numbers a state keeps in memory; tensors that share memory count once."""
    held = {}
    for tensor in _floats(state):
        storage = tensor.untyped_storage()
        held[storage.data_ptr()] = storage.nbytes() // tensor.element_size()
    return sum(held.values())


def _floats(thing: Any, seen: set[int] | None = None) -> Iterator[Tensor]:
    """Every floating-point tensor within a state made of lists, dicts and objects."""
    seen = set() if seen is None else seen
    if id(thing) in seen or isinstance(thing, nn.Module | str | bytes):
        return
    seen.add(id(thing))
    if isinstance(thing, Tensor):
        if (thing.is_floating_point() or thing.is_complex()) and thing.numel():
            yield thing
        return
    inner = list(thing.values()) if isinstance(thing, dict) else []
    inner += list(thing) if isinstance(thing, list | tuple | set) else []
    inner += list(getattr(thing, "__dict__", {}).values())
    inner += [getattr(thing, name) for kind in type(thing).__mro__ for name in _slots(kind) if hasattr(thing, name)]
    for item in inner:
        yield from _floats(item, seen)


def _slots(kind: type) -> tuple[str, ...]:
    slots = vars(kind).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


@torch.no_grad()
def heads(part: Part) -> None:
    """It works with as many key/value heads as heads, with fewer, and with one."""
    for n_kv_heads in sorted({part.sizes["n_heads"], part.sizes["n_kv_heads"], 1}):
        mixer, text = part.make(n_kv_heads=n_kv_heads), part.text(2, 17)
        found = difference(by_pieces(mixer, text, [9, 1, 7]), part.ask(mixer, text))
        if found:
            raise Broken(
                f"With n_kv_heads = {n_kv_heads} of {part.sizes['n_heads']} heads, decoding differs by "
                f"{found.amount:.2g} at output {found.token}.",
                "Recipes set n_kv_heads for all mixers of a model.",
                "Share each key/value head among n_heads / n_kv_heads heads, or take no argument n_kv_heads.",
            )


@torch.no_grad()
def bf16(part: Part) -> None:
    """Computed in bf16, cast, under autocast or step by step, outputs stay within 5 % of those computed in fp32."""
    module.bf16(part)
    mixer, text = part.make(dtype=torch.bfloat16), part.text(2, 20, torch.bfloat16)
    expected = module.rounded(part)(text.x.float(), text.place)[0]
    module.near("decoding", by_pieces(mixer, text, [9] + [1] * 11), expected)


@torch.no_grad()
def poison(part: Part) -> None:
    """Memory that nobody has written is never read: with NaN in all of it, also step by step, nothing changes."""
    module.poison(part)
    mixer, text = part.make(), part.text(2, 9)
    expected = by_pieces(mixer, text, [5, 1, 3])
    with module.poisoned():
        found = by_pieces(mixer, text, [5, 1, 3])
    if not torch.equal(found, expected):
        raise Broken(
            "With NaN in freshly allocated memory decoding gives another output.",
            "A state made with torch.empty holds what was there before.",
            "Make states with torch.zeros, or read only what has been written.",
        )


def _keepsakes(mixer: nn.Module) -> dict[str, Any]:
    """Everything that is kept on the module and its children beside parameters; tensors as copies."""
    return {name: value.clone() if isinstance(value, Tensor) else value for name, value in _kept(mixer)}


def _kept(mixer: nn.Module) -> Iterator[tuple[str, Any]]:
    own = vars(nn.Module())
    for path, child in mixer.named_modules():
        yield from ((f"{path}.{name}".strip("."), value) for name, value in child._buffers.items())
        for name, value in vars(child).items():
            if name not in own:
                yield f"{path}.{name}".strip("."), value
                if isinstance(value, list | dict | set):
                    yield f"the length of {f'{path}.{name}'.strip('.')}", len(value)


def _changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What is there now and was not, or is another object, or has other numbers."""
    return [name for name, value in after.items() if name not in before or not _same(before[name], value)]


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.equal(one, other)
    return one is other or (isinstance(one, int | float | str) and one == other)

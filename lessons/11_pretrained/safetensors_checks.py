"""What must hold of safetensors, in teaching order."""

import json
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from firsthand.contracts.finding import Broken
from firsthand.learn.grader import properties as p
from firsthand.learn.grader.checks import Checks, Draw, Inputs, Property
from firsthand.learn.grader.leaves import leaves, same
from firsthand.learn.grader.subject import Raised, Sign

# ---- files, as bytes

CODES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def raw(tensor: Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""


def framed(header, body: bytes, length=None) -> bytes:
    text = json.dumps(header, ensure_ascii=False).encode()
    return (len(text).to_bytes(8, "little") if length is None else length(len(text))) + text + body


def entry(code: str, shape, begin: int, end: int):
    return {"dtype": code, "shape": list(shape), "data_offsets": [begin, end]}


def packed(tensors, listed=None, metadata=None, blanks=0) -> bytes:
    """A file: `tensors`, (code, tensor) by name, lie in their order, and stand in the header in the order `listed`."""
    header, body = {}, b""
    for name, (code, tensor) in tensors.items():
        data = raw(tensor)
        header[name] = entry(code, tensor.shape, len(body), len(body) + len(data))
        body += data
    header = ({"__metadata__": metadata} if metadata else {}) | {name: header[name] for name in listed or header}
    text = json.dumps(header, ensure_ascii=False).encode() + b" " * blanks
    return len(text).to_bytes(8, "little") + text + body


def only(code: str, *shape: int):
    """A file with one tensor of a dtype."""

    def make(draw: Draw) -> Inputs:
        dtype = CODES[code]
        tensor = 2 * draw.normal(*shape).double() if dtype.is_floating_point else draw.integers(100, *shape)
        tensor = (tensor % 2 == 0) if code == "BOOL" else tensor.to(dtype)
        return {"file": packed({"one": (code, tensor)})}

    return make


def usual(draw: Draw) -> Inputs:
    two = {"b": ("F32", draw.normal(3, 5).float()), "a": ("F32", draw.normal(7, 2, 3).float())}
    return {"file": packed(two)}


def another_order(draw: Draw) -> Inputs:
    three = {name: ("F32", draw.normal(2, 3).float()) for name in ("first", "second", "third")}
    return {"file": packed(three, ["third", "first", "second"])}


def mixed(draw: Draw) -> Inputs:
    some = {
        "x": ("F64", draw.normal(2, 3).double()),
        "n": ("I64", draw.integers(9, 5)),
        "y": ("F16", draw.normal(3).half()),
    }
    return {"file": packed(some, ["y", "x", "n"], blanks=5)}


def with_metadata(draw: Draw) -> Inputs:
    return {"file": packed({"a": ("F32", draw.normal(2, 3).float())}, metadata={"format": "pt"})}


def a_number(draw: Draw) -> Inputs:
    return {"file": packed({"a": ("F32", draw.normal(1)[0].float()), "b": ("F32", draw.normal(3).float())})}


def an_empty_one(draw: Draw) -> Inputs:
    return {"file": packed({"a": ("F32", torch.zeros(0, 3)), "b": ("F32", draw.normal(2, 3).float())})}


def empty_at_both_ends(draw: Draw) -> Inputs:
    """Two that take no bytes, where a third begins and where it ends; listed from the last to the first."""
    empty, full = ("F32", torch.zeros(0)), ("F32", draw.normal(2, 3).float())
    return {"file": packed({"a": empty, "b": full, "c": empty}, ["c", "b", "a"])}


def names_with_dots(draw: Draw) -> Inputs:
    """Alike behind their last dots."""
    return {"file": packed({f"h.{i}.weight": ("F32", draw.normal(3).float()) for i in range(2)})}


def other_letters(draw: Draw) -> Inputs:
    return {"file": packed({"größe": ("F32", draw.normal(3).float())})}


# ---- damage: an F32 vector of 3 and one of 2 numbers, 20 bytes in all, and what can be wrong with them

NUMBERS = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
BODY = raw(NUMBERS)
WHOLE = {"a": entry("F32", [3], 0, 12), "b": entry("F32", [2], 12, 20)}
BOTH = {"a": entry("F32", [3], 0, 12), "b": entry("F32", [2], 8, 16)}
OVERLAP = {"a": entry("F32", [3], 0, 12), "b": entry("F32", [3], 8, 20)}
HOLE = {"a": entry("F32", [2], 0, 8), "b": entry("F32", [2], 12, 20)}
THREE = framed({"c": entry("F32", [2], 12, 20), "a": entry("F32", [1], 0, 4), "b": entry("F32", [2], 4, 12)}, BODY)
DAMAGED = {
    "it ends one number too early": framed(WHOLE, BODY[:-4]),
    "one number stands behind the last tensor": framed(WHOLE, BODY + BODY[:4]),
    "two tensors share 4 bytes": framed(OVERLAP, BODY),
    "4 bytes belong to no tensor": framed(HOLE, BODY),
    "a shape needs 8 bytes and has 12": framed({"a": entry("F32", [2], 0, 12), "b": WHOLE["b"]}, BODY),
    "a shape needs 12 bytes and has 8": framed({"a": WHOLE["a"], "b": entry("F32", [3], 12, 20)}, BODY),
    "the length of the header is big-endian": framed(WHOLE, BODY, lambda n: n.to_bytes(8, "big")),
    "two tensors share 4 bytes and as many belong to none": framed(BOTH, BODY),
    "nothing is there but 3 bytes": b"\x01\x00\x00",
    "the header says that it is longer by 2^40": framed(WHOLE, BODY, lambda n: (n + (1 << 40)).to_bytes(8, "little")),
    "the length of the header has 4 bytes": framed(WHOLE, BODY, lambda n: n.to_bytes(4, "little")),
}


def damaged(what: str):
    return lambda draw: {"file": DAMAGED[what]}


def read(parts, file: bytes):
    """What the exercise reads, its dtypes and shapes beside it. Whatever it raises becomes a ValueError."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.safetensors")
        path.write_bytes(file)
        try:
            found = parts.read_safetensors(path)
        except (NotImplementedError, Broken):
            raise
        except Exception as error:
            words = f"{type(error).__name__}: {error}"
            raise ValueError(words).with_traceback(error.__traceback__) from error
    if not isinstance(found, dict) or not all(isinstance(one, Tensor) for one in found.values()):
        raise Broken(
            f"read_safetensors returned {type(found).__name__}, not a dict of tensors by name.",
            "What loads a model looks its tensors up by name.",
            "Return {name: tensor}.",
        )
    return {
        name: {
            "dtype": str(one.dtype),
            "shape": list(one.shape),
            "numbers": [repr(x) for x in one.reshape(-1).tolist()],
        }
        for name, one in found.items()
    }


def gives(name: str, file: bytes, expected, example: str, why: str, todo: str) -> Property:
    """By hand, and in tensors."""

    def test(subject) -> None:
        try:
            found = subject.within(lambda parts: read(parts, file))
        except Raised as error:
            raise error.with_more(f"The file is right. {example} was to be read.", todo) from error.__cause__
        if not same(leaves(found), leaves(expected)):
            raise Broken(f"{example} gives {_words(found)}, and {_words(expected)} is right.", why, todo)

    return Property(name, test)


def said(tensor: Tensor):
    numbers = [repr(x) for x in tensor.reshape(-1).tolist()]
    return {"dtype": str(tensor.dtype), "shape": list(tensor.shape), "numbers": numbers}


def _words(found) -> str:
    each = (f"{name}: {one['dtype'][6:]} {one['shape']} ({' '.join(one['numbers'])})" for name, one in found.items())
    return " and ".join(each) or "nothing"


def refuses_damage(subject) -> None:
    """The first damage that is not refused; the tag says all of them. Then what is refused by a crash."""
    silent, crashed = {}, {}
    for what, file in DAMAGED.items():
        try:
            found = subject.within(lambda parts, file=file: read(parts, file))
        except Broken as error:
            reason = error.__cause__.__cause__ if error.__cause__ is not None else None
            if reason is None:
                raise
            if not isinstance(reason, ValueError):
                crashed[what] = f"{type(reason).__name__}: {' '.join(str(reason).split())[:120]}"
            continue
        silent[what] = _words(found)
    if silent:
        first = next(iter(silent))
        raise Sign(
            f"A file of which {first} was read without a word: {silent[first]}.",
            "A file that a full disk has cut off, or that is made to mislead, is taken for a model.",
            "Check each length against the file before you use it; every byte belongs to one tensor.",
            "+".join(sorted(silent)),
        )
    if crashed:
        first = next(iter(crashed))
        raise Broken(
            f"A file of which {first} ended in {crashed[first]}.",
            "It is refused, by luck; whoever has the file learns nothing about it.",
            "Compare end - begin with what shape and dtype need, and the lengths with the file, and raise UserError.",
        )


def refuses_unknown(parts):
    try:
        return read(parts, framed({"a": entry("F31", [3], 0, 12), "b": WHOLE["b"]}, BODY))
    except ValueError as error:  # which read has made of whatever it was
        raise error.__cause__ or error from None


SAFETENSORS = Checks(
    call=read,
    cases={
        "usual": usual,
        "listed in another order than they lie": another_order,
        "with metadata": with_metadata,
        "several dtypes, blanks behind the header": mixed,
        "a single number": a_number,
        "a tensor without numbers": an_empty_one,
        "tensors without numbers at both ends of another, listed last to first": empty_at_both_ends,
        "names with dots": names_with_dots,
        "a name with other letters": other_letters,
        **{f"of {code}": only(code, 3, 2) for code in CODES},
        **{what: damaged(what) for what in DAMAGED},
    },
    edges=tuple(DAMAGED),
    properties=(
        gives(
            "smallest",
            framed({"x": entry("F32", [2], 0, 8)}, raw(torch.tensor([1.0, -2.0]))),
            {"x": said(torch.tensor([1.0, -2.0]))},
            "The smallest file, with x = (1 -2) in fp32,",
            "8 bytes, a header of 61, 8 bytes of numbers. A number taken from the wrong place is still a number.",
            "Print the length you read, the header as text, and the byte at which you begin to read x.",
        ),
        gives(
            "shape",
            framed({"x": entry("F32", [2, 3], 0, 24)}, raw(torch.arange(6.0))),
            {"x": said(torch.arange(6.0).reshape(2, 3))},
            "x = (0 1 2 · 3 4 5), shape (2, 3),",
            "The numbers lie row after row, the last axis running fastest, as in torch.",
            "reshape to the shape as it is listed.",
        ),
        gives(
            "places",
            THREE,
            {"c": said(torch.tensor([4.0, 5.0])), "a": said(torch.tensor([1.0])), "b": said(torch.tensor([2.0, 3.0]))},
            "A header that lists c, a, b, which lie in the order a = (1), b = (2 3), c = (4 5),",
            "data_offsets says where a tensor begins and where it ends, counted from the end of the header.",
            "Print begin, end and the bytes that you take for each of the three.",
        ),
        gives(
            "half",
            framed({"x": entry("BF16", [2], 0, 4)}, bytes([0x80, 0x3F, 0x00, 0xC0])),
            {"x": said(torch.tensor([1.0, -2.0]).bfloat16())},
            "x = (1 -2) in bf16, the bytes 80 3F 00 C0,",
            "bf16 and fp16 both take 2 bytes. bf16 is the upper half of an fp32 number: 3F80 0000 is 1.",
            "Look BF16 up as torch.bfloat16; NumPy has no such kind.",
        ),
        gives(
            "metadata",
            framed({"__metadata__": {"format": "pt"}, "x": entry("F32", [1], 0, 4)}, raw(torch.ones(1))),
            {"x": said(torch.ones(1))},
            "A header with __metadata__ before x",
            "Most files have it: notes of the program that wrote them. It has no dtype and no place.",
            "Take it out of the header before you go through the tensors.",
        ),
        Property("refuses_damage", refuses_damage),
        p.refuses(
            "unknown_dtype",
            refuses_unknown,
            (ValueError,),
            "A tensor of dtype F31 was read.",
            "What is not known cannot be read: a guess gives numbers that mean nothing.",
            "Raise UserError for a dtype that is not in your table.",
        ),
    ),
)

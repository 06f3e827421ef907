"""history.jsonl: one line for everything that happened, only ever added to."""

import json
from dataclasses import dataclass
from pathlib import Path

from firsthand.learn.state import Event


@dataclass(frozen=True)
class History:
    """`path`: the file; it need not exist yet."""

    path: Path

    def add(self, event: Event) -> None:
        """One more line. OSError if it cannot be written: then it is as if nothing had happened."""
        with self.path.open("ab+") as file:
            file.seek(0, 2)
            end = file.tell()
            if end:
                file.seek(end - 1)
            # a line that a full disk or a power cut left half written must not swallow this one
            begin = b"\n" if end and file.read(1) != b"\n" else b""
            file.write(begin + json.dumps(event, ensure_ascii=False).encode("utf-8") + b"\n")

    def events(self) -> list[Event]:
        """All whole lines, in order; half ones and foreign ones are left out."""
        raw = self.path.read_text(encoding="utf-8", errors="replace") if self.path.is_file() else ""
        return [event for event in map(_event, raw.splitlines()) if event is not None]


def _event(line: str) -> Event | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    known = isinstance(found, dict) and {"at", "what"} <= found.keys()
    return found if known else None

"""What the pipeline did, step by step: how many documents and bytes came, changed and went, with examples."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

EXAMPLES = 3
_SHOWN = 160
_ORDER = ("read", "clean", "empty", "filter", "duplicates", "kept")


@dataclass
class Step:
    """One step's account. Cleaning changes documents (`removed_bytes` is the net loss); filters drop whole ones."""

    documents: int = 0
    bytes: int = 0
    changed: int = 0
    removed_bytes: int = 0
    dropped: int = 0
    dropped_bytes: int = 0
    examples: list[dict[str, str]] = field(default_factory=list)

    def enter(self, size: int) -> None:
        self.documents += 1
        self.bytes += size

    def change(self, name: str, before: str, after: str, removed: int) -> None:
        """`before` became `after`, which has `removed` bytes fewer."""
        self.changed += 1
        self.removed_bytes += removed
        if len(self.examples) < EXAMPLES:
            same = next((i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), len(after))
            start = max(0, same - _SHOWN // 4)
            self.examples.append(
                {"document": name, "before": _excerpt(before, start), "after": _excerpt(after, start)},
            )

    def drop(self, name: str, text: str, size: int, reason: str) -> None:
        self.dropped += 1
        self.dropped_bytes += size
        if len(self.examples) < EXAMPLES:
            self.examples.append({"document": name, "reason": reason, "text": _excerpt(text, 0)})

    def add(self, other: "Step") -> None:
        self.documents += other.documents
        self.bytes += other.bytes
        self.changed += other.changed
        self.removed_bytes += other.removed_bytes
        self.dropped += other.dropped
        self.dropped_bytes += other.dropped_bytes
        self.examples += other.examples[: EXAMPLES - len(self.examples)]


class Report:
    """The steps in the order in which documents pass them, and notes on anything unusual."""

    def __init__(self) -> None:
        self.steps: dict[str, Step] = {}
        self.notes: list[str] = []

    def step(self, name: str) -> Step:
        return self.steps.setdefault(name, Step())

    def add(self, other: "Report") -> None:
        """Count what another process did as well."""
        for name, step in other.steps.items():
            self.step(name).add(step)

    def to_json(self) -> dict[str, Any]:
        return {"steps": {name: asdict(step) for name, step in self._in_order()}, "notes": self.notes}

    def to_markdown(self) -> str:
        """The table, then the examples of every step that did anything."""
        table = [HEADINGS, ("---", *["---:"] * (len(HEADINGS) - 1)), *rows(self.to_json()["steps"])]
        parts = ["\n".join("| " + " | ".join(row) + " |" for row in table)]
        parts += self.notes
        for name, step in self._in_order():
            if step.examples:
                parts.append(f"## {name}")
                parts += [_shown(example) for example in step.examples]
        return "\n\n".join(parts) + "\n"

    def _in_order(self) -> list[tuple[str, Step]]:
        """A step is made when its first document comes, which may be late."""
        return sorted(self.steps.items(), key=lambda item: _ORDER.index(item[0].partition(":")[0]))


HEADINGS = ("step", "documents", "bytes", "changed", "removed", "dropped", "dropped bytes")


def rows(steps: dict[str, dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    """The table that people see, from the "steps" of a report's JSON; its headings are HEADINGS."""
    for name, step in steps.items():
        yield (
            name,
            f"{step['documents']:,}",
            human(step["bytes"]),
            f"{step['changed']:,}" if step["changed"] else "",
            human(step["removed_bytes"]) if step["changed"] else "",
            f"{step['dropped']:,}" if step["dropped"] else "",
            human(step["dropped_bytes"]) if step["dropped"] else "",
        )


def human(size: int) -> str:
    """A size for people: 999 B, 1.2 kB, 34 MB."""
    value, unit = float(abs(size)), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    digits = f"{value:.1f}" if value < 10 and unit != "B" else f"{value:.0f}"
    return f"{'-' if size < 0 else ''}{digits} {unit}"


def _excerpt(text: str, start: int) -> str:
    return ("…" if start else "") + text[start : start + _SHOWN] + ("…" if start + _SHOWN < len(text) else "")


def _shown(example: dict[str, str]) -> str:
    lines = [f"`{example['document']}`" + (f": {example['reason']}" if "reason" in example else "")]
    lines += [f"{key}: {example[key]!r}" for key in ("before", "after", "text") if key in example]
    return "\n".join(f"- {line}" if i == 0 else f"  - {line}" for i, line in enumerate(lines))

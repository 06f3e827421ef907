"""Pieces of a page in Markdown."""

from collections.abc import Sequence


def table(titles: Sequence[str], rows: Sequence[Sequence[str]], numbers: bool = True) -> str:
    """A table; with `numbers`, all columns but the first stand at the right. Bars in cells are escaped."""
    rule = ["---", *(["---:" if numbers else "---"] * (len(titles) - 1))]
    lines = [titles, rule, *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def fenced(text: str, kind: str = "text") -> str:
    return f"```{kind}\n{text}\n```"


def p_value(p: float | None) -> str:
    """0.03, or <0.001: more digits would claim more than a few runs can know."""
    if p is None:
        return "-"
    return "<0.001" if p < 0.001 else f"{p:.2g}" if p < 0.1 else f"{p:.2f}"


def amount(value: float | int | None) -> str:
    """1,234, 12.3 k, 4.56 M and so on, three digits and a prefix from ten thousand on."""
    if value is None:
        return "-"
    if abs(value) < 1e4:
        return f"{value:,.0f}"
    for size, prefix in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.{3 - len(str(int(abs(value) / size)))}f} {prefix}"
    raise AssertionError("values from ten thousand on have a prefix")

"""Formulas of a page: MathML for browsers, and one line of characters for terminals."""

import html
import re
from collections.abc import Sequence
from typing import Any
from xml.etree.ElementTree import Element, tostring

FORMULA = re.compile(
    r"(?P<code>(?P<ticks>`+).+?(?P=ticks))|\$\$(?P<block>.+?)\$\$|\$(?=\S)(?P<inline>[^$\n]+)(?<=\S)\$(?!\d)", re.DOTALL
)
BELOW = dict(zip("0123456789+-−=()aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ", strict=True))
ABOVE = dict(
    zip("0123456789+-−=()abcdeghijklmnoprstuvwxyzT⊤′", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ᵃᵇᶜᵈᵉᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻᵀᵀ′", strict=True)
)
SPACED = frozenset("=+−·≤≥<>→←∈∣×≈")
FOLLOWED = frozenset(",;:")
ACCENTS = {"^": "\u0302", "¯": "\u0304", "~": "\u0303"}
GAP = "\u2003"
"""Between two formulas in one line."""


def in_one_line(latex: str) -> str:
    """A formula as characters: `\\frac{a+b}{2}` is (a + b)/2. What cannot be read comes back as it is."""
    tree = _tree(latex, "inline")
    if tree is None:
        return latex
    line = re.sub(" +", " ", _row(list(tree)))
    return re.sub(f" *{GAP} *", "   ", re.sub(r" (?=[)\],;:])|(?<=[(\[]) ", "", line)).strip()


def as_mathml(latex: str, display: str) -> str:
    """The same for a browser; `display` is "inline" or "block"."""
    tree = _tree(latex, display)
    return f"<code>{html.escape(latex)}</code>" if tree is None else tostring(tree, encoding="unicode")


def readable(markdown: str) -> str:
    """Markdown with every formula, $…$ or $$…$$, in characters; code stays as it is."""

    def put(found: re.Match[str]) -> str:
        if found["code"]:
            return found[0]
        return f"    {in_one_line(found['block'])}" if found["block"] else in_one_line(found["inline"])

    return FORMULA.sub(put, markdown)


def _tree(latex: str, display: str) -> Element | None:
    from latex2mathml.converter import convert_to_element

    try:
        tree: Element = convert_to_element(" ".join(latex.split()), display=display)
    except Exception:  # it has no exception of its own above all of them
        return None
    for part in tree.iter():
        part.text = html.unescape(part.text) if part.text else part.text
    return tree


def _row(parts: Sequence[Element]) -> str:
    """Side by side; an operator has a space around it unless it is a sign."""
    line, before = "", None
    for part in map(_core, parts):
        said = _said(part)
        if _tag(part) == "mo" and said in SPACED:
            sign = said in "+−" and _begins(line, before)
            said = f" {said} " if not sign else f" {said}" if before is not None and _large(before) else said
        elif said in FOLLOWED:
            said = f"{said} "
        elif _applied(before) and _tag(part) == "mfrac":
            said = f" ({said})"
        elif _apart(before, part, said):
            said = f" {said}"
        line, before = line + said, part
    return line


def _begins(line: str, before: Element | None) -> bool:
    """Whether a plus or minus that comes now is a sign."""
    so_far = line.rstrip(" ")
    return not so_far or so_far[-1] in SPACED | set(f"([,;:{GAP}") or (before is not None and _large(before))


def _apart(before: Element | None, part: Element, said: str) -> bool:
    """Whether a space parts two neighbours: a name and what it is applied to, a fraction and what comes next."""
    if before is None or "mspace" in (_tag(before), _tag(part)):
        return False
    if _large(before):
        return True
    if _applied(before):
        return not said.startswith("(") and _tag(part) != "mo"
    if _tag(before) == "mfrac":
        return said.startswith("(") or _tag(part) != "mo"
    return _tag(before) != "mo" and (_tag(part) == "mfrac" or _applied(part) or _large(part))


def _applied(part: Element | None) -> bool:
    """Whether it is the name of a function: ln, cos, max with something below it."""
    if part is None:
        return False
    base = part[0] if len(part) and _tag(part) in ("msub", "munder") else part
    return _tag(base) in ("mi", "mo") and (base.text or "").isalpha() and len(base.text or "") > 1


def _large(part: Element) -> bool:
    """Whether it is a sum."""
    base = part[0] if len(part) and _tag(part) in ("msub", "munder", "msubsup", "munderover") else part
    return _tag(base) == "mo" and base.text in ("∑", "∏", "∫")


def _core(part: Element) -> Element:
    """Without what only says how large it is drawn."""
    return _core(part[0]) if _tag(part) in ("mstyle", "mrow") and len(part) == 1 else part


def _said(part: Element) -> str:
    name, inner = _tag(part), list(part)
    if name == "mspace":
        return GAP if float(part.get("width", "0em").removesuffix("em")) >= 1 else " "
    if not inner:
        return (part.text or "").lstrip("\\").replace("\u00a0", " ")
    if name == "mfrac":
        return "/".join(_grouped(one) for one in inner)
    if name == "msqrt":
        return f"√{_grouped(part)}"
    if name == "mover":
        return _said(inner[0]) + ACCENTS.get(_said(inner[1]), _said(inner[1]))
    if name in ("msub", "munder"):
        return _said(inner[0]) + _script(inner[1], BELOW, "_")
    if name == "msup":
        return _said(inner[0]) + _script(inner[1], ABOVE, "^")
    if name in ("msubsup", "munderover"):
        return _said(inner[0]) + _script(inner[1], BELOW, "_") + _script(inner[2], ABOVE, "^")
    return _row(inner)


def _script(part: Element, small: dict[str, str], mark: str) -> str:
    """Below or above the line: in small characters if there are all of them, and it is no word."""
    said = _said(part).strip()
    tight = said.replace(" ", "")
    if all(letter in small for letter in tight) and not re.search("[a-z]{3}", tight):
        return "".join(small[letter] for letter in tight)
    return f"{mark}{said}" if re.fullmatch("[A-Za-z0-9]+|.", said) or _wrapped(said) else f"{mark}({said})"


def _grouped(part: Element) -> str:
    """In parentheses, if it is more than one thing."""
    said = (_row(list(part)) if _tag(part) == "msqrt" else _said(part)).strip()
    single = re.fullmatch(r"[^\s/+−·]+", said) or re.fullmatch(r"\w*\([^()]*\)|√\([^()]*\)", said)
    return said if single else f"({said})"


def _wrapped(said: str) -> bool:
    """Whether one pair of parentheses holds all of it."""
    depth = 0
    for place, letter in enumerate(said):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return place == len(said) - 1 and said.startswith("(")
    return False


def _tag(part: Any) -> str:
    return str(part.tag).rpartition("}")[2]

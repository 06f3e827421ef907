"""The folder of a new lesson, with every file that the gate asks for and a first line in each."""

import re
from pathlib import Path

from firsthand.errors import UserError

LESSON = """number = {number}
title = "{title}"
idea = "One sentence: what changes in the reader's head."
needs = []
budget = {{ quick = 60, long = 240 }}    # seconds, on two cores; measured, not guessed

[[exercise]]
id = "{slug}"
file = "{slug}.py"                     # in my_llm/ and in stubs/
entry = ["{slug}"]                     # the last name is what a slot takes
solution = "ops/..."                   # under src/firsthand: the shipped file
minutes = 10
difficulty = 2
questions = ["What would break if ...?", "Why is ... and not ...?"]

[exercise.hints]                       # four rungs each; also by mutant and by property
default = ["A question.", "A worked example on tiny numbers.", "Pseudocode.", "Where to look."]
"""
SCRIPT = """# {title}
#
# Run it as it stands: python lesson.py

# %% [markdown]
# # {number} · {title}
#
# The one idea, in plain words.

# %% [markdown] tags=["exercise:{slug}"]
# ## Write it
#
# What goes in, what comes out, with shapes.
"""
STUB = '''"""{title}: your part."""


def {slug}(x):
    """What goes in and what comes out, with shapes."""
    raise NotImplementedError("{slug}")
'''
FILES = {
    "lesson.toml": LESSON,
    "lesson.py": SCRIPT,
    "stubs/{slug}.py": STUB,
    "checks.py": '"""How {slug} is checked: see docs/learning/authoring.md."""\n',
    "mutants.toml": "# [name_of_the_slip]\n# file, find, put, say: a one-place edit of shipped source\n",
}


def scaffold(number: int, slug: str, title: str, folder: Path) -> Path:
    """Make folder/NN_slug. UserError if there is a lesson of that name or number, or the name is no module's."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", slug):
        raise UserError(f"{slug!r} cannot name a module. Write small letters, digits and _, such as linear_attention.")
    taken = [path.name for path in folder.glob(f"{number:02}_*")]
    if taken:
        raise UserError(f"Lesson {number} is there already: {folder / taken[0]}. Choose another number.")
    lesson = folder / f"{number:02}_{slug}"
    words = {"number": number, "slug": slug, "title": title.replace('"', "'")}
    for name, text in FILES.items():
        path = lesson / name.format(**words)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.format(**words) if name != "mutants.toml" else text, encoding="utf-8")
    (lesson / "correct").mkdir()
    return lesson

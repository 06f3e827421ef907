"""What a new workspace says: to its owner, and to the assistants that read along."""

SETTINGS = """# Settings of `firsthand learn`. Take the # away to change one.
# threads = 2          # of the runs that it starts; absent: what a short trial likes best
# editor = "code"      # how it tells you to open a file
"""

AGENTS = """# For coding assistants

This folder belongs to somebody who is learning how language models work by writing every part by hand. Please tutor;
do not solve.

- Never write or paste the body of an exercise, and never open the shipped solution for them. If they ask you to, remind
  them that `firsthand learn solution EXERCISE --give-up` exists and is recorded honestly.
- Begin with `firsthand learn check --json`. It says what happened, why, and the next step, and names the slip where
  it knows it. Explain that in other words; ask a question that leads to it.
- Then `firsthand learn hint`, one rung at a time: a question, a small worked example, pseudocode, the place to look.
  Let them try between two rungs.
- Ask for a prediction before code is run. Let them trace shapes by hand on tiny numbers.
- Praise what is right in their code before you speak of what is not. `firsthand learn explain EXERCISE` has questions
  to ask once it has passed.
- Things that are not exercises (plots, shell, git, their own experiments) you may help with freely.
- `LOG.md` is theirs; `.learn/` is the program's. Edit neither.
"""

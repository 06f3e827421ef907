"""firsthand learn check, hint, solution, explain: about one exercise."""

import difflib
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from firsthand.cli.learn.common import Name, Where, chosen, opened, say
from firsthand.cli.output import Json, console, emit

if TYPE_CHECKING:
    from firsthand.learn.verdict import Status, Verdict


def check(
    exercise: Name = None,
    every: Annotated[bool, typer.Option("--all", help="Every exercise whose file is there.")] = False,
    seed: Annotated[int, typer.Option(help="Of the numbers that your code is tried on.")] = 0,
    where: Where = None,
    json: Json = False,
) -> None:
    """Grade your file. Exit code: 0 passed, 1 failed, 3 not started, 4 the grader could not say."""
    from firsthand.errors import UserError
    from firsthand.learn import grading, manifest
    from firsthand.learn.verdict import EXIT_CODES

    if every and exercise:
        raise UserError("Give the name of an exercise, or --all, not both.")
    workspace = opened(where)
    found = [one for one in manifest.exercises() if workspace.file(one).exists()] if every else []
    wanted = found if every else [chosen(workspace, exercise)]
    verdicts = []
    for one in wanted:
        verdicts.append(grading.judged(workspace, one, seed))
        if not json:
            show(verdicts[-1], brief=every)
    if json:
        emit([verdict.as_json() for verdict in verdicts] if every else verdicts[0].as_json())
    elif not verdicts:
        say("No file of an exercise is here yet: firsthand learn goto LESSON brings them.")
    raise typer.Exit(EXIT_CODES[max((verdict.status for verdict in verdicts), key=_gravity, default="passed")])


def hint(exercise: Name = None, where: Where = None, json: Json = False) -> None:
    """The next of four rungs: a question, tiny numbers, pseudocode, where to look. It follows your last check."""
    from firsthand.learn.hints import next_hint

    workspace = opened(where)
    one = chosen(workspace, exercise)
    found = next_hint(one, workspace.state().of(one.id))
    if not found.again:
        workspace.record("hint", exercise=one.id, ladder=found.ladder, rung=found.rung)
    if json:
        emit({"exercise": one.id, "ladder": found.ladder, "rung": found.rung, "kind": found.kind, "hint": found.text})
        return
    say(f"{one.id}, hint {found.rung} of 4: {found.kind}", "", f"  {found.text}")
    if found.again:
        say("", f"That was the last one. If it does not help: firsthand learn solution {one.id} --give-up")


def solution(
    exercise: Name = None,
    give_up: Annotated[bool, typer.Option("--give-up", help="Before you have passed; it is noted.")] = False,
    where: Where = None,
    json: Json = False,
) -> None:
    """After a pass: your version beside the shipped one. Before: the shipped one, with --give-up."""
    from firsthand.errors import UserError
    from firsthand.learn.stubs import parts_of

    workspace = opened(where)
    one = chosen(workspace, exercise)
    passed = workspace.state().of(one.id).passed
    if not passed and not give_up:
        raise UserError(
            f"{one.id} has not passed yet. `firsthand learn hint` helps without giving it away. To see the shipped "
            f"code now, which your progress will say: firsthand learn solution {one.id} --give-up"
        )
    workspace.record("solution" if passed else "gave_up", exercise=one.id)
    shipped = parts_of(one.shipped.read_text(encoding="utf-8"), one.entry)
    file = workspace.file(one)
    mine = parts_of(file.read_text(encoding="utf-8"), one.entry) if passed and file.exists() else ""
    names = f"{one.file} (yours)", f"{one.solution} (shipped)"
    lines = difflib.unified_diff(mine.splitlines(), shipped.splitlines(), *names, n=99, lineterm="")
    diff = "\n".join(lines) if mine else ""
    if json:
        emit({"exercise": one.id, "passed": passed, "file": one.solution, "shipped": shipped, "diff": diff})
        return
    _print_code(diff or shipped, "diff" if diff else "python")
    if mine and not diff:
        say(f"Yours is the shipped one, line for line ({one.solution}).")
    if not passed:
        say(f"This is {one.solution}. Close it, and write yours from memory: that is the part that stays.")


def explain(exercise: Name = None, where: Where = None, json: Json = False) -> None:
    """A few short questions about what you built. Your answers go into LOG.md, for you alone."""
    workspace = opened(where)
    one = chosen(workspace, exercise)
    if json:
        emit({"exercise": one.id, "questions": list(one.questions)})
        return
    if not one.questions:
        say(f"{one.id} has no questions. Explain it to somebody: that works as well.")
        return
    answers = [(question, _answer(question)) for question in one.questions]
    given = [(question, answer) for question, answer in answers if answer]
    if given:
        workspace.record("answers", exercise=one.id)
        body = "\n\n".join(f"**{question}**\n\n{answer}" for question, answer in given)
        workspace.log.add(workspace.clock(), f"explained {one.id}", body)
        say("", "Your answers are in LOG.md.")


def show(verdict: "Verdict", brief: bool = False) -> None:
    """A verdict as people read it: the headline, and unless `brief` three lines, the picture and the notes."""
    from rich.text import Text

    from firsthand.learn.grading import headline

    out = console()
    style = {"passed": "bold green", "failed": "bold red"}.get(verdict.status, "bold yellow")
    out.print(Text(headline(verdict), style=style), soft_wrap=True)
    if brief:
        return
    lines = {"What happened": verdict.what, "Why": verdict.why, "Next step": verdict.next}
    for name, words in lines.items():
        if words:
            out.print(Text(f"  {name + ':':<15}") + Text(words), soft_wrap=True)
    if verdict.picture:
        out.print(Text("\n" + verdict.picture), soft_wrap=True)
    for note in verdict.notes:
        out.print(Text(f"  Note: {note}", style="dim"), soft_wrap=True)


def _gravity(status: "Status") -> int:
    return ("passed", "not started", "failed", "error").index(status)


def _answer(question: str) -> str:
    say("", question)
    if not sys.stdin.isatty():
        return sys.stdin.readline().strip()
    return console().input("> ").strip()


def _print_code(text: str, language: str) -> None:
    """With colours on a terminal, as it is elsewhere: so a diff can be piped."""
    out = console()
    if not out.is_terminal:
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
        return
    from rich.syntax import Syntax

    out.print(Syntax(text, language, background_color="default", word_wrap=True))

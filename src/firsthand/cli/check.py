"""firsthand check: does a part keep what every part of its kind promises?"""

import contextlib
import shlex
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firsthand.cli.output import Json, console, emit

if TYPE_CHECKING:
    from firsthand.contracts.finding import Finding
    from firsthand.contracts.part import Part


def check(
    slot: Annotated[str, typer.Argument(metavar="KIND", help="mixer, ffn, position or norm")],
    part: Annotated[
        str, typer.Argument(metavar="PART", help="file.py:Name, '{part: file.py:Name, width: 3}', or a name in a table")
    ],
    json: Json = False,
) -> None:
    """Run every check of the contract on a part of your own, and say in words what is broken."""
    from firsthand import config
    from firsthand.contracts.battery import BATTERIES
    from firsthand.contracts.part import Part
    from firsthand.errors import UserError, suggest

    if slot not in BATTERIES:
        raise UserError(f"There is no contract for {slot!r}. {suggest(slot, BATTERIES)}")
    spec = config.value(part)
    if not isinstance(spec, str | dict):
        raise UserError(f"{part!r} names no part. Write file.py:Name or '{{part: file.py:Name, argument: value}}'.")
    checked = Part(slot, spec)
    findings = _findings(checked, len(BATTERIES[slot]), json)
    kept = sum(finding.passed for finding in findings)
    if json:
        emit([_plain(finding) for finding in findings])
        raise typer.Exit(0 if kept == len(findings) else UserError.exit_code)
    _show(findings)
    if kept < len(findings):
        raised = next((finding.error for finding in findings if finding.error), None)  # --debug shows its way
        raise UserError(f"{checked.name} keeps {kept} of {len(findings)} promises.") from raised
    command = f"firsthand train tiny {shlex.quote(f'model.{slot}={part}')}"
    console().print(f"\n{checked.name} keeps all {kept} promises. Train it:\n  {command}", markup=False, soft_wrap=True)


def _findings(part: "Part", total: int, json: bool) -> "list[Finding]":
    """All of them, with a line that shows how far it is; what the part prints goes to standard error."""
    from firsthand.contracts.battery import run

    findings: list[Finding] = []
    with contextlib.redirect_stdout(sys.stderr), console(json=True).status("", spinner="line") as status:
        for finding in run(part):
            findings.append(finding)
            status.update(f"{finding.check}: {len(findings)} of {total}")
    return findings


def _plain(finding: "Finding") -> dict[str, Any]:
    names = ("check", "promise", "passed", "what", "why", "todo", "where")
    return {name: getattr(finding, name) for name in names}


def _show(findings: "list[Finding]") -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for finding in findings:
        words = Text(finding.promise, style="dim" if finding.passed else "bold")
        if not finding.passed:
            where = f"{finding.where}: " if finding.where else ""
            words.append(f"\n{where}{finding.what}", style="not bold red")
            words.append(f"\n{finding.why}\n{finding.todo}" if finding.why else "", style="not bold")
        mark = Text("kept", "green") if finding.passed else Text("broken", "bold red")
        table.add_row(mark, Text(finding.check, style="cyan"), words)
    console().print(table)

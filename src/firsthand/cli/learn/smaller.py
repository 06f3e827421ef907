"""firsthand learn milestone M7: your model, smaller, with your parts of lesson 15 and with the shipped ones."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firsthand.cli.learn.common import grid, say

if TYPE_CHECKING:
    from firsthand.experiments.smaller import Smaller, Version
    from firsthand.learn.milestones import Milestone
    from firsthand.learn.workspace import Workspace


def smaller(
    workspace: "Workspace", goal: "Milestone", settings: list[str], beside: bool, dry: bool, long: bool, json: bool
) -> dict[str, Any]:
    """Make the versions, measure and draw them, and note the milestone; what `--json` prints."""
    from firsthand.errors import UserError
    from firsthand.learn.milestones import MILESTONES
    from firsthand.learn.mine import lesson_parts

    if settings:
        raise UserError(f"{goal.name} trains by no recipe, so that it takes no settings: leave out {settings[0]}.")
    before = Path("runs") / MILESTONES[str(goal.after)].run
    if not (before / "config.yaml").is_file():
        raise UserError(
            f"{goal.name} makes the model of {goal.after} smaller: firsthand learn milestone {goal.after} first."
        )
    parts = lesson_parts(workspace, goal.lesson)
    if not json:
        say(f"{goal.name}: {goal.title}", f"  of {before}, with {parts.banner}")
    told: dict[str, Any] = {"milestone": goal.name, "model": str(before), "mine": list(parts.mine)}
    if dry:
        return told
    bench = _bench(workspace, before, parts.functions, 4 if long else 1)
    found = {"yours": _made(bench, json, "yours" if parts.mine else "shipped")}
    if not parts.mine:
        found = {"shipped": found["yours"]}
    elif beside:
        shipped = replace(bench, parts=parts.shipped, wanted=frozenset(parts.mine))
        found["shipped"] = _made(shipped, json, "shipped")
    return told | _kept(workspace, goal, found, parts.banner, json)


def _bench(workspace: "Workspace", before: Path, functions: Any, longer: int) -> "Smaller":
    """The model of an earlier milestone, with its parts named again, and the text that it was trained on."""
    import torch

    from firsthand import config
    from firsthand.experiments.corpus import Corpus, open_corpus
    from firsthand.experiments.smaller import Smaller
    from firsthand.learn.mine import built_from, collect
    from firsthand.opened import open_model
    from firsthand.parts import named_again

    torch.set_num_threads(workspace.settings().threads or torch.get_num_threads())
    tree = config.load(before / "config.yaml")
    built = built_from(tree)
    again = [word for word in collect(workspace, built=built).of_the_model if word.partition("=")[0] in built]
    opened = open_model(before, parts=again)
    named = dict(config.setting(word) for word in again)
    fields = {key: named_again(f"model.{key}", spec, named.get(f"model.{key}")) for key, spec in opened.fields.items()}
    corpus = open_corpus(before / "data")
    assert isinstance(corpus, Corpus), "milestones before it are trained on text"
    assert tree.data.batch_tokens is not None, "recipes/learn.yaml sets it"
    return Smaller(opened.model, fields, corpus, tree.data.batch_tokens, functions, longer=longer)


def _made(bench: "Smaller", json: bool, whose: str) -> "list[Version]":
    """All versions, each shown when it is done."""
    found = []
    for one in bench.versions():
        found.append(one)
        if not json:
            say(f"  {whose:8} {one.name:26} {one.bytes / 1000:8,.0f} kB   {one.bits_per_byte:.3f} bits per byte")
    return found


def _kept(
    workspace: "Workspace", goal: "Milestone", found: "dict[str, list[Version]]", banner: str, quiet: bool
) -> dict[str, Any]:
    """In the run's folder, in the log and in the state."""
    from firsthand.experiments.plots import save
    from firsthand.experiments.smaller import front
    from firsthand.experiments.smaller_plot import smaller_picture
    from firsthand.learn.log import table

    folder = Path("runs") / goal.run
    pictures = [str(path) for path in save(smaller_picture(found), folder / "plots", "smaller")]
    told = {name: [one.to_json() for one in versions] for name, versions in found.items()}
    (folder / "smaller.json").write_text(json.dumps(told, indent=1), encoding="utf-8")
    first, *others = found.values()
    other = {one.name: one for versions in others for one in versions}
    best = front(first)
    heading = ("", "kB", *(f"bits/byte, {name}" for name in found), "front")
    rows = [
        (
            one.name,
            f"{one.bytes / 1000:,.0f}",
            f"{one.bits_per_byte:.3f}",
            *([f"{other[one.name].bits_per_byte:.3f}" if one.name in other else "the same"] if others else []),
            "●" if one.name in best else "",
        )
        for one in first
    ]
    workspace.record("milestone", milestone=goal.name, said=banner, run=str(folder), parts=[])
    title = f"milestone {goal.name}: {goal.title}"
    workspace.log.add(workspace.clock(), title, f"{banner}.\n\n{table([heading, *rows])}")
    if not quiet:
        say("")
        grid(rows, heading, right=tuple(range(1, 2 + len(found))))
        say("", "● nothing is both smaller and better.", f"{pictures[0]}. Noted in {workspace.log.path}.")
    return {"run": str(folder), "versions": told, "front": sorted(best), "pictures": pictures}

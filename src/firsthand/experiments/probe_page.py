"""What `firsthand probe` leaves behind: a page of Markdown, the figures as JSON, the picture."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from firsthand.experiments.markdown import fenced, table
from firsthand.experiments.plots import COLOURS, Figure, dashes, figure, save
from firsthand.experiments.probe import Plan, Result, means
from firsthand.parts import PartSpec, split

UNITS = {"recall": "pairs", "copying": "symbols"}


def write_page(folder: Path, results: Sequence[Result], plan: Plan, command: str) -> list[Path]:
    """TASK.md, .json, .png and .svg in `folder`; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = save(accuracy_plot(results, plan), folder, plan.task)
    model = ", ".join(f"{key} {value}" for key, value in plan.model.items())
    words = (
        f"{plan.steps:,} steps of about {plan.batch_tokens:,} tokens, {_named(plan.optimizer)}, {plan.seeds} seed(s)."
    )
    page = [
        f"# {plan.task.capitalize()}",
        f"Share of right answers on {plan.examined} new rows of each size; {model};\n"
        f"trained on all sizes at once, {words}",
        fenced(command, "sh"),
        f"![{plan.task}]({plan.task}.svg)",
        _table(results, plan),
    ]
    (folder / f"{plan.task}.md").write_text("\n\n".join(page) + "\n", encoding="utf-8")
    figures = {"command": command, "plan": asdict(plan), "results": [asdict(result) for result in results]}
    (folder / f"{plan.task}.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return [folder / f"{plan.task}.md", folder / f"{plan.task}.json", *pictures]


def _named(spec: PartSpec) -> str:
    name, arguments = split(spec)
    return " ".join([name, *(f"{key} {value}" for key, value in arguments.items())])


def accuracy_plot(results: Sequence[Result], plan: Plan) -> Figure:
    """A line a mixer through the means, a dot a seed."""
    with figure(7.5, 4.6) as picture:
        axes = picture.add_subplot()
        for number, (mixer, line) in enumerate(means(results).items()):
            colour = COLOURS[number % len(COLOURS)]
            style = {"color": colour, "linewidth": 1.7, "linestyle": dashes(number // len(COLOURS))}
            axes.plot(list(line), list(line.values()), label=mixer, **style)
            for result in results:
                if result.mixer == mixer:
                    axes.plot(list(result.accuracy), list(result.accuracy.values()), ".", color=colour, markersize=5)
        axes.set_xscale("log", base=2)
        axes.set_xticks(plan.sizes, [str(size) for size in plan.sizes])
        axes.set(xlabel=f"{UNITS.get(plan.task, 'size')} to remember", ylim=(-0.03, 1.03))
        axes.set_title(f"{plan.task}: share of right answers")
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8.5)
    return picture


def _table(results: Sequence[Result], plan: Plan) -> str:
    rows = []
    for mixer, line in means(results).items():
        one = next(result for result in results if result.mixer == mixer)
        shares = [f"{line[size]:.1%}" for size in plan.sizes]
        rows.append([f"`{mixer}`", *shares, f"{one.state_numbers:,}", f"{one.parameters:,}"])
    unit = UNITS.get(plan.task, "size")
    return table(["mixer", *(f"{size} {unit}" for size in plan.sizes), "state of a layer", "parameters"], rows)

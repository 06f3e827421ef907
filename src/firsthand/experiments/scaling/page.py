"""The report of `firsthand scaling`: the law, the bet, the picture."""

import functools
from dataclasses import asdict
from pathlib import Path

import numpy as np

from firsthand.experiments.markdown import amount, fenced, table
from firsthand.experiments.plots import COLOURS, Figure, figure, save
from firsthand.experiments.publication import PLOTS, write_report
from firsthand.experiments.scaling import Answer, Member, Study


def write_page(folder: Path, answer: Answer, question: Study, publish: Path | None = None) -> list[Path]:
    """report.md, report.json and plots/ in `folder`; the page and its SVG picture also in `publish`."""
    pictures = save(law_plot(answer), folder / PLOTS, "scaling")
    page = functools.partial(_text, answer, question)
    return write_report(folder, page, to_json(answer, question), pictures, publish)


def to_json(answer: Answer, question: Study) -> dict[str, object]:
    return {
        "command": question.command,
        "machine": answer.machine,
        "law": asdict(answer.fit.law),
        "worst_error_of_the_fit": answer.fit.worst,
        "predicted": answer.predicted,
        "band": list(answer.band),
        "reached": answer.target.point.loss,
        "error": answer.error,
        "family": [asdict(member) for member in answer.family],
        "target": asdict(answer.target),
    }


def sentences(answer: Answer, question: Study) -> list[str]:
    """What was found, in words."""
    law, (low, high), reached = answer.fit.law, answer.band, answer.target.point.loss
    weights, tokens = law.best_split(6 * answer.target.point.weights * answer.target.point.tokens)
    inside = "inside" if low <= reached <= high else "outside"
    return [
        f"The law: loss = {law.e:.3f} + {law.a:.3g} / N^{law.alpha:.3f} + {law.b:.3g} / D^{law.beta:.3f} nats per "
        "token, with N the weights that a token is multiplied with and D the tokens. At the runs it was fitted to it "
        f"is off by at most {answer.fit.worst:.2%}.",
        f"Predicted for {question.key}={answer.target.value} on {amount(answer.target.point.tokens)} tokens: "
        f"{answer.predicted:.4f} nats per token (95% band {low:.4f} to {high:.4f}). Reached: {reached:.4f}, "
        f"{inside} the band; the prediction is off by {answer.error:+.2%}.",
        f"For the arithmetic of that last run the law would rather have {amount(weights)} weights and {amount(tokens)} "
        "tokens.",
    ]


def _text(answer: Answer, question: Study, pictures: str) -> str:
    rows = [_row(member) for member in [*answer.family, answer.target]]
    rows[-1][0] += " (predicted)"
    parts = [
        f"# Scaling: {question.key} from {question.values[0]} to {question.values[-1]}",
        fenced(question.command, "sh"),
        f"{len(rows)} runs · {answer.started} · {answer.machine}",
        "\n".join(f"- {sentence}" for sentence in sentences(answer, question)),
        f"![The law and the runs]({pictures}scaling.svg)",
        table([question.key, "parameters", "weights (N)", "tokens (D)", "nats per token"], rows),
    ]
    return "\n\n".join(parts) + "\n"


def _row(member: Member) -> list[str]:
    point = member.point
    return [
        member.value,
        amount(member.parameters),
        amount(point.weights),
        amount(point.tokens),
        f"{point.loss:.4f}",
    ]


def law_plot(answer: Answer) -> Figure:
    """Loss against size, a line for each amount of data, with its band; the bet and what was reached."""
    everyone = [*answer.family, answer.target]
    least, most = (pick(member.point.weights for member in everyone) for pick in (min, max))
    across = np.geomspace(least * 0.9, most * 1.1, 60)
    with figure(8.0, 5.0) as picture:
        axes = picture.add_subplot()
        for number, tokens in enumerate(sorted({member.point.tokens for member in answer.family})):
            colour = COLOURS[number % len(COLOURS)]
            bands = np.array([answer.fit.band(weights, tokens) for weights in across])
            axes.fill_between(across, bands[:, 0], bands[:, 1], color=colour, alpha=0.15, linewidth=0)
            axes.plot(across, [answer.fit.law.loss(weights, tokens) for weights in across], color=colour, linewidth=1.5)
            own = [member.point for member in answer.family if member.point.tokens == tokens]
            axes.plot(
                [p.weights for p in own], [p.loss for p in own], "o", color=colour, label=f"{amount(tokens)} tokens"
            )
        target = answer.target.point
        axes.plot(target.weights, answer.predicted, "x", color="black", markersize=9, label="predicted")
        axes.plot(target.weights, target.loss, "*", color="black", markersize=11, label="reached")
        axes.set_xscale("log")
        axes.set(xlabel="weights that a token is multiplied with", ylabel="validation loss (nats per token)")
        axes.set_title("The law, fitted to the dots, and its bet on the next size")
        axes.legend(loc="upper right")
    return picture

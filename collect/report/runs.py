"""The tables and sentences that ``compare`` prints of several runs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from collect.analysis import wording
from collect.analysis.precision import MOST_RUNS
from collect.report.table import say

if TYPE_CHECKING:
    from rich.console import Console

    from collect.analysis.components import Components
    from collect.analysis.runs import OverRuns, RunsAnalysis

# Beyond it a percentage says no more than that it is large; larger variances are not converted at all.
MOST_PERCENT = 1000
MOST_VARIANCE = 100.0


def show(console: Console, analysis: RunsAnalysis) -> None:
    """Print the numbers of several runs: each run, the ratio over them, what varies, and what more precision needs."""
    for over in analysis.comparisons:
        console.print(_runs(over))
        console.print(_ratio(over))
        if over.ratio_variation is not None:
            console.print(_variations(over))
            console.print(_needs(over))
        say(console, variation_sentence(over))
    for warning in analysis.warnings:
        say(console, f"warning: {warning}")
    for run, reason in analysis.left_out.items():
        say(console, f"left out: {run}: {reason}")
    for difference in analysis.differences:
        say(console, f"difference: {difference}")
    for over in analysis.comparisons:
        say(console, headline(analysis, over), style="bold")


def headline(analysis: RunsAnalysis, over: OverRuns) -> str:
    """Return what the runs say of a comparison, with what was left out and whether the runs are the same at all."""
    sentence = over.headline
    if analysis.left_out:
        left_out = len(analysis.left_out)
        sentence += f" {wording.count(left_out, 'run')} of {left_out + len(analysis.runs)} left out."
    if analysis.differences:
        sentence += (
            " These are not runs of the same, see the differences above: the ratio is an average over them, and what "
            "varies between runs contains what they change."
        )
    return sentence


def variation_sentence(over: OverRuns) -> str:
    """Return how sure the variation between runs is, in a sentence."""
    variation = over.ratio_variation
    if variation is None:
        return "What varies within runs is unknown: a run needs two repetitions of each scenario."
    return (
        f"From {variation.runs} runs the variation of the ratio between runs is known to lie within "
        f"{percent(variation.run_low)} to {percent(variation.run_high)} (95 %); the table of what is needed takes it "
        f"for {percent(variation.run)}."
    )


def percent(variance: float) -> str:
    """Return a variance of logarithms as a geometric standard deviation, in percent."""
    value = 100 * math.expm1(math.sqrt(variance)) if variance < MOST_VARIANCE else math.inf
    if value > MOST_PERCENT:
        return f"more than {MOST_PERCENT} %"
    return f"{value:.1f} %" if 0.05 <= value < 10 else f"{value:.0f} %"  # noqa: PLR2004


def _runs(over: OverRuns) -> Table:
    table = Table(title=escape(f"{over.subject} against {over.reference}, run by run"), title_justify="left")
    names = ("run", "pairs", "failed", f"{over.subject} (s)", f"{over.reference} (s)", "typical ratio", "95 % interval")
    for name in names:
        table.add_column(escape(name), justify="left" if name == "run" else "right")
    table.add_column("method")
    for of_run in over.runs:
        table.add_row(
            escape(of_run.run),
            str(of_run.pairs),
            str(of_run.failed),
            wording.number(of_run.subject_median_s),
            wording.number(of_run.reference_median_s),
            wording.estimate(of_run.ratio, places=3),
            wording.span(of_run.ratio.low, of_run.ratio.high, places=3),
            wording.method(of_run.ratio),
        )
    return table


def _ratio(over: OverRuns) -> Table:
    table = Table(
        title=escape(f"{over.subject} against {over.reference}, over {wording.count(len(over.runs), 'run')}"),
        title_justify="left",
    )
    for name in ("", "value", "95 % interval", "method"):
        table.add_column(name, justify="right" if name in ("value", "95 % interval") else "left")
    for span in (over.student, over.bootstrap):
        interval = wording.span(span.low, span.high, places=3)
        table.add_row("typical ratio of response times", f"{over.ratio:.3f}", interval, span.method)
    return table


def _variations(over: OverRuns) -> Table:
    table = Table(title="What varies (geometric standard deviation)", title_justify="left")
    for name in ("", "between runs", "95 % interval", "between blocks of a run", "between repetitions"):
        table.add_column(name, justify="left" if not name else "right")
    rows = (
        ("ratio of a pair", over.ratio_variation),
        (f"response time of {over.subject}", over.subject_variation),
        (f"response time of {over.reference}", over.reference_variation),
    )
    for name, variation in rows:
        if variation is not None:
            table.add_row(escape(name), *_variation(variation))
    return table


def _variation(variation: Components) -> tuple[str, str, str, str]:
    return (
        percent(variation.run),
        f"{percent(variation.run_low)} to {percent(variation.run_high)}",
        percent(variation.block) if variation.block is not None else "blocks of one",
        percent(variation.repetition),
    )


def _needs(over: OverRuns) -> Table:
    table = Table(title="Needed for an interval of ± points: runs, or repetitions", title_justify="left")
    runs = wording.count(len(over.runs), "run")
    for name in (
        "± points",
        f"runs of {wording.count(over.repetitions, 'repetition')}",
        f"repetitions of each of {runs}",
    ):
        table.add_column(name, justify="right")
    for need in over.needs:
        table.add_row(
            f"{need.points:g}",
            f"more than {MOST_RUNS}" if need.runs is None else str(need.runs),
            "not with so few runs" if need.repetitions is None else str(need.repetitions),
        )
    return table

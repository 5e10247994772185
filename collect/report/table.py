"""The table that ``analyse`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from collect.analysis import wording
from nodes.errors import printable

if TYPE_CHECKING:
    from rich.console import Console

    from collect.analysis.statistics import Estimate, Summary
    from collect.analysis.summary import Analysis, Comparison, Scenario

# How many failed attempts a terminal shows.
LISTED_FAILURES = 100


def show(console: Console, analysis: Analysis, notes: tuple[str, ...]) -> None:
    """Print a run's numbers: scenarios, comparison, claims, regime, failures."""
    console.print(_scenarios(analysis))
    for comparison in analysis.comparisons:
        console.print(_comparison(comparison))
        for claim in comparison.claims:
            line = Text.assemble((claim.verdict, "bold"), f": {claim.claim} {claim.sentence}")
            console.print(line, soft_wrap=True)
    for sentence in (*_lines(analysis), *unanswered(analysis)):
        say(console, sentence)
    for failure in analysis.failures[:LISTED_FAILURES]:
        again = "measured again" if failure.measured_again else "not a data point"
        where = f"{failure.scenario}, repetition {failure.repetition}, attempt {failure.attempt}"
        say(console, f"failed: {where} ({again}): {failure.error}")
    if len(analysis.failures) > LISTED_FAILURES:
        say(console, f"... and {len(analysis.failures) - LISTED_FAILURES} more, in analysis/summary.json")
    for warning in analysis.warnings:
        say(console, f"warning: {warning}")
    for sentence in thresholds(analysis):
        say(console, sentence)
    for of_failures in analysis.sensitivities:
        say(console, of_failures.sentence)
    for note in notes:
        say(console, f"note: {note}")
    say(console, analysis.headline, style="bold")


def _lines(analysis: Analysis) -> list[str]:
    """Return the regime of each scenario, or what a sweep says along its axes, in sentences."""
    if analysis.sweep is None:
        return [regime_sentence(scenario) for scenario in analysis.scenarios]
    return [line.sentence for line in analysis.sweep.lines if line.sentence]


def thresholds(analysis: Analysis) -> list[str]:
    """Return the thresholds of the scenario file, each with whether the run meets it."""
    return [f"{'met' if one.met else 'NOT MET'}: {one.sentence}" for one in analysis.expectations]


def say(console: Console, sentence: str, style: str = "") -> None:
    """Print a sentence as one line, which a terminal breaks by itself; names in it are never markup."""
    console.print(printable(sentence), soft_wrap=True, highlight=False, markup=False, style=style)


def regime_sentence(scenario: Scenario) -> str:
    """Return which regime a scenario was in, in a sentence."""
    regime = scenario.regime
    if regime is None:
        return f"{scenario.name}: the phases of its requests are not recorded, so its regime is unknown."
    return (
        f"{scenario.name} was {regime.word}: of its response time {wording.percent(regime.network_share)} was network "
        f"and gateway, {wording.percent(regime.compute_share)} compute."
    )


def unanswered(analysis: Analysis) -> list[str]:
    """Return why requests were not answered while events had taken nodes or links away, a sentence a reason."""
    return [
        f"{scenario.name}: not answered: {wording.count(one.requests, 'request')}"
        f"{'' if one.longest_s is None else f', after {wording.number(one.longest_s)} s at most'}: {one.reason}"
        for scenario in analysis.scenarios
        for one in scenario.unanswered
    ]


def _scenarios(analysis: Analysis) -> Table:
    table = Table(title=escape(f"Run {analysis.run}"), title_justify="left")
    for name in ("", "n", "failed", "median", "95 % interval", "coverage", "IQR", "min", "max"):
        table.add_column(name, justify="left" if not name else "right")
    for scenario in analysis.scenarios:
        _row(table, f"{scenario.name}: response time (s)", scenario, scenario.response_s, None)
        for scored in scenario.qualities:
            _row(table, f"{scenario.name}: {scored.measure.name}", scenario, scored.summary, scored.places)
    return table


def _row(table: Table, name: str, scenario: Scenario, summary: Summary, places: int | None) -> None:
    def shown(value: float) -> str:
        return wording.number(value) if places is None else f"{value:.{places}f}"

    table.add_row(
        escape(name),
        str(summary.n),
        str(scenario.failed),
        shown(summary.median),
        wording.median_span(summary, places=places) if summary.interval.low is not None else "none (n < 6)",
        f"{100 * summary.interval.coverage:.1f} %",
        shown(summary.iqr),
        shown(summary.minimum),
        shown(summary.maximum),
    )


def _comparison(comparison: Comparison) -> Table:
    table = Table(title=escape(f"{comparison.subject} against {comparison.reference}"), title_justify="left")
    for name in ("", "value", "95 % interval", "method"):
        table.add_column(name, justify="right" if name in ("value", "95 % interval") else "left")
    for name, estimate, places, signed in estimates(comparison):
        if estimate is not None:
            value = wording.estimate(estimate, places=places, signed=signed)
            interval = wording.span(estimate.low, estimate.high, places=places, signed=signed)
            table.add_row(escape(name), value, interval, wording.method(estimate))
    return table


def estimates(comparison: Comparison) -> list[tuple[str, Estimate | None, int, bool]]:
    """Return a comparison's rows: name, estimate, places after the point, whether the sign is written."""
    return [
        ("typical ratio of response times", comparison.response_pair_ratio, 3, False),
        ("typical difference of response times (s)", comparison.response_pair_difference_s, 3, True),
        ("ratio of median response times", comparison.response_ratio, 3, False),
        ("difference of median response times (s)", comparison.response_difference_s, 3, True),
        ("ratio of response time IQRs", comparison.response_iqr_ratio, 2, False),
        (f"P({comparison.subject} takes as long or longer)", comparison.response_at_least, 3, False),
        *(
            row
            for one in comparison.qualities
            for row in (
                (f"typical difference of {one.measure.name}", one.pair_difference, one.places, True),
                (f"difference of median {one.measure.name}", one.difference, one.places, True),
                (f"ratio of median {one.measure.name}", one.ratio, 4, False),
                (f"ratio of IQRs of {one.measure.name}", one.iqr_ratio, 2, False),
            )
        ),
    ]

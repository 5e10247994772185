"""Numbers as the table and the report write them: rounded, with units and intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collect.analysis.dependence import SIGNIFICANT
from collect.analysis.statistics import SMALLEST_SAMPLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from collect.analysis.dependence import Dependence
    from collect.analysis.statistics import Estimate, MedianInterval, Summary
    from collect.analysis.steady import Steadiness
    from collect.analysis.summary import Scenario

NOTHING = "\N{EN DASH}"
# Below it trailing zeros are dropped.
TINY = 1e-2
# How many names a sentence has at most.
SHOWN = 3


def number(value: float | None, digits: int = 3) -> str:
    """Return a value with so many significant digits, never in powers of ten."""
    if value is None:
        return NOTHING
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits}g}")
    if abs(rounded) >= 10 ** (digits - 1):
        return f"{value:.0f}"
    return f"{rounded:.12f}".rstrip("0").rstrip(".") if abs(rounded) < TINY else _padded(rounded, digits)


def arrived(scenarios: Iterable[Scenario]) -> str:
    """Return what a response time is where requests were not sent together, as a sentence after another one."""
    ways = {scenario.name: scenario.arrived.arrivals for scenario in scenarios if scenario.arrived is not None}
    if not ways:
        return ""
    named = " and ".join(f"{name} ({way})" for name, way in ways.items())
    return (
        f" A repetition's response time of {named} is the median of its requests', each counted from when it was due."
    )


def unanswered(scenarios: Iterable[Scenario]) -> str:
    """Return how many requests failed as a result, as a sentence after another one."""
    counts = [
        f"{sum(reason.requests for reason in one.unanswered)} of {one.requests} requests of {one.name}"
        for one in scenarios
        if one.unanswered
    ]
    if not counts:
        return ""
    return (
        f" {' and '.join(counts)} were not answered, as events had taken nodes or links away; times and qualities are "
        "of the others."
    )


def together(scenarios: Iterable[Scenario]) -> str:
    """Return what a data point is where several base stations measured it, as a sentence after another one."""
    of_several = [(one, one.together) for one in scenarios if one.together is not None]
    if not of_several:
        return ""
    sentence = f" A repetition is what {len(of_several[0][1].base_stations)} base stations measured at the same time"
    if any(scenario.arrived is None for scenario, _ in of_several):
        sentence += ": it lasts from the first request of any to the last reply to any"
    if any(scenario.accuracy is not None for scenario, _ in of_several):
        sentence += ", and the best of all replies gave its model's parameters"
    return sentence + "."


def first(names: Sequence[str]) -> str:
    """Return the first of several names, and how many there are beside them."""
    return "; ".join([*names[:SHOWN], *([f"and {len(names) - SHOWN} more"] if len(names) > SHOWN else [])])


def percent(value: float | None) -> str:
    """Return a share as a percentage without places."""
    return NOTHING if value is None else f"{100 * value:.0f} %"


def unbroken(sentence: str) -> str:
    """Return a sentence in which no line ends between a number and its percent sign."""
    return sentence.replace(" %", "\N{NO-BREAK SPACE}%")


def ranks(interval: MedianInterval) -> str:
    """Return which order statistics bound an interval, and its actual coverage."""
    if interval.low is None:
        return f"no 95 % interval below n = {SMALLEST_SAMPLE}; the range covers {100 * interval.coverage:.1f} %"
    return (
        f"{ordinal(interval.low_rank)} to {ordinal(interval.high_rank)} value, covers {100 * interval.coverage:.1f} %"
    )


def ordinal(rank: int) -> str:
    """Return a rank in English: 1st, 2nd, 3rd, 11th."""
    ending = "th" if rank % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(rank % 10, "th")
    return f"{rank}{ending}"


def count(number: int, noun: str) -> str:
    """Return a number of things: 1 pair, 2 pairs."""
    return f"{number} {noun}{'s' * (number != 1)}"


def span(low: float | None, high: float | None, *, places: int | None = None, signed: bool = False) -> str:
    """Return an interval, or a dash where there is none; ``places`` after the point, by default three digits."""
    if low is None or high is None:
        return NOTHING
    if places is None:
        return f"{number(low)} to {number(high)}"
    sign = "+" if signed else ""
    return f"{low:{sign}.{places}f} to {high:{sign}.{places}f}"


def median_span(summary: Summary, *, places: int | None = None) -> str:
    """Return the interval of a summary's median."""
    return span(summary.interval.low, summary.interval.high, places=places)


def estimate(comparison: Estimate | None, *, places: int, signed: bool = False, unit: str = "") -> str:
    """Return a comparison's value with its unit."""
    if comparison is None or comparison.value is None:
        return NOTHING
    return f"{comparison.value:{'+' if signed else ''}.{places}f}{unit}"


def method(comparison: Estimate | None) -> str:
    """Return how a comparison's interval was computed, or why there is none."""
    if comparison is None:
        return NOTHING
    if comparison.no_interval_because is not None:
        return f"no interval: {comparison.no_interval_because}"
    return comparison.method


def dependence(subject: str, seen: Dependence, interval: str) -> str:
    """Return in a sentence what depends on what, and by how much an interval is too narrow for it."""
    reasons = []
    if seen.blocks_p is not None and seen.blocks_p < SIGNIFICANT:
        reasons.append(f"correlation within blocks {seen.icc:.2f}, Kruskal-Wallis p = {seen.blocks_p:.1g}")
    if seen.lag_1_p is not None and seen.lag_1_p < SIGNIFICANT:
        reasons.append(f"correlation of neighbours {seen.lag_1:.2f}, p = {seen.lag_1_p:.1g}")
    return (
        f"{subject} depend on when they were measured ({'; '.join(reasons)}): {interval} is too narrow, by a factor of "
        f"about {seen.too_narrow:.1f}."
    )


def steadiness(scenario: str, seen: Steadiness) -> str:
    """Return in a sentence how the first repetitions of a scenario were unlike the rest, and what to do."""
    first, verb = ("repetition", "was") if seen.first == 1 else (f"{seen.first} repetitions", "were")
    direction = "slower" if seen.median_first > seen.median_rest else "faster"
    return (
        f"The first {first} of {scenario} {verb} {direction} than the rest (median {number(seen.median_first)} s "
        f"against {number(seen.median_rest)} s, p = {seen.p:.1g}): {scenario} was not in a steady state. They count; "
        f"for the next run raise warmups in the scenario file by {seen.first} or more."
    )


def _padded(value: float, digits: int) -> str:
    """Return a value with trailing zeros, so that 0.5 and 0.512 show the same precision."""
    places = 0
    while abs(value) * 10**places < 10 ** (digits - 1) and places < digits + 2:
        places += 1
    return f"{value:.{places}f}"

"""Whether a run meets the thresholds that its scenario file expects. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from collect.analysis import claims, quality, wording

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from collect.analysis.summary import Comparison, Scenario
    from collect.expect import Expect

# How many significant digits of a median stand beside its threshold.
DIGITS = 4


@dataclass(frozen=True, slots=True)
class Expectation:
    """One threshold: whether the run meets it, and with which number, in a sentence."""

    met: bool
    sentence: str


def judge(
    expect: Expect, scenarios: Sequence[Scenario], compared: Sequence[Comparison], without: Sequence[str]
) -> tuple[Expectation, ...]:
    """Return each threshold with what the run says to it.

    Args:
        expect: the thresholds.
        scenarios: those with a finished repetition.
        compared: each against the reference.
        without: the names of the scenarios without a finished repetition: all their repetitions failed.
    """
    return (
        *_failures(expect, scenarios, without),
        *_ratios(expect, compared),
        *_qualities(expect, scenarios),
        *_claims(expect, compared),
    )


def _failures(expect: Expect, scenarios: Sequence[Scenario], without: Sequence[str]) -> Iterator[Expectation]:
    limit = expect.max_failed_percent
    if limit is None:
        return
    for scenario in scenarios:
        side = scenario.with_failures
        seen = f"{scenario.failed} of {side.repetitions} repetitions of {scenario.name} failed"
        yield Expectation(side.failed_percent <= limit, f"{seen} ({side.failed_percent:.3g} %; at most {limit:g} %).")
    for name in without:
        yield Expectation(limit >= 100, f"No repetition of {name} finished (at most {limit:g} % may fail).")  # noqa: PLR2004


def _ratios(expect: Expect, compared: Sequence[Comparison]) -> Iterator[Expectation]:
    by_name = {comparison.subject: comparison for comparison in compared}
    for name, limit in expect.max_time_ratio.items():
        comparison = by_name.get(name)
        ratio = comparison.response_pair_ratio if comparison is not None else None
        if comparison is None or ratio is None or ratio.value is None:
            yield Expectation(met=False, sentence=_not_compared(name, f"a ratio of at most {limit:g}"))
            continue
        span = wording.span(ratio.low, ratio.high, places=3)
        interval = f"95 % interval: {span}" if ratio.low is not None else "no interval"
        yield Expectation(
            ratio.value <= limit,
            f"The response time of {name} is typically {ratio.value:.3f} times that of {comparison.reference} "
            f"({interval}; at most {limit:g}).",
        )


def _qualities(expect: Expect, scenarios: Sequence[Scenario]) -> Iterator[Expectation]:
    measured = {(scenario.name, one.measure.name): one.summary for scenario in scenarios for one in scenario.qualities}
    accuracies = {name: {quality.TEST_ACCURACY.name: limit} for name, limit in expect.min_accuracy.items()}
    for by_scenario, is_least in ((accuracies, True), (expect.min_quality, True), (expect.max_quality, False)):
        for name, limits in by_scenario.items():
            for measure, limit in limits.items():
                bound = f"at {'least' if is_least else 'most'} {limit:g}"
                values = measured.get((name, measure))
                if values is None:
                    yield Expectation(met=False, sentence=f"{name} has no {measure} ({bound}).")
                    continue
                seen = f"The median {measure} of {name} is {wording.number(values.median, DIGITS)} ({bound})."
                yield Expectation(values.median >= limit if is_least else values.median <= limit, seen)


def _claims(expect: Expect, compared: Sequence[Comparison]) -> Iterator[Expectation]:
    by_name = {comparison.subject: {claim.name: claim for claim in comparison.claims} for comparison in compared}
    references = {comparison.subject: comparison.reference for comparison in compared}
    for subject, names in expect.claims.items():
        for name in names:
            claim = by_name.get(subject, {}).get(name)
            if claim is None:
                judged = references.get(subject) is None or claims.is_papers(subject, references[subject])
                sentence = _not_compared(subject, f"the claim {name}") if judged else _turned_round(subject, name)
                yield Expectation(met=False, sentence=sentence)
                continue
            yield Expectation(claim.verdict == "holds", f"Claim {name} of {subject}: {claim.verdict}. {claim.sentence}")


def _turned_round(subject: str, name: str) -> str:
    return (
        f"Claim {name} of {subject}: not judged, because the paper's claims compare its edge with its cloud, and here "
        f"{subject} was compared the other way round."
    )


def _not_compared(name: str, expected: str) -> str:
    return f"{name} could not be compared with a reference (expected: {expected})."

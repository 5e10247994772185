"""A run in numbers: scenarios, their comparison with the reference, the paper's claims, and ``summary.json``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from collect.analysis import (
    base_stations,
    beginning,
    claims,
    estimators,
    expectations,
    phases,
    quality,
    sample,
    sensitivity,
    statistics,
    unanswered,
    wording,
)
from collect.analysis import (
    sweep as sweeps,
)
from collect.analysis import traffic as sending
from collect.analysis.arrived import Arriving
from collect.analysis.dependence import dependence
from collect.analysis.repetitions import paired, started
from collect.analysis.rescaling import rescale
from collect.analysis.starts import Cold
from collect.analysis.transport import Carried
from collect.errors import CollectError
from collect.records import TOGETHER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from collect.analysis.arrived import Arrived
    from collect.analysis.base_stations import Together
    from collect.analysis.claims import Claim
    from collect.analysis.dependence import Dependence
    from collect.analysis.expectations import Expectation
    from collect.analysis.phases import Regime
    from collect.analysis.quality import Compared, Scored
    from collect.analysis.repetitions import Failure, Measurements, Repetition
    from collect.analysis.rescaling import Rescaling
    from collect.analysis.sensitivity import Sensitivity, Side
    from collect.analysis.starts import Starts, States
    from collect.analysis.statistics import Estimate, Summary
    from collect.analysis.steady import Steadiness
    from collect.analysis.sweep import Sweeping
    from collect.analysis.traffic import Paths, Traffic
    from collect.analysis.transport import Transport
    from collect.analysis.unanswered import Unanswered
    from collect.expect import Expect
    from collect.sweep import Sweep

SCHEMA_VERSION = 2
# How many warnings of single points a sweep has.
WARNINGS = 5
# How many scenarios the headline compares with the reference; a sentence each.
HEADLINES = 3


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario of a run; ``response_s`` in seconds, ``qualities`` by each measure that its repetitions have.

    ``repetitions`` are those that count. ``failed`` ones are no data points, and neither are ``unpaired`` ones, whose
    partner failed; ``measured_again`` counts attempts that a later one took the place of. ``steadiness`` is whether the
    first repetitions were like the rest, ``None`` where there are too few, or several base stations, or blocks.
    ``arrived`` are its requests where these were not sent together, and ``together`` is what each of several base
    stations measured. ``requests`` is how many its repetitions have, ``unanswered`` those of them that failed as a
    result, by their reasons. ``starts`` are its cold starts, where a cluster told of them.
    """

    name: str
    repetitions: int
    failed: int
    unpaired: int
    measured_again: int
    with_failures: Side
    response_s: Summary
    dependence: Dependence
    steadiness: Steadiness | None
    qualities: tuple[Scored, ...]
    regime: Regime | None
    transport: Transport
    traffic: Traffic
    arrived: Arrived | None = None
    together: Together | None = None
    requests: int = 0
    unanswered: tuple[Unanswered, ...] = ()
    starts: Starts | None = None

    @property
    def accuracy(self) -> Summary | None:
        """The study's test accuracy, ``None`` where no final model was trained."""
        return next((one.summary for one in self.qualities if one.measure == quality.TEST_ACCURACY), None)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A scenario against the reference.

    The estimates of pairs are those that headline and claims use; the others compare the medians of all repetitions.
    ``claims`` are the paper's, and there are none where the cloud is compared with the edge.
    ``dependence`` is that of the pairs' ratios, ``None`` where there are no pairs or they were measured in blocks.
    ``steadiness`` is that of the ratios; ``without_first`` is the typical ratio without the first pairs, as many as
    were unlike the rest in either scenario or in the ratio, ``None`` where all were like the rest.
    """

    subject: str
    reference: str
    pairs: int
    paired: bool
    response_pair_ratio: Estimate
    response_pair_difference_s: Estimate
    response_ratio: Estimate
    response_difference_s: Estimate
    response_iqr_ratio: Estimate
    response_at_least: Estimate
    qualities: tuple[Compared, ...]
    dependence: Dependence | None
    steadiness: Steadiness | None
    without_first: Estimate | None
    claims: tuple[Claim, ...]
    rescaling: Rescaling | None


@dataclass(frozen=True, slots=True)
class Analysis:
    """All numbers of a run.

    ``problems`` are why the run is refused: then they are its ``headline``, and what was ``measured`` is not a result.
    Of a ``sweep`` the points are compared along its axes, and there are no ``comparisons``.
    """

    run: str
    scenarios: tuple[Scenario, ...]
    comparisons: tuple[Comparison, ...]
    without_repetitions: tuple[str, ...]
    failures: tuple[Failure, ...]
    warmups: int
    headline: str
    measured: str
    problems: tuple[str, ...]
    sensitivities: tuple[Sensitivity, ...]
    failed_percent: float
    warnings: tuple[str, ...]
    expectations: tuple[Expectation, ...] = ()
    sweep: Sweeping | None = None


def analyse(
    run: str,
    measurements: Measurements,
    reference: str | None = None,
    *,
    problems: Sequence[str] = (),
    warnings: Sequence[str] = (),
    failed_percent: float = sensitivity.FAILED_PERCENT,
    expect: Expect | None = None,
    paths: Paths | None = None,
    pods: Mapping[str, States] | None = None,
    sweep: Sweep | None = None,
) -> Analysis:
    """Return a run's numbers.

    Args:
        run: its id.
        measurements: what it measured.
        reference: what the other scenarios are compared with, by default ``cloud``, else the last.
        problems: why what was measured is not a result, in sentences.
        warnings: what a reader has to know before the numbers, in sentences; those of the analysis follow.
        failed_percent: claims are undecided where more than this share of a scenario's repetitions failed.
        expect: thresholds that the run is held to.
        paths: what the verification measured between base stations and nodes.
        pods: when replicas of a cluster came to their states, by their names.
        sweep: its axes and points, where the run is a sweep; then ``reference`` is one of its scenarios.

    Raises:
        CollectError: the reference is not among the scenarios that have a finished repetition.
    """
    finished = {name: repetitions for name, repetitions in measurements.scenarios.items() if repetitions}
    if sweep is not None:  # in the order of its axes
        finished = {name: finished[name] for name in (*sweep.points, *finished) if name in finished}
    swept = sweeps.sweeping(sweep, finished, reference, claims.CLOUD) if sweep is not None else None
    if swept is None and reference is not None and reference not in finished:
        known = ", ".join(finished)
        raise CollectError(f"Scenario {reference!r} has no finished repetition in {run}. Expected one of: {known}.")
    against = reference if reference in finished else claims.CLOUD if claims.CLOUD in finished else list(finished)[-1]
    scenarios = tuple(
        _scenario(name, repetitions, measurements, paths or {}, pods or {}) for name, repetitions in finished.items()
    )
    by_name = {scenario.name: scenario for scenario in scenarios}
    compared = tuple(
        _judged(
            _compare(finished[scenario.name], finished[against], scenario, by_name[against]),
            (scenario, by_name[against]),
            problems,
            failed_percent,
        )
        for scenario in scenarios
        if swept is None and scenario.name != against and _comparable(scenario, by_name[against])
    )
    without = tuple(name for name in measurements.scenarios if name not in finished)
    headline = _headline(scenarios, compared, without) if swept is None else swept.headline or _extremes(scenarios)
    measured = headline + _unfinished(without, measurements) + _counts(scenarios) + wording.unanswered(scenarios)
    measured += wording.arrived(scenarios) + wording.together(scenarios)
    return Analysis(
        run=run,
        scenarios=scenarios,
        comparisons=compared,
        without_repetitions=without,
        failures=measurements.failures,
        warmups=measurements.warmups,
        headline=_refused(problems) if problems else measured,
        measured=measured,
        problems=tuple(problems),
        sensitivities=tuple(
            of_failures
            for comparison in compared
            if (
                of_failures := sensitivity.sensitivity(
                    by_name[comparison.subject].with_failures, by_name[comparison.reference].with_failures
                )
            )
        ),
        failed_percent=failed_percent,
        warnings=(
            *warnings,
            *(_not_compared(scenarios, by_name[against]) if swept is None else swept.notes),
            *_fewer(tuple(_warnings(scenarios, compared)), is_sweep=swept is not None),
        ),
        expectations=expectations.judge(expect, scenarios, compared, without) if expect is not None else (),
        sweep=swept,
    )


def to_json(analysis: Analysis) -> str:
    """Return ``summary.json``: the analysis and its method, the same bytes for the same records."""
    data: dict[str, Any] = {
        "schema": SCHEMA_VERSION,
        "method": {
            "median_interval": "order statistics, exact coverage given",
            "quartiles": "linear interpolation (type 7); of ratios of IQRs Harrell-Davis",
            "p90_p99": "linear interpolation (type 7); order statistics, none below 36 and 368 values",
            "upload_bounds": "slow start from 10 segments (RFC 5681, RFC 6928); MSS / RTT * sqrt(3 / 2p) (Mathis)",
            "pairs": "Hodges-Lehmann, signed ranks; in blocks the mean of rounds, Student; else rank sums",
            "iqr_ratio": "jackknife of the logarithm over pairs, or rounds of blocks",
            "share_at_least": "Clopper-Pearson",
            "crossings": "times of a repetition interpolated linearly along the axis; test inversion",
            "bootstrap": {
                "method": "percentile",
                "confidence": estimators.CONFIDENCE,
                "resamples": statistics.RESAMPLES,
                "seed": statistics.SEED,
            },
        },
        **asdict(analysis),
    }
    return json.dumps(data, indent=2, allow_nan=False) + "\n"


def _scenario(
    name: str,
    repetitions: Sequence[Repetition],
    measurements: Measurements,
    paths: Paths,
    pods: Mapping[str, States],
) -> Scenario:
    unpaired = [repetition for repetition in measurements.unpaired if repetition.scenario == name]
    own = [failure for failure in measurements.failures if failure.scenario == name and not failure.warmup]
    failed = measurements.failed(name)
    # The requests are unpacked once: there may be a million.
    carried, sent, timed, cold = Carried(), sending.Sent(), phases.Timed(), Cold()
    arrivals = {repetition.arrivals for repetition in repetitions} - {TOGETHER}
    arriving = Arriving(", ".join(sorted(arrivals))) if arrivals else None
    for repetition in repetitions:
        requests = list(repetition.requests)
        # With several base stations or sites there may be more requests than replicas, as planned.
        is_single = not repetition.parts and all(request.site is None for request in requests)
        carried.add(requests, together=arriving is None and is_single)
        sent.add(repetition.response_s, requests, together=arriving is None)
        cold.add(requests)
        if arriving is not None:
            arriving.add(requests)
        for waited_for in [requests] if arriving is None else [[request] for request in requests]:
            timed.add(waited_for)
    return Scenario(
        name=name,
        repetitions=len(repetitions),
        failed=failed,
        unpaired=len(unpaired),
        measured_again=sum(failure.measured_again for failure in own),
        with_failures=sensitivity.side(name, [r.response_s for r in (*repetitions, *unpaired)], failed),
        response_s=statistics.summarise([repetition.response_s for repetition in repetitions]),
        dependence=_dependence(repetitions),
        steadiness=beginning.steadiness(repetitions),
        qualities=quality.scored(repetitions),
        regime=phases.regime(timed.parts),
        transport=carried.transport,
        traffic=sent.traffic(paths),
        arrived=arriving.arrived() if arriving is not None else None,
        together=base_stations.together(repetitions),
        requests=sum(len(r.requests) + len(r.unanswered) for r in repetitions),
        unanswered=unanswered.by_reason(one for r in repetitions for one in r.unanswered),
        starts=cold.starts(pods),
    )


def _compare(
    subject: Sequence[Repetition], reference: Sequence[Repetition], of_subject: Scenario, of_reference: Scenario
) -> Comparison:
    pairs = paired(subject, reference)
    # Scenarios of one run pair up almost entirely. Where fewer than half do, dropping the rest costs more than pairing.
    by_pairs = 2 * len(pairs[0]) >= min(len(subject), len(reference))
    ours, theirs = pairs if by_pairs else (subject, reference)
    times = sample.sample(ours, theirs, lambda r: r.response_s, paired=by_pairs)
    qualities = quality.compared(ours, theirs, paired=by_pairs)
    names = of_subject.name, of_reference.name
    ratio, spread = sample.ratio(times), sample.spread_ratio(times)
    at_least = sample.share_at_least(times)
    medians = of_subject.response_s, of_reference.response_s
    judged = [claims.faster(*names, ratio), claims.more_spread(*names, spread, medians)]
    judged.append(claims.at_times_slower(*names, at_least))
    of_ratio = beginning.steadiness(ours, theirs) if by_pairs else None
    for one in qualities:
        if one.measure == quality.TEST_ACCURACY:
            test_texts = min(r.test_texts for r in (*ours, *theirs))
            judged.append(claims.same_accuracy(*names, one.pair_difference, test_texts))
            judged.append(claims.less_predictable(*names, one.iqr_ratio))
    return Comparison(
        subject=names[0],
        reference=names[1],
        pairs=len(pairs[0]),
        paired=by_pairs,
        response_pair_ratio=ratio,
        response_pair_difference_s=sample.difference(times),
        response_ratio=sample.medians("median ratio", times),
        response_difference_s=sample.medians("median difference", times),
        response_iqr_ratio=spread,
        response_at_least=at_least,
        qualities=qualities,
        dependence=_dependence(ours, theirs) if by_pairs and not times.in_blocks else None,
        steadiness=of_ratio,
        without_first=beginning.without(pairs, (of_subject.steadiness, of_reference.steadiness, of_ratio)),
        # The paper's requests go together, from one base station.
        claims=tuple(judged) if claims.is_papers(*names) and not of_subject.arrived and not of_subject.together else (),
        # How long requests wait for each other is not known for another speed.
        rescaling=None
        if of_subject.arrived or of_reference.arrived or of_subject.together
        else rescale(ours, theirs, paired=by_pairs, papers=claims.is_papers(*names)),
    )


def _comparable(one: Scenario, other: Scenario) -> bool:
    """Return whether the response times of two scenarios are of a kind: of all requests, or of single ones."""
    return (one.arrived is None) == (other.arrived is None)


def _not_compared(scenarios: Sequence[Scenario], reference: Scenario) -> Iterator[str]:
    for scenario in scenarios:
        if not _comparable(scenario, reference):
            ways = [one.arrived.arrivals if one.arrived else TOGETHER for one in (scenario, reference)]
            yield (
                f"{scenario.name} is not compared with {reference.name}: its requests arrived as '{ways[0]}', those of "
                f"{reference.name} as '{ways[1]}', so the response times of one are those of "
                "single requests and of the other those of all together."
            )


def _dependence(repetitions: Sequence[Repetition], reference: Sequence[Repetition] | None = None) -> Dependence:
    """Return how far response times, or their differences from the reference's, depend on each other."""
    of_reference = [0.0] * len(repetitions) if reference is None else [r.response_s for r in reference]
    measured = sorted(zip(repetitions, of_reference, strict=True), key=lambda pair: started(pair[0]))
    values = [repetition.response_s - other for repetition, other in measured]
    return dependence(values, [(repetition.base_station, repetition.block) for repetition, _ in measured])


def _fewer(sentences: tuple[str, ...], *, is_sweep: bool) -> Iterator[str]:
    """Yield warnings, of a sweep not those of every single point."""
    kept = sentences[:WARNINGS] if is_sweep else sentences
    yield from kept
    if len(sentences) > len(kept):
        yield (
            f"{len(sentences) - len(kept)} more warnings of single points are left out here: analysis/summary.json has "
            "the dependence, steadiness and traffic of each."
        )


def _warnings(scenarios: Sequence[Scenario], compared: Sequence[Comparison]) -> Iterator[str]:
    """Yield what makes an interval too narrow or a median one of two kinds, and first repetitions unlike the rest."""
    for scenario in scenarios:
        if scenario.dependence.too_narrow > 1:
            yield wording.dependence(
                f"The response times of {scenario.name}", scenario.dependence, "the interval of their median"
            )
        yield from _of_traffic(scenario)
    for comparison in compared:
        if comparison.dependence is not None and comparison.dependence.too_narrow > 1:
            what = f"The differences between {comparison.subject} and {comparison.reference}"
            yield wording.dependence(what, comparison.dependence, "the interval of their comparison")
    for scenario in scenarios:
        if scenario.steadiness is not None and not scenario.steadiness.steady:
            yield wording.steadiness(scenario.name, scenario.steadiness)
    for comparison in compared:
        if comparison.without_first is not None:
            yield beginning.sentence(
                (comparison.subject, comparison.reference),
                comparison.steadiness,
                comparison.response_pair_ratio,
                comparison.without_first,
            )


def _of_traffic(scenario: Scenario) -> Iterator[str]:
    warm, cold, skew = scenario.traffic.warm_s, scenario.traffic.cold_s, scenario.traffic.skew_ms
    if warm is not None and cold is not None:
        yield (
            f"{cold.n} of {cold.n + warm.n} repetitions of {scenario.name} met a cold replica (median "
            f"{wording.number(cold.median)} s, warm {wording.number(warm.median)} s): its numbers are of both together."
        )
    if skew is not None and skew.median / 1000 > sending.LARGE_SKEW * scenario.response_s.median:
        yield (
            f"The parallel requests of {scenario.name} were not sent at the same time: the last left "
            f"{wording.number(skew.median)} ms after the first (median), which is part of the response time."
        )


def _judged(
    comparison: Comparison, scenarios: tuple[Scenario, Scenario], problems: Sequence[str], failed_percent: float
) -> Comparison:
    """Return a comparison whose claims are undecided where the run is refused or too many repetitions failed."""
    reasons = ["the run is refused"] if problems else []
    reasons += [
        f"{scenario.failed} of {scenario.with_failures.repetitions} repetitions of {scenario.name} failed, more than "
        f"{failed_percent:g} %"
        for scenario in scenarios
        if scenario.with_failures.failed_percent > failed_percent
    ]
    if reasons:
        judged = tuple(claims.withheld(claim, " and ".join(reasons)) for claim in comparison.claims)
    else:
        counts = _counts(scenarios)
        judged = tuple(replace(claim, sentence=claim.sentence + counts) for claim in comparison.claims)
    return replace(comparison, claims=judged)


def _unfinished(names: Sequence[str], measurements: Measurements) -> str:
    """Return which scenarios have nothing that counts, as a sentence after another one."""
    if not names:
        return ""
    shown = [f"{name} ({measurements.failed(name)} failed)" for name in names[:HEADLINES]]
    more = len(names) - len(shown)
    shown += [wording.count(more, "more scenario")] if more else []
    return f" No repetition of {', '.join(shown)} finished."


def _counts(scenarios: Sequence[Scenario]) -> str:
    """Return how many repetitions count where some do not, as a sentence after another one."""
    if not any(scenario.failed or scenario.unpaired for scenario in scenarios):
        return ""
    failed = [
        f"{scenario.failed} of {scenario.with_failures.repetitions} repetitions of {scenario.name} failed"
        for scenario in scenarios
        if scenario.failed
    ]
    counted = [
        f"{scenario.repetitions} of {scenario.with_failures.repetitions} of {scenario.name}" for scenario in scenarios
    ]
    return f" {'; '.join([*failed, ' and '.join(counted) + ' count'])}."


def _refused(problems: Sequence[str]) -> str:
    return f"Refused: {' '.join(problems)} What was measured is not a result."


def _extremes(scenarios: Sequence[Scenario]) -> str:
    """Return the fastest and the slowest point of a sweep in which nothing is compared."""
    fast, slow = (choose(scenarios, key=lambda one: one.response_s.median) for choose in (min, max))
    return (
        f"Of {wording.count(len(scenarios), 'point')} {fast.name} had the lowest median response time, "
        f"{wording.number(fast.response_s.median)} s, and {slow.name} the highest, "
        f"{wording.number(slow.response_s.median)} s."
    )


def _headline(scenarios: Sequence[Scenario], compared: Sequence[Comparison], without: Sequence[str]) -> str:
    if not compared:
        only = scenarios[0]
        qualities = "".join(
            f", its median {one.measure.name} {wording.number(one.summary.median)}" for one in only.qualities
        )
        times = f"{only.repetitions} repetition{'s' * (only.repetitions > 1)}"
        why = "No other scenario can be compared with it."
        if len(scenarios) == 1 and not without:
            why = "The run has one scenario, so there is no comparison."
        return (
            f"The median response time of {only.name} was {wording.number(only.response_s.median)} s{qualities} "
            f"({times}). {why}"
        )
    by_name = {scenario.name: scenario for scenario in scenarios}
    sentences = [_against(one, by_name[one.subject], by_name[one.reference]) for one in compared[:HEADLINES]]
    more = len(compared) - len(sentences)
    if more:
        sentences.append(f"{wording.count(more, 'more scenario')} {'is' if more == 1 else 'are'} compared below.")
    return " ".join(sentences)


def _against(one: Comparison, subject: Scenario, reference: Scenario) -> str:
    """Return the comparison of one scenario with the reference, as a sentence."""
    ratio = one.response_pair_ratio
    interval = ""
    if ratio.low is not None and ratio.high is not None:
        interval = f"95 % interval: {claims.lower_span(ratio.low, ratio.high)}; "
    compared_with = "could not be compared with"
    if ratio.value is not None:
        compared_with = f"was typically {claims.compared(ratio.value)}"
    medians = f"{wording.number(subject.response_s.median)} s against {wording.number(reference.response_s.median)} s"
    sentence = (
        f"The response time of {subject.name} {compared_with} that of {reference.name} ({interval}medians {medians})"
    )
    by_measure = [{one.measure: one for one in scenario.qualities} for scenario in (subject, reference)]
    others = [quality.headline(measure, *(of[measure.measure] for of in by_measure)) for measure in one.qualities]
    return "; ".join([sentence, *others]) + "."

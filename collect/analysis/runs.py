"""Several runs of the same scenarios in numbers: the ratio over runs, what varies between them, what is needed."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from collect.analysis import between_runs, claims, estimators, sample, statistics
from collect.analysis.components import components
from collect.analysis.precision import needs
from collect.analysis.repetitions import ordered, paired
from collect.analysis.sensitivity import FAILED_PERCENT
from collect.errors import CollectError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from collect.analysis.components import Components
    from collect.analysis.estimators import Values
    from collect.analysis.precision import Need
    from collect.analysis.repetitions import Measurements, Repetition
    from collect.analysis.sample import Sample
    from collect.analysis.statistics import Estimate

SCHEMA_VERSION = 1
FEWEST_RUNS = 2
# Below it the bootstrap over runs is too narrow where runs differ (docs/benchmarks.md).
ENOUGH_FOR_BOOTSTRAP = 10


@dataclass(frozen=True, slots=True)
class OfRun:
    """What one run says of a comparison; medians in seconds, over the pairs that count."""

    run: str
    pairs: int
    rounds: int
    failed: int
    subject_median_s: float
    reference_median_s: float
    ratio: Estimate


@dataclass(frozen=True, slots=True)
class Span:
    """An interval of the ratio over runs, and how it was computed."""

    low: float
    high: float
    method: str


@dataclass(frozen=True, slots=True)
class OverRuns:
    """A scenario against the reference over several runs; ``ratio`` is the geometric mean of the runs' typical ratios.

    ``student`` is the interval that the headline uses, ``bootstrap`` the hierarchical one. The variations are those of
    logarithms of pairs' ratios and of either scenario's response times, ``None`` where runs have one repetition each.
    ``needs`` is for runs of ``repetitions`` each.
    """

    subject: str
    reference: str
    runs: tuple[OfRun, ...]
    ratio: float
    student: Span
    bootstrap: Span
    ratio_variation: Components | None
    subject_variation: Components | None
    reference_variation: Components | None
    repetitions: int
    needs: tuple[Need, ...]
    headline: str


@dataclass(frozen=True, slots=True)
class RunsAnalysis:
    """All numbers of several runs.

    ``left_out`` are the runs that do not count, by id with the reason; ``differences`` is in what those that count
    differ beside their time, and ``warnings`` what a reader has to know of each; all sentences.
    """

    runs: tuple[str, ...]
    left_out: dict[str, str]
    differences: tuple[str, ...]
    warnings: tuple[str, ...]
    comparisons: tuple[OverRuns, ...]


def analyse(
    runs: Mapping[str, Measurements],
    reference: str | None = None,
    *,
    left_out: Mapping[str, str] | None = None,
    differences: Sequence[str] = (),
    warnings: Sequence[str] = (),
    failed_percent: float = FAILED_PERCENT,
) -> RunsAnalysis:
    """Return the numbers of several runs.

    Args:
        runs: by id what each has measured.
        reference: what the other scenarios are compared with, by default ``cloud``, else the last of the first run.
        left_out: the runs that were left out before, by id with the reason.
        differences: in what the runs differ that belongs to what is measured, in sentences.
        warnings: what a reader has to know before the numbers, in sentences; those of the analysis follow.
        failed_percent: a run of which more than this share of a scenario's repetitions failed is named.

    Raises:
        CollectError: two runs hold the same records, fewer than two are left, or no scenario is in two of them.
    """
    _refuse_copies(runs)
    reasons = dict(left_out or {})
    if len(runs) < FEWEST_RUNS:
        raise _too_few(reasons)
    against = _reference(runs, reference)
    usable = {}
    for run, measurements in runs.items():
        if measurements.scenarios.get(against):
            usable[run] = measurements
        else:
            reasons[run] = f"it has no finished repetition of {against}, which the others are compared with"
    names = ordered({name for measurements in usable.values() for name in measurements.scenarios} - {against})
    compared = [over for name in names if (over := _over_runs(name, against, usable)) is not None]
    if not compared:
        if len(usable) < FEWEST_RUNS:
            raise _too_few(reasons)
        raise CollectError(
            f"no scenario has pairs with {against} in {FEWEST_RUNS} of the runs {', '.join(usable)}: expected runs of "
            "the same scenarios"
        )
    return RunsAnalysis(
        runs=tuple(usable),
        left_out=reasons,
        differences=tuple(differences),
        warnings=(*warnings, *_warnings(usable, names, compared, failed_percent)),
        comparisons=tuple(compared),
    )


def to_json(analysis: RunsAnalysis) -> str:
    """Return the analysis and its method as JSON, the same bytes for the same records."""
    data: dict[str, Any] = {
        "schema": SCHEMA_VERSION,
        "method": {
            "ratio": "geometric mean of the runs' typical ratios, each run counting the same",
            "student": "Student's interval of the logarithms of the runs' typical ratios",
            "bootstrap": {
                "method": "hierarchical, percentile: runs, then pairs, or rounds of blocks",
                "confidence": estimators.CONFIDENCE,
                "resamples": statistics.RESAMPLES,
                "resampled_estimates_per_run": between_runs.RESAMPLED,
                "seed": statistics.SEED,
            },
            "variation": "variances of natural logarithms, nested analysis of variance; interval: Williams",
        },
        **asdict(analysis),
    }
    return json.dumps(data, indent=2, allow_nan=False) + "\n"


def _refuse_copies(runs: Mapping[str, Measurements]) -> None:
    """Refuse two runs of one measurement: they would make the runs look more alike than they are."""
    seen: dict[Any, str] = {}
    for run, measurements in runs.items():
        finished = [repetition for several in measurements.scenarios.values() for repetition in several]
        own = {request.run for repetition in finished for request in repetition.requests}
        times = tuple(repetition.response_s for repetition in finished)
        for mark in (*own, times):
            other = seen.setdefault(mark, run)
            if other != run:
                raise CollectError(f"{other} and {run} hold records of the same run: name only one of them")


def _too_few(left_out: Mapping[str, str]) -> CollectError:
    reasons = "".join(f"; {run} was left out: {reason}" for run, reason in left_out.items())
    return CollectError(f"at least {FEWEST_RUNS} runs are required to compare runs{reasons}")


def _reference(runs: Mapping[str, Measurements], asked: str | None) -> str:
    names = list(dict.fromkeys(name for each in runs.values() for name, several in each.scenarios.items() if several))
    if asked is not None and asked not in names:
        known = ", ".join(names)
        raise CollectError(f"Scenario {asked!r} has no finished repetition in any run. Expected one of: {known}.")
    first = next(iter(runs.values()))
    of_first = [name for name, finished in first.scenarios.items() if finished]
    return asked or (claims.CLOUD if claims.CLOUD in names else of_first[-1])


def _over_runs(subject: str, reference: str, runs: Mapping[str, Measurements]) -> OverRuns | None:
    """Return a scenario's comparison over the runs that have it, or ``None`` where fewer than two do."""
    pairs = {run: paired(of.scenarios.get(subject, ()), of.scenarios[reference]) for run, of in runs.items()}
    samples = {
        run: sample.sample(*of_run, lambda repetition: repetition.response_s, paired=True)
        for run, of_run in pairs.items()
        if of_run[0] and min(r.response_s for side in of_run for r in side) > 0
    }
    if len(samples) < FEWEST_RUNS:
        return None
    of_runs = tuple(_of_run(run, values, (subject, reference), runs[run]) for run, values in samples.items())
    estimates = np.log([_value(of_run.ratio) for of_run in of_runs])
    ratio, low, high = (float(np.exp(end)) for end in between_runs.student(estimates))
    student = Span(low, high, f"Student, {len(of_runs)} runs")
    in_rounds = [values.in_blocks for values in samples.values()]
    bootstrap_low, bootstrap_high = between_runs.hierarchical_bootstrap(
        [_units(values) for values in samples.values()], in_rounds=in_rounds
    )
    what = "rounds of blocks" if all(in_rounds) else "pairs or rounds of blocks" if any(in_rounds) else "pairs"
    narrow = "; too narrow where so few runs differ" if len(of_runs) < ENOUGH_FOR_BOOTSTRAP else ""
    bootstrap = Span(
        math.exp(bootstrap_low), math.exp(bootstrap_high), f"hierarchical bootstrap: runs, then {what}{narrow}"
    )
    variation = components(
        {
            run: list(zip(_log_ratios(values).tolist(), values.rounds or (), strict=True))
            for run, values in samples.items()
        }
    )
    repetitions = round(median(of_run.pairs for of_run in of_runs))
    return OverRuns(
        subject=subject,
        reference=reference,
        runs=of_runs,
        ratio=ratio,
        student=student,
        bootstrap=bootstrap,
        ratio_variation=variation,
        subject_variation=_variation({run: pairs[run][0] for run in samples}),
        reference_variation=_variation({run: pairs[run][1] for run in samples}),
        repetitions=repetitions,
        needs=needs(ratio, variation, repetitions) if variation is not None else (),
        headline=_headline(subject, reference, ratio, student, of_runs),
    )


def _of_run(run: str, values: Sample, names: tuple[str, str], measurements: Measurements) -> OfRun:
    return OfRun(
        run=run,
        pairs=values.pairs,
        rounds=values.units,
        failed=measurements.failed(*names),
        subject_median_s=median(values.subject),
        reference_median_s=median(values.reference),
        ratio=sample.ratio(values),
    )


def _value(ratio: Estimate) -> float:
    if ratio.value is None:
        raise AssertionError("response times above zero have a ratio")
    return ratio.value


def _log_ratios(values: Sample) -> Values:
    return np.log(values.subject) - np.log(values.reference)


def _units(values: Sample) -> Values:
    """Return what is drawn of a run: the logarithms of its pairs' ratios, in blocks their means by round."""
    ratios = _log_ratios(values)
    if not values.in_blocks:
        return ratios
    rounds = np.asarray(values.rounds)
    return np.asarray([ratios[rounds == number].mean() for number in range(values.units)])


def _variation(runs: Mapping[str, Sequence[Repetition]]) -> Components | None:
    return components(
        {run: [(math.log(r.response_s), (r.base_station, r.block)) for r in several] for run, several in runs.items()}
    )


def _headline(subject: str, reference: str, ratio: float, student: Span, of_runs: Sequence[OfRun]) -> str:
    sentence = (
        f"Over {len(of_runs)} runs the response time of {subject} was typically "
        f"{claims.compared(ratio)} that of {reference} (95 % interval: "
        f"{claims.lower_span(student.low, student.high)}; {sum(of_run.pairs for of_run in of_runs)} pairs)."
    )
    if len(of_runs) == FEWEST_RUNS:
        sentence += (
            " How much runs differ is barely known from two, so the interval is wide, and another two runs may give a "
            "much narrower or wider one: measure more runs."
        )
    return sentence


def _warnings(
    runs: Mapping[str, Measurements], names: Sequence[str], compared: Sequence[OverRuns], failed_percent: float
) -> Iterator[str]:
    for run, measurements in runs.items():
        for name, finished in measurements.scenarios.items():
            unpaired = sum(repetition.scenario == name for repetition in measurements.unpaired)
            failed = measurements.failed(name)
            total = len(finished) + unpaired + failed
            if failed:
                above = 100 * failed > failed_percent * total
                yield (
                    f"{run}: {failed} of {total} repetitions of {name} failed"
                    f"{f', more than {failed_percent:g} %: its ratio is that of those that finished' * above}."
                )
    counted = {over.subject: {of_run.run for of_run in over.runs} for over in compared}
    for name in names:
        without = [run for run in runs if run not in counted.get(name, ())]
        if name not in counted:
            yield f"{name} is not compared: fewer than {FEWEST_RUNS} runs have pairs of it."
        elif without:
            yield f"{name} is not in {', '.join(without)}, so its comparison rests on {len(counted[name])} runs."

"""What the splits of a plan do with a data set: whether each request can be served, and which texts train and test."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from experiments import workloads
from experiments.data.content import DatasetError
from experiments.data.duplicates import identities
from experiments.workloads.data import Dataset as Rows
from experiments.workloads.workload import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from experiments.base_station.plan import Plan
    from experiments.data.dataset import Dataset
    from experiments.workloads.data import Cut, Division
    from experiments.workloads.workload import Split


@dataclass(frozen=True, slots=True)
class Leakage:
    """Share of the test texts, in percent, that are among the training texts, too: a mean over all repetitions.

    ``base_station_percent`` is that of the test accuracy, ``function_percent`` that of the function's own test.
    """

    base_station_percent: float
    function_percent: float


def leakage(plan: Plan, data: Dataset) -> Leakage | None:
    """Return which share of the test texts a plan's splits let a model train on, or ``None`` if nothing is trained.

    Raises:
        DatasetError: the function would refuse a request of the plan; its scenario and repetition are named.
    """
    rows = Rows(list(data.texts), list(data.labels))
    numbers = identities(data.texts)
    base_station: list[float] = []
    function: list[float] = []
    for name, scenario in plan.scenarios.items():
        workload = workloads.make(scenario.workload, scenario.settings, rows)
        parts = (
            (repetition, station, part)
            for repetition in range(len(plan.splits))
            for station, part in plan.parts(name, repetition, data.labels).items()
        )
        for repetition, station, part in parts:
            where = f"dataset {data.name}: scenario {name}, repetition {repetition}"
            if plan.is_shared:
                where += f", {station}"
                _check_labels(where, part, data.labels, scenario.division)
            try:
                splits = workload.splits(part)
            except DataError as error:
                raise DatasetError(f"{where}: {error}") from error
            if splits is not None:
                base_station.append(_percent(splits.base_station, numbers))
                function += [_percent(one, numbers) for one in splits.function]
    return Leakage(fmean(base_station), fmean(function)) if base_station else None


def _check_labels(where: str, part: Cut, labels: Sequence[str], division: Division) -> None:
    """Refuse a part without a label that the whole data set has."""
    missing = sorted(set(labels) - {labels[row] for rows in part.training for row in rows})
    if missing:
        key = "weights" if division.alpha is None else f"alpha ({division.alpha:g})"
        advice = f"raise base_stations.{key}"
        raise DatasetError(f"{where}: none of its texts is labelled {missing[0][:40]!r}; {advice}, or give more texts")


def _percent(split: Split, numbers: Sequence[int]) -> float:
    trained = {numbers[row] for row in split.training}
    return 100 * sum(numbers[row] in trained for row in split.test) / len(split.test)

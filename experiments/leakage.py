"""What the splits of a plan do with a data set: whether each request can be served, and which texts train and test."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
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
        # Base stations that have the same data are looked at once.
        places = product(range(len(plan.splits)), plan.base_stations)
        for repetition, cut in dict.fromkeys((number, plan.cut(name, number, station)) for number, station in places):
            try:
                splits = workload.splits(cut)
            except DataError as error:
                raise DatasetError(f"dataset {data.name}: scenario {name}, repetition {repetition}: {error}") from error
            if splits is not None:
                base_station.append(_percent(splits.base_station, numbers))
                function += [_percent(one, numbers) for one in splits.function]
    return Leakage(fmean(base_station), fmean(function)) if base_station else None


def _percent(split: Split, numbers: Sequence[int]) -> float:
    trained = {numbers[row] for row in split.training}
    return 100 * sum(numbers[row] in trained for row in split.test) / len(split.test)

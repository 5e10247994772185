"""The load driver: takes the plan's repetitions in order; what is on record already is not measured again.

It needs its run's folder only: the plan, the data set, and the records.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from msgspec.structs import replace

from experiments import workloads
from experiments.base_station.history import History
from experiments.base_station.links import Links, LinksError
from experiments.base_station.repetition import Repetition
from experiments.workloads import data
from experiments.workloads.workload import Shared

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from collect.records import ModelRecord, RequestRecord
    from experiments.base_station.plan import Entry, Plan


class Driver:
    """Measures what a plan asks for and is not yet on record.

    Raises:
        DriverError: the records are those of another plan.
        SettingsError: a workload does not have a scenario's settings.
        OSError: the data set or the records cannot be read.
        ValueError: they hold something else.
    """

    def __init__(
        self,
        plan: Plan,
        dataset: Path,
        samples: Path,
        base_station: str,
        links: Links | None = None,
        source: str | None = None,
    ) -> None:
        self._plan = plan
        self._source = source
        self._links = links or Links()
        self._dataset = dataset
        self._base_station = base_station
        self._history = History(samples, plan)
        texts = data.read(dataset)
        self._workloads = {
            name: workloads.make(scenario.workload, scenario.settings, texts)
            for name, scenario in plan.scenarios.items()
        }
        # When each scenario's last request ended, on this process's clock.
        self._last_asked_s: dict[str, float] = {}

    @property
    def total(self) -> int:
        """How many repetitions the plan has, warm-ups included."""
        return len(self._plan.order)

    @property
    def finished(self) -> int:
        """How many of them are on record."""
        return sum(self._history.is_finished(entry.key) for entry in self._plan.order)

    def run(self, report: Callable[[ModelRecord], None]) -> None:
        """Measure and finish every repetition that is not on record; ``report(record)`` is called after each one.

        Raises:
            LinksError: the links of this node are not in force, so nothing more is measured.
            WorkloadError: repetitions cannot be finished, for example because the base station's trainer died.
            OSError: the records cannot be written, for example because the disk is full.
        """
        with ExitStack() as stack:
            shared = Shared(self._dataset, stack)
            for workload in self._workloads.values():
                workload.open(shared)
            for entry in self._plan.order:
                if self._history.is_finished(entry.key):
                    continue
                repetition = self._repetition(entry)
                # Where a driver was cut off between a repetition's replies and its end, only the end is missing.
                requests = self._history.requests(entry.key)
                links = requests[0].links if requests else None
                if not requests:
                    requests, links = self._measure(repetition)
                model = repetition.finish(requests, links)
                self._history.append([model])
                report(model)

    def _repetition(self, entry: Entry) -> Repetition:
        return Repetition(
            run=self._plan.run,
            plan=self._plan.hash,
            seed=self._plan.seed,
            base_station=self._base_station,
            entry=entry,
            scenario=self._plan.scenarios[entry.scenario],
            workload=self._workloads[entry.scenario],
            cut=self._plan.cut(entry.scenario, entry.repetition, self._base_station),
            source=self._source,
        )

    def _measure(self, repetition: Repetition) -> tuple[list[RequestRecord], str | None]:
        """Measure a repetition; return its requests, and the links they went over, ``None`` if these did not hold."""
        ready = repetition.ready()
        self._leave_alone(repetition.entry.scenario, repetition.scenario.idle_s)
        links = self._links.in_force()
        added = self._links.round_trip(repetition.scenario.gateway)
        attempt = self._history.attempt(repetition.entry.key)
        requests = repetition.measure(ready, attempt, self._history.is_cold, links, added)
        held = links
        try:
            self._links.in_force()
        except LinksError as error:
            held = None
            requests = [replace(request, error=request.error or str(error)) for request in requests]
        self._history.append(requests)
        self._last_asked_s[repetition.entry.scenario] = time.monotonic()
        return requests, held

    def _leave_alone(self, scenario: str, idle_s: float) -> None:
        """Send nothing to a scenario's function for so long, counted from its last request, so that replicas end."""
        until_s = self._last_asked_s.get(scenario, time.monotonic()) + idle_s
        time.sleep(max(0.0, until_s - time.monotonic()))

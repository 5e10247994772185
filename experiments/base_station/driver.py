"""The load driver: takes the plan's repetitions in order; what is on record already is not measured again.

It needs its run's folder only: the plan, the data set, and the records.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from msgspec.structs import replace

from experiments import workloads
from experiments.base_station.check import spread_of
from experiments.base_station.errors import DriverError
from experiments.base_station.exchange import Kept
from experiments.base_station.history import History
from experiments.base_station.links import Links, LinksError
from experiments.base_station.nodes import LostNodeError, Nodes
from experiments.base_station.plan import UNTIMED_S
from experiments.base_station.repetition import Repetition
from experiments.workloads import data
from experiments.workloads.workload import Shared

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from collect.records import ModelRecord, RequestRecord
    from experiments.base_station.plan import Entry, Plan

# How many times as long as the longest warm-up a request may take, and for how many seconds at least.
WARMUPS, LEAST_S = 3, 60.0
# How often requests are tried while replicas are not where they should be.
LOOK_S = 1.0


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
        nodes: Nodes | None = None,
        source: str | None = None,
    ) -> None:
        self._plan = plan
        self._source = source
        self._links = links or Links()
        self._nodes = nodes or Nodes(plan.run, ())
        self._dataset = dataset
        self._base_station = base_station
        self._history = History(samples, plan)
        self._kept = Kept()
        texts = data.read(dataset)
        self._workloads = {
            name: workloads.make(scenario.workload, scenario.settings, texts)
            for name, scenario in plan.scenarios.items()
        }
        # Scenarios whose last requests were not served by separate replicas, each on its node.
        self._misplaced: set[str] = set()
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
            LinksError: the links of this node are not in force, so nothing more is measured. LostNodeError: a node was
                lost, and nothing more is measured either.
            WorkloadError: repetitions cannot be finished, for example because the base station's trainer died.
            DriverError: the replicas are not where they should be, and do not come back.
            OSError: the records cannot be written, for example because the disk is full.
        """
        with ExitStack() as stack:
            shared = Shared(self._dataset, stack)
            for workload in self._workloads.values():
                workload.open(shared)
            stack.enter_context(self._nodes).hear_all()
            stack.enter_context(self._kept)
            for entry in self._plan.order:
                if self._history.is_finished(entry.key):
                    continue
                repetition = self._repetition(entry)
                # Where a driver was cut off between a repetition's replies and its end, only the end is missing.
                requests = self._history.requests(entry.key)
                links = requests[0].links if requests else None
                broken: DriverError | None = None
                if not requests:
                    requests, links, broken = self._measure(repetition)
                model = repetition.finish(requests, links)
                self._history.append([model])
                report(model)
                if broken is not None:
                    raise broken
                if repetition.misplaced(requests):
                    self._misplaced.add(entry.scenario)

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
            kept=self._kept,
        )

    def _measure(self, repetition: Repetition) -> tuple[list[RequestRecord], str | None, DriverError | None]:
        """Measure a repetition; return its requests, the links they went over, and why these did not hold, if so."""
        ready = repetition.ready()
        if repetition.entry.scenario in self._misplaced:
            self._await_spread(repetition.entry.scenario)
        self._leave_alone(repetition.entry.scenario, repetition.scenario.idle_s)
        self._nodes.check()
        links = self._links.in_force()
        requests = repetition.measure(
            ready,
            self._history.attempt(repetition.entry.key),
            self._history.is_cold,
            links,
            self._links.round_trip(repetition.scenario.gateway),
            timeout_s=self._timeout_s(repetition.entry),
            lost=self._nodes.lost,
        )
        broken: DriverError | None = None
        try:
            self._links.in_force()
            if any(request.error for request in requests) or repetition.misplaced(requests):
                self._nodes.hear_all()  # a node that is lost fails a request before it has been silent for long
            else:
                self._nodes.check()
        except LinksError as error:
            broken = error
            requests = [replace(request, error=request.error or str(error)) for request in requests]
        except LostNodeError as error:
            broken = error
            requests = [replace(request, error=str(error)) for request in requests]
        self._history.append(requests)
        self._last_asked_s[repetition.entry.scenario] = time.monotonic()
        return requests, None if broken else links, broken

    def _await_spread(self, scenario: str) -> None:
        """Return when parallel requests are served by separate replicas again, each on its node.

        Raises:
            DriverError: they are not for too long. LostNodeError: a node was lost meanwhile.
        """
        until_s = time.monotonic() + UNTIMED_S
        while True:
            try:
                spread_of(
                    scenario, self._plan.scenarios[scenario], self._workloads[scenario], self._source, self._nodes.lost
                )
            except DriverError:
                if time.monotonic() > until_s:
                    raise
                self._nodes.check()
                time.sleep(LOOK_S)
            else:
                self._last_asked_s[scenario] = time.monotonic()
                self._misplaced.discard(scenario)
                return

    def _timeout_s(self, entry: Entry) -> float:
        """Return after how many seconds a request fails: as the scenario says, else by what its warm-ups took."""
        fixed_s = self._plan.scenarios[entry.scenario].timeout_s
        if fixed_s is not None:
            return fixed_s
        warm_s = self._history.longest_warmup_s(entry.scenario)
        return UNTIMED_S if entry.warmup or warm_s is None else min(UNTIMED_S, max(LEAST_S, WARMUPS * warm_s))

    def _leave_alone(self, scenario: str, idle_s: float) -> None:
        """Send nothing to a scenario's function for so long, counted from its last request, so that replicas end."""
        until_s = self._last_asked_s.get(scenario, time.monotonic()) + idle_s
        time.sleep(max(0.0, until_s - time.monotonic()))

"""The load driver: takes the plan's repetitions in order; what is on record already is not measured again.

It needs its run's folder only: the plan, the data set, and the records.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace

from collect.records import NetworkRecord
from experiments import workloads
from experiments.base_station.changes import Changes, late
from experiments.base_station.check import spread_of
from experiments.base_station.errors import DriverError
from experiments.base_station.exchange import Kept
from experiments.base_station.history import History
from experiments.base_station.links import Links, LinksError
from experiments.base_station.network import GoneError, Measured, meet
from experiments.base_station.nodes import LostNodeError, Nodes
from experiments.base_station.plan import UNTIMED_S
from experiments.base_station.repetition import Repetition
from experiments.workloads import data
from experiments.workloads.workload import Outcome, Shared

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from collect.records import ChangeRecord, ModelRecord, RequestRecord
    from experiments.base_station.crossing import Delays
    from experiments.base_station.network import Network, Start
    from experiments.base_station.plan import Entry, Plan, ScenarioPlan

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
        port: int = 0,
    ) -> None:
        self._plan = plan
        self._port = port
        self._source = source
        self._links = links or Links()
        self._nodes = nodes or Nodes(plan.run, ())
        self._dataset = dataset
        self._base_station = base_station
        self._history = History(samples, plan)
        self._changes = Changes(plan, base_station, port)
        # Of each scenario apart: one whose bodies are large leaves a larger window to a connection.
        self._kept = {name: Kept() for name in plan.scenarios}
        self._texts = texts = data.read(dataset)
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
        return sum(map(self._has, self._plan.order))

    def run(self, report: Callable[[ModelRecord], None]) -> None:
        """Measure and finish every repetition that is not on record; ``report(record)`` is called after each one.

        Raises:
            LinksError: the links of this node are not in force, so nothing more is measured. LostNodeError: a node was
                lost, and nothing more is measured either.
            GoneError: another base station has ended.
            WorkloadError: repetitions cannot be finished, for example because the base station's trainer died.
            DriverError: the replicas are not where they should be, and do not come back.
            OSError: the records cannot be written, for example because the disk is full.
        """
        with ExitStack() as stack:
            shared = Shared(self._dataset, stack)
            for workload in self._workloads.values():
                workload.open(shared)
            stack.enter_context(self._nodes).hear_all()
            for kept in self._kept.values():
                stack.enter_context(kept)
            network = stack.enter_context(meet(self._plan, self._base_station, self._port))
            stack.enter_context(self._changes)
            try:
                self._measure_all(network, report)
            except GoneError:
                self._nodes.hear_all()  # what ended the other may be that a node was lost, and that is the reason
                raise

    def _measure_all(self, network: Network, report: Callable[[ModelRecord], None]) -> None:
        """Measure what is missing, each repetition with the other base stations."""
        for number in network.to_do({number for number, entry in enumerate(self._plan.order) if self._has(entry)}):
            entry = self._plan.order[number]
            repetition = self._repetition(entry)
            # Where a driver was cut off between a repetition's replies and its end, only the end is missing; of several
            # base stations the others may lack more.
            requests = [] if self._plan.is_shared else self._history.requests(entry.key)
            links = requests[0].links if requests else None
            broken: DriverError | None = None
            if not requests:
                requests, links, broken = self._measure(repetition, partial(network.start, number))
            model = repetition.finish(requests, links)
            self._history.append([model])
            best = None if model.error else repetition.workload.best(repetition.answered(requests))
            heard = network.measured(Measured(number, model.attempt, best, model.error))
            if heard:
                changes = self._changes.end(entry, model.attempt, self._base_station)  # all have their replies
                self._history.append([*changes, self._of_all(repetition, heard, late(changes))])
            report(model)
            if broken is not None:
                raise broken
            if repetition.misplaced(requests):
                self._misplaced.add(entry.scenario)

    def _has(self, entry: Entry) -> bool:
        """Return whether a repetition is on record to its end, and what all made of it, if this is the first one."""
        concludes = self._plan.is_shared and self._base_station == self._plan.first
        return self._history.is_finished(entry.key) and (not concludes or self._history.is_of_all(entry.key))

    def _of_all(self, repetition: Repetition, heard: Mapping[str, Measured], problem: str | None) -> NetworkRecord:
        """Return what all base stations' replies come to: the best of them trains on all their training texts.

        ``problem`` is why they come to nothing, if that is known already.
        """
        entry, workload = repetition.entry, repetition.workload
        cut = self._plan.cut(entry.scenario, entry.repetition)
        best = [measured.best for measured in heard.values() if measured.best is not None]
        error = next((f"{name}: {one.error}" for name, one in heard.items() if one.error), problem)
        outcome = workload.finish(cut, best, self._plan.seed) if error is None else Outcome(error=error)
        return NetworkRecord(
            run=self._plan.run,
            plan=self._plan.hash,
            scenario=entry.scenario,
            base_station=self._base_station,
            block=entry.block,
            repetition=entry.repetition,
            attempt=heard[self._base_station].attempt,
            warmup=entry.warmup,
            attempts={name: measured.attempt for name, measured in heard.items()},
            chosen_base_station=outcome.chosen.base_station if outcome.chosen else None,
            chosen_request=outcome.chosen.request if outcome.chosen else None,
            parameters=outcome.parameters,
            accuracy_test=outcome.accuracy_test,
            fit_ms=outcome.fit_ms,
            training_texts=sum(map(len, cut.training)),
            test_texts=len(cut.test),
            error=outcome.error,
        )

    def _repetition(self, entry: Entry) -> Repetition:
        return Repetition(
            run=self._plan.run,
            plan=self._plan.hash,
            seed=self._plan.seed,
            base_station=self._base_station,
            entry=entry,
            scenario=self._plan.scenarios[entry.scenario],
            workload=self._workloads[entry.scenario],
            cut=self._plan.parts(entry.scenario, entry.repetition, self._texts.y)[self._base_station],
            position=list(self._plan.base_stations).index(self._base_station),
            source=self._source,
            kept=self._kept[entry.scenario],
        )

    def _measure(
        self, repetition: Repetition, start: Callable[[], Start]
    ) -> tuple[list[RequestRecord], str | None, DriverError | None]:
        """Measure a repetition; return its requests, the links they went over, and why these did not hold, if so."""
        ready = repetition.ready()
        if repetition.entry.scenario in self._misplaced:
            self._await_spread(repetition.entry.scenario)
        self._leave_alone(repetition.entry.scenario, repetition.scenario.idle_s)
        self._nodes.check()
        links = self._links.in_force()
        attempt = self._history.attempt(repetition.entry.key)
        requests = repetition.measure(
            ready,
            attempt,
            self._history.is_cold,
            links,
            partial(self._round_trip, repetition.scenario),
            start=partial(self._changes.start, repetition.entry, start),
            timeout_s=self._timeout_s(repetition.entry),
            lost=self._nodes.lost,
        )
        broken: DriverError | None = None
        changes: list[ChangeRecord] = []
        try:
            if not self._plan.is_shared:  # else others may still wait for replies
                changes = self._changes.end(repetition.entry, attempt, self._base_station)
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
        if problem := late(changes):
            requests = [replace(request, error=request.error or problem) for request in requests]
        self._history.append([*requests, *changes])
        self._last_asked_s[repetition.entry.scenario] = time.monotonic()
        return requests, None if broken else links, broken

    def _round_trip(self, scenario: ScenarioPlan, node: str) -> Delays:
        """Return what the links to a node and back add to a round trip, at least, whatever events change."""
        added = self._links.round_trip(node)
        pairs = ((self._base_station, node), (node, self._base_station))
        faster_ms = sum(scenario.faster_ms(*pair) for pair in pairs)
        return replace(added, lowest_ms=max(0.0, added.lowest_ms - faster_ms))

    def _await_spread(self, scenario: str) -> None:
        """Return when parallel requests are served by separate replicas again, each on its node.

        Raises:
            DriverError: they are not for too long. LostNodeError: a node was lost meanwhile.
        """
        until_s = time.monotonic() + UNTIMED_S
        while True:
            try:
                spread_of(
                    scenario,
                    self._plan.scenarios[scenario],
                    self._base_station,
                    self._workloads[scenario],
                    self._source,
                    self._nodes.lost,
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

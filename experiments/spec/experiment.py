"""A scenario as a whole, and an experiment: scenarios and how often each is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, WithJsonSchema, model_validator

from collect.expect import Expect
from collect.sweep import MOST_AXES, Sweep
from experiments import workloads
from experiments.base_station import arrivals as ways
from experiments.spec.base_stations import BaseStationsSpec
from experiments.spec.data import DataSpec, equal_shares
from experiments.spec.events import MOST_EVENTS, EventSpec, check_apart
from experiments.spec.fields import MOST_REPETITIONS, MOST_REQUESTS, Model, Name, nearest
from experiments.spec.function import FunctionSpec
from experiments.spec.links import LinkSpec
from experiments.spec.requests import RequestSpec, TransportSpec
from experiments.spec.resources import ResourcesSpec
from experiments.spec.traffic import TrafficSpec
from experiments.spec.workload import WorkloadSpec
from experiments.workloads.reading import TEST_ACCURACY

if TYPE_CHECKING:
    from experiments.base_station.arrivals import Arrivals

# As a file has it, of which `experiments.spec.sweep` makes points.
_VALUES = {"type": "array", "minItems": 2}
SWEEP = {
    "type": "object",
    "minProperties": 1,
    "maxProperties": MOST_AXES,
    "additionalProperties": {
        "anyOf": [_VALUES, {"type": "object", "minProperties": 1, "additionalProperties": _VALUES}],
    },
    "description": "Lists of values by the key that takes them, as a path with dots (`links.0.delay_ms`), or by a name "
    "with several keys that move together: see [above](#sweeps). Each combination is measured.",
}


class Scenario(Model):
    """One scenario: what is measured, whatever the nodes."""

    name: Name = Field(description="Names the scenario in records, figures and host names.")
    title: str = Field(description="The scenario in a few words, for people.")
    links: tuple[LinkSpec, ...] = Field(
        description="The network between the groups of nodes. A pair of nodes that no entry covers is not shaped."
    )
    events: tuple[EventSpec, ...] = Field(
        max_length=MOST_EVENTS, default=(), description="What changes while it is measured."
    )
    function: FunctionSpec
    resources: dict[str, ResourcesSpec] = Field(
        default={},
        description="By group of the inventory, what each replica on its nodes has at most: "
        "`{edge: {cpus: 0.5, memory_mib: 1024}}`. See [above](#nodes-that-differ).",
    )
    base_stations: BaseStationsSpec = BaseStationsSpec()
    requests: RequestSpec
    traffic: TrafficSpec = TrafficSpec()
    workload: WorkloadSpec = WorkloadSpec()
    data: DataSpec = Field(
        json_schema_extra={"default": "0.2 to test with, the rest in equal shares"},
    )
    transport: TransportSpec = TransportSpec()

    @property
    def settings(self) -> dict[str, Any]:
        """The workload's settings, wherever they stand in the file."""
        function = {"model": self.function.model, "options": self.function.options}
        return {**{key: value for key, value in function.items() if value is not None}, **self.workload.own}

    @model_validator(mode="before")
    @classmethod
    def _shares_are_equal_unless_named(cls, values: object) -> object:
        match values:
            case {"data": _}:
                return values
            case {"requests": {"parallel": int(parts)}} | {"function": {"replicas": int(parts)}}:
                if isinstance(values, dict) and 0 < parts <= MOST_REQUESTS:
                    return {**values, "data": equal_shares(parts)}
            case {"function": {"sites": _}}:
                if isinstance(values, dict):
                    return {**values, "data": equal_shares(1)}
        return values

    @model_validator(mode="after")
    def _workload_has_these_settings(self) -> Scenario:
        workloads.check(self.workload.name, self.settings)
        return self

    @property
    def arrivals(self) -> Arrivals:
        """When the requests of a repetition are sent, as the plan has it."""
        return self.traffic.planned(self.requests.parallel or 0)

    @model_validator(mode="after")
    def _traffic_of_these_requests(self) -> Scenario:
        kind = self.traffic.arrivals
        if kind == "together" and self.requests.parallel is None:
            raise ValueError("requests.parallel: needed, unless traffic sets other arrivals than together")
        if kind != "together" and self.requests.parallel is not None:
            raise ValueError(f"requests.parallel: not used with arrivals {kind}, which tell when each request is sent")
        if self.traffic.trace is not None:
            workloads.check_trace(self.workload.name, self.settings, ways.read_trace(self.traffic.trace))
        return self

    @model_validator(mode="after")
    def _events_within_a_repetition(self) -> Scenario:
        if not self.events:
            return self
        check_apart(self.events)
        if self.traffic.arrivals == "together" and any(event.nodes for event in self.events):
            raise ValueError(
                "events: nodes leave, and arrivals are together: then each request expects a replica of its own; set "
                "traffic.arrivals to constant, poisson, closed or trace"
            )
        ends_s = ways.ends_s(self.arrivals)
        late = next((event.at_s for event in self.events if ends_s is not None and (event.at_s or 0) > ends_s), None)
        if late is not None:
            raise ValueError(
                f"events: at_s {late:g} is after the last request of a repetition begins ({ends_s:g} s, by traffic): "
                "set an earlier time, or have requests sent for longer"
            )
        return self

    @model_validator(mode="after")
    def _sends_to_its_sites(self) -> Scenario:
        send_to, sites = self.base_stations.send_to, self.function.sites
        if send_to == "all":
            return self
        if sites is None:
            raise ValueError("base_stations.send_to: needs function.sites, which tell where replicas stand apart")
        unknown = next((site for site in send_to if site not in sites), None) if isinstance(send_to, dict) else None
        if unknown is not None:
            raise ValueError(f"base_stations.send_to: {unknown} is none of function.sites ({', '.join(sites)})")
        return self

    @model_validator(mode="after")
    def _one_share_a_request(self) -> Scenario:
        if self.requests.parallel is None:  # they take the shares in turn
            return self
        if len(self.data.training_shares) != self.requests.parallel:
            raise ValueError(
                f"{len(self.data.training_shares)} training_shares for {self.requests.parallel} parallel requests: "
                "each request trains on one share"
            )
        return self


class Experiment(Model):
    """Scenarios and how often each is measured: ``repetitions`` times, taking turns."""

    name: Name = Field(description="Names the experiment; the file's name unless it is set.")
    repetitions: int = Field(
        ge=1, le=MOST_REPETITIONS, description="How often each scenario is measured; `REPETITIONS=` overrides it."
    )
    warmups: int = Field(
        ge=0,
        le=MOST_REPETITIONS,
        default=1,
        description="Repetitions of each scenario before the first round; on record, not data points. The report tests "
        "whether they were enough.",
    )
    block_repetitions: int = Field(
        ge=1,
        le=MOST_REPETITIONS,
        default=1,
        description="Repetitions of one scenario that follow each other before the next scenario has its turn. "
        "Those of one block may resemble each other: with more than 1, intervals are wider, and medians' too narrow.",
    )
    deduplicate: bool = Field(
        default=False,
        description="Leave out texts that repeat an earlier one, case and blanks aside, before the data set is cut.",
    )
    expect: Expect = Expect()
    sweep: Annotated[Sweep | None, WithJsonSchema(SWEEP)] = None
    scenarios: tuple[Scenario, ...] = Field(
        min_length=1,
        description="Names of scenarios, or paths of scenario files from this file's folder; or mappings that name "
        "one in `extends` and change keys of it (null takes one away).",
    )

    @model_validator(mode="after")
    def _expectations_of_these_scenarios(self) -> Experiment:
        names = {scenario.name for scenario in self.scenarios}
        unknown = sorted(self.expect.scenarios - names)
        if unknown:
            raise ValueError(f"expect: {unknown[0]} is not a scenario of this file ({', '.join(sorted(names))})")
        alone = sorted((*self.expect.max_time_ratio, *self.expect.claims))
        if alone and len(names) == 1:
            raise ValueError(f"expect: {alone[0]} is the only scenario, so there is nothing to compare it with")
        return self

    @model_validator(mode="after")
    def _expectations_of_measures_that_are(self) -> Experiment:
        by_scenario = {one.name: workloads.measures(one.workload.name, one.settings) for one in self.scenarios}
        for key in ("min_quality", "max_quality"):
            for name, limits in getattr(self.expect, key).items():
                known = by_scenario[name]
                unknown = next((measure for measure in limits if measure not in known), None)
                if unknown is not None:
                    reason = nearest(unknown, known) if known else "its workload reads none from the replies"
                    raise ValueError(f"expect.{key}.{name}: unknown measure {unknown!r}; {reason}")
        for name in self.expect.min_accuracy:
            if TEST_ACCURACY not in by_scenario[name]:
                raise ValueError(
                    f"expect.min_accuracy.{name}: its workload trains no model on the base station; expect a measure "
                    "of its replies by min_quality or max_quality"
                )
        return self

    @model_validator(mode="after")
    def _events_before_repetitions_that_are(self) -> Experiment:
        for scenario in self.scenarios:
            for event in scenario.events:
                if (event.before_repetition or 0) > self.repetitions:
                    raise ValueError(
                        f"scenario {scenario.name}: events: before_repetition {event.before_repetition} is never "
                        f"reached, there are {self.repetitions} repetitions: set an earlier one, or repeat more often"
                    )
        return self

    @model_validator(mode="after")
    def _points_are_scenarios(self) -> Experiment:
        if self.sweep is None:
            return self
        if set(self.sweep.points) != {scenario.name for scenario in self.scenarios}:
            raise ValueError("sweep: its points are not the scenarios of this file")
        compared = "max_time_ratio" if self.expect.max_time_ratio else "claims" if self.expect.claims else None
        if compared is not None:
            raise ValueError(
                f"expect.{compared}: not judged in a sweep, whose points are compared along its axes; expect "
                "max_failed_percent, min_accuracy or min_quality of its points, or measure the two scenarios in a file "
                "of their own"
            )
        return self

    @model_validator(mode="after")
    def _each_scenario_once(self) -> Experiment:
        names = [scenario.name for scenario in self.scenarios]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two scenarios have the name {twice}: records tell scenarios apart by their names")
        return self

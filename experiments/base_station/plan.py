"""The plan: what the base stations measure, in which order. The controller writes it, the driver reads it."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from experiments.base_station.arrivals import Arrivals, Together
from experiments.base_station.errors import DriverError
from experiments.base_station.transport import Connections, Encoding, Protocol
from experiments.workloads import data

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

VERSION = 5
# After how many seconds a request fails where neither the scenario nor a warm-up says how long one may take.
UNTIMED_S = 600.0


class Key(NamedTuple):
    """What tells a repetition from all others, in the plan and in the records."""

    scenario: str
    repetition: int
    warmup: bool


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A repetition of a scenario, in the block in which it is measured."""

    scenario: str
    block: int
    repetition: int
    warmup: bool

    @property
    def key(self) -> Key:
        """What tells this repetition from all others."""
        return Key(self.scenario, self.repetition, self.warmup)


class Site(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Replicas that are reached at one address: one on each of ``nodes``, the gateway first."""

    url: str
    host: str
    nodes: tuple[str, ...]

    @property
    def gateway(self) -> str:
        """The node to which requests are sent."""
        return self.nodes[0]


class LinkChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Other values for a link, as roles/netem's ``netem_links`` has them, and ``shape`` in its words.

    ``faster_ms`` is by how much less it adds to a frame, at least, than the values that are applied.
    """

    source: str
    target: str
    values: dict[str, Any]
    shape: str
    faster_ms: float


class NodeChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether a node serves requests from here on: ``there``, or away.

    Where it is ``cut`` its links are down, which stands among the links of the event; ``asked`` has it ``drained``, and
    join again.
    """

    node: str
    asked: str
    state: Literal["there", "drained", "cut"]


class LoadChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many processes compute on a node beside its replicas from here on."""

    node: str
    processes: int


class BackgroundChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much is sent over a link beside the requests from here on, in Mbit/s of IP packets."""

    source: str
    target: str
    mbit_per_s: float


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What changes ``at_s`` after each repetition begins, or before a repetition (from 0) and all that follow."""

    at_s: float | None
    before_repetition: int | None
    links: tuple[LinkChange, ...]
    nodes: tuple[NodeChange, ...] = ()
    load: tuple[LoadChange, ...] = ()
    background: tuple[BackgroundChange, ...] = ()

    @property
    def asked(self) -> set[str]:
        """The nodes that carry it out."""
        return {
            *(one.source for one in self.links),
            *(one.source for one in self.background),
            *(one.asked for one in self.nodes),
            *(one.node for one in self.load),
        }


# What has no events is written, and hashed, as before there were any.
class ScenarioPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a scenario's requests are sent; ``settings`` are those of its workload (`experiments.workloads`).

    ``sites`` are where replicas stand, by name, and ``routes`` tell for each base station how its requests are shared
    among them: each site that it sends to, with its weight. The requests carry the ``training_shares`` in turn, each of
    them that part which ``division`` gives the base station. ``max_late_ms`` is what the 99th percentile of their
    lateness may be, where they are not sent together. Without ``timeout_s`` a request may take three times as long as
    the longest warm-up did, and a minute at least.
    """

    sites: dict[str, Site]
    routes: dict[str, dict[str, data.Weight]]
    division: data.Division
    workload: str
    settings: dict[str, Any]
    test_share: float
    training_shares: tuple[float, ...]
    traffic: Arrivals
    max_late_ms: float
    congestion_control: str
    connections: Connections
    protocol: Protocol
    encoding: Encoding
    timeout_s: float | None
    idle_s: float
    events: tuple[Event, ...] = ()

    def changes(self, entry: Entry) -> tuple[tuple[int, Event], ...]:
        """Return the events that a repetition has, with their numbers, in the order of their times.

        Those before repetitions are undone at the end of each, too: they are carried out before each one that follows.
        """
        numbered = list(enumerate(self.events))
        before = [
            (number, event)
            for number, event in numbered
            if event.before_repetition is not None and not entry.warmup and event.before_repetition <= entry.repetition
        ]
        timed = [(number, event) for number, event in numbered if event.at_s is not None]
        return (
            *sorted(before, key=lambda one: one[1].before_repetition or 0),
            *sorted(timed, key=lambda one: one[1].at_s or 0.0),
        )

    def faster_ms(self, source: str, target: str) -> float:
        """Return by how much less events let a link add than the values that are applied, at most."""
        links = (link for event in self.events for link in event.links)
        return max((one.faster_ms for one in links if (one.source, one.target) == (source, target)), default=0.0)

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes of all replicas."""
        return tuple(node for site in self.sites.values() for node in site.nodes)

    @property
    def loses_requests(self) -> bool:
        """Whether events take away what requests need: then one that fails is a result, as one that is answered is."""
        gone = (event.nodes or any(link.shape == "down" for link in event.links) for event in self.events)
        return not isinstance(self.traffic, Together) and any(gone)

    @property
    def replica_each(self) -> bool:
        """Whether each request of a repetition can be served by a replica of its own: else some wait for others."""
        return isinstance(self.traffic, Together) and len(self.sites) == len(self.routes) == 1

    def route(self, base_station: str) -> dict[str, Site]:
        """Return the sites to which a base station sends."""
        return {name: self.sites[name] for name in self.routes[base_station]}

    def probes(self, site: Site) -> int:
        """Return how many requests are sent at once to see that each replica of a site answers."""
        of_site = len(site.nodes)
        return self.traffic.parallel if isinstance(self.traffic, Together) and self.replica_each else of_site


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A run: its scenarios, and its repetitions in the order in which they are measured.

    ``splits[r]`` is the permutation of the data set for repetition ``r`` of every scenario; ``dataset`` is its SHA-256.
    ``base_stations`` are their addresses on the data network, by name; the first of several tells when all start.
    ``changing`` are those of the nodes that carry out events.
    """

    version: int
    run: str
    seed: int
    dataset: str
    base_stations: dict[str, str]
    scenarios: dict[str, ScenarioPlan]
    splits: tuple[tuple[int, ...], ...]
    order: tuple[Entry, ...]
    changing: dict[str, str] = {}

    @property
    def is_shared(self) -> bool:
        """Whether several base stations measure it."""
        return len(self.base_stations) > 1

    @property
    def first(self) -> str:
        """The base station that tells the others when a repetition starts, and finishes what all have measured."""
        return next(iter(self.base_stations))

    def cut(self, scenario: str, repetition: int) -> data.Cut:
        """Return the data of a repetition, of all base stations."""
        planned = self.scenarios[scenario]
        return data.cut(self.splits[repetition], planned.test_share, planned.training_shares)

    def parts(self, scenario: str, repetition: int, labels: Sequence[str]) -> dict[str, data.Cut]:
        """Return what each base station has of a repetition's data; ``labels`` are those of the whole data set."""
        whole = self.cut(scenario, repetition)
        if not self.is_shared:
            return {self.first: whole}
        # The same for all scenarios that divide alike, so that repetitions pair up.
        rng = random.Random(f"{self.seed} {repetition} division")  # noqa: S311
        owners = self.scenarios[scenario].division.owners(self.splits[repetition], labels, rng)
        return {name: data.part(whole, owners, place) for place, name in enumerate(self.base_stations)}

    @property
    def hash(self) -> str:
        """What each record names its plan by: everything that is measured by, save how many repetitions of it."""
        # As read from its file, where 600 seconds are 600.0: it is drawn on one machine and read on another.
        scenarios = msgspec.convert(msgspec.to_builtins(self.scenarios), dict[str, ScenarioPlan])
        base_stations = tuple(self.base_stations.items())  # their order counts
        measured_by = (self.version, self.run, self.seed, self.dataset, base_stations, scenarios)
        return hashlib.sha256(msgspec.json.encode(measured_by, order="sorted")).hexdigest()[:16]

    @property
    def content(self) -> str:
        """The hash of the whole plan, by which a change of it since it was drawn is found."""
        as_read = msgspec.convert(msgspec.to_builtins(self), Plan)
        return hashlib.sha256(msgspec.json.encode(as_read, order="sorted")).hexdigest()


class _Versioned(msgspec.Struct):
    version: int


def read(path: Path) -> Plan:
    """Return the plan that a file holds.

    Raises:
        DriverError: it is no plan, or of another version.
        OSError: it cannot be read.
    """
    content = path.read_bytes()
    try:
        version = msgspec.json.decode(content, type=_Versioned).version
        if version != VERSION:
            raise DriverError(
                f"{path}: plan version {version}, but this faasbed reads version {VERSION}: finish the run with the "
                "commit that its manifest.json names, or begin a new run"
            )
        plan = msgspec.json.decode(content, type=Plan)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DriverError(f"{path}: not a plan: {error}; begin a new run") from error
    if reason := _contradiction(plan):
        raise DriverError(f"{path}: not a plan: {reason}; restore the file, or begin a new run")
    return plan


def _contradiction(plan: Plan) -> str | None:
    """Return what in a plan cannot be measured, in a few words."""
    texts = len(plan.splits[0]) if plan.splits else 0
    if plan.seed < 0 or not plan.base_stations:
        return "no base station" if not plan.base_stations else f"its seed is {plan.seed}"
    for number, split in enumerate(plan.splits):
        if not split or len(split) != texts or min(split) < 0 or max(split) >= texts:
            return f"split {number} is not one of {texts} texts"
    for entry in plan.order:
        if entry.scenario not in plan.scenarios:
            return f"its order names {entry.scenario[:40]!r}, which is not a scenario of it"
        if not 0 <= entry.repetition < len(plan.splits):
            return f"it has no split for repetition {entry.repetition}"
    return next((problem for each in plan.scenarios.items() if (problem := _of_scenario(plan, *each))), None)


def _of_scenario(plan: Plan, name: str, scenario: ScenarioPlan) -> str | None:
    """Return what in a scenario of a plan cannot be measured, in a few words."""
    which = f"scenario {name[:40]!r}"
    if list(scenario.routes) != list(plan.base_stations) or not all(scenario.routes.values()):
        return f"{which} does not tell where each base station sends"
    if not {site for route in scenario.routes.values() for site in route} <= set(scenario.sites):
        return f"{which} sends to a site that it has not"
    if not all(site.nodes for site in scenario.sites.values()):
        return f"{which} has a site without nodes"
    if not {name for event in scenario.events for name in event.asked} <= set(plan.changing):
        return f"{which} has events on a node that has no address"
    if len(scenario.division.weights) != len(plan.base_stations):
        return f"{which} divides its data among others than the base stations"
    return None


def check_dataset(plan: Plan, path: Path) -> None:
    """Refuse a data set that is not the plan's.

    Raises:
        DriverError: the file holds another one.
        OSError: it cannot be read.
    """
    if hashlib.sha256(path.read_bytes()).hexdigest() != plan.dataset:
        raise DriverError(
            f"{path} is not the data set that plan.json names: it was altered since the run began; restore it, or "
            "begin a new run"
        )

"""What the events of a scenario change on an inventory's nodes: links, who is away, what computes beside replicas."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

from experiments.base_station.plan import BackgroundChange, Event, LinkChange, LoadChange, NodeChange
from experiments.errors import SpecError
from experiments.spec import role_links
from experiments.spec.events import LinkChangeSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from experiments.platforms.platform import Platform
    from experiments.service import Service
    from experiments.spec import Scenario
    from experiments.spec.events import EventSpec, NodesChangeSpec
    from experiments.spec.links import Pairs
    from nodes.inventory import Inventory

    Pair = tuple[str, str]

P = TypeVar("P", bound="Pairs")
CUT = LinkChangeSpec(down=True)


class Changing:
    """The links and nodes of a scenario as one event after the other leaves them.

    Args:
        scenario: its name and events.
        links: its links, as entries of ``netem_links``.
        members: its nodes.
        services: its replicas, by site.
        platform: on which these run.
        inventory: the nodes and their groups.

    Raises:
        SpecError: the events cannot be in one scenario.
    """

    def __init__(
        self,
        scenario: Scenario,
        links: Mapping[Pair, dict[str, Any]],
        members: Sequence[str],
        services: Sequence[Service],
        platform: Platform,
        inventory: Inventory,
    ) -> None:
        self._scenario = scenario
        self._first = {
            pair: {key: one for key, one in entry.items() if key not in ("source", "target")}
            for pair, entry in links.items()
        }
        self._now = {pair: (values, role_links.shape(values)) for pair, values in self._first.items()}
        self._members = members
        self._services = services
        self._platform = platform
        self._inventory = inventory
        # Those that are cut off now, and those that some event drains.
        self._cut: set[str] = set()
        self._drained = {spec.group for event in scenario.events for spec in event.nodes if spec.how == "drained"}
        cuts = [event for event in scenario.events if any(spec.how == "cut" and spec.away for spec in event.nodes)]
        kinds = {event.at_s is None for event in scenario.events}
        if cuts and len(kinds) > 1:
            raise SpecError(
                f"scenario {scenario.name}: events: nodes are cut, and some events have at_s, others "
                "before_repetition: use one of them for all, as a node that is back has its links as the events before "
                "left them"
            )

    def planned(self) -> tuple[Event, ...]:
        """Return the events with the nodes that they are about, in the order of the scenario's file.

        Raises:
            SpecError: an event is about nodes or links that the scenario does not have, or cannot be.
        """
        events = self._scenario.events
        in_turn = sorted(enumerate(events), key=lambda one: one[1].at_s or one[1].before_repetition or 0)
        found = {number: self._event(event) for number, event in in_turn}
        return tuple(found[number] for number in range(len(found)))

    def _event(self, event: EventSpec) -> Event:
        """Return what an event changes, those before it having been carried out."""
        place = f"scenario {self._scenario.name}: events: {_when(event)}"
        touched = set(self._changed(event, place))
        nodes = tuple(chain.from_iterable(self._nodes_of(spec, place) for spec in event.nodes))
        for change in nodes:
            if (change.state == "cut") != (change.node in self._cut):
                self._cut ^= {change.node}
                touched |= self._around(change.node, place)
        changes = (self._link_change(pair) for pair in self._first if pair in touched)
        load = tuple(chain.from_iterable(self._load(spec.group, spec.processes, place) for spec in event.load))
        before = None if event.before_repetition is None else event.before_repetition - 1
        background = tuple(self._background(event, place))
        return Event(event.at_s, before, tuple(changes), nodes, load, background)

    def _changed(self, event: EventSpec, place: str) -> Iterator[Pair]:
        """Yield the links that an event names, with their new values taken over."""
        for spec, pair in self._named(event.links, place):
            try:
                values = spec.changed(self._first[pair])
            except ValueError as error:
                raise SpecError(f"{place}: the link {pair[0]} -> {pair[1]}: {error}") from error
            self._now[pair] = (values, "down" if spec.down else role_links.shape(values))
            yield pair

    def _background(self, event: EventSpec, place: str) -> Iterator[BackgroundChange]:
        for spec, pair in self._named(event.background, place):
            yield BackgroundChange(*pair, mbit_per_s=spec.mbit_per_s)

    def _named(self, specs: Iterable[P], place: str) -> Iterator[tuple[P, Pair]]:
        """Yield the links that entries of an event name, each once."""
        named: set[Pair] = set()
        for spec in specs:
            pairs = spec.of(self._members, self._inventory.hosts)
            if not pairs:
                raise SpecError(
                    f"{place}: links between {' and '.join(spec.between)}: there are none, as none of the scenario's "
                    f"nodes is in one of these groups of inventory {self._inventory.name}; its nodes are "
                    f"{', '.join(self._members)}"
                )
            for pair in pairs:
                link = f"the link {pair[0]} -> {pair[1]}"
                if pair in named:
                    raise SpecError(f"{place}: {link} is named by two entries; keep one of them")
                if pair not in self._first:
                    raise SpecError(f"{place}: {link} is none of links, so it cannot change")
                named.add(pair)
                yield spec, pair

    def _nodes_of(self, spec: NodesChangeSpec, place: str) -> Iterator[NodeChange]:
        """Yield the state of each node of a group that can leave."""
        hosts = self._inventory.hosts(spec.group)
        replicas = [node for service in self._services for node in service.nodes if node in hosts]
        if not replicas:
            raise SpecError(f"{place}: nodes: no replica of this scenario runs on a node of a group {spec.group}")
        gateways = {service.gateway for service in self._services}
        free = [node for node in replicas if node not in gateways]
        if spec.away > len(free):
            stays = ", ".join(node for node in replicas if node in gateways)
            raise SpecError(
                f"{place}: nodes: {spec.away} of {', '.join(replicas)} cannot be away: requests come in through "
                f"{stays}, which cannot leave, so {len(free)} can; take fewer, or give the scenario more replicas"
            )
        leaving = free[len(free) - spec.away :]
        for node in free:
            state = spec.how if node in leaving else "there"
            asked = node
            if spec.group in self._drained:
                asked = self._platform.drains_by(node, self._inventory) or ""
                if not asked:
                    raise SpecError(
                        f"{place}: nodes: {node} belongs to a cluster that is somebody else's (kubeconfig), and is not "
                        "drained: use how: cut"
                    )
            self._check_asked(asked, place)
            yield NodeChange(node, asked, state)

    def _load(self, group: str, processes: int, place: str) -> Iterator[LoadChange]:
        hosts = self._inventory.hosts(group)
        nodes = [node for node in self._members if node in hosts]
        if not nodes:
            raise SpecError(f"{place}: load: none of the scenario's nodes is in a group {group}")
        for node in nodes:
            self._check_asked(node, place)
            yield LoadChange(node, processes)

    def _check_asked(self, node: str, place: str) -> None:
        """Refuse a node that has no links: what carries events out stands beside them."""
        if not any(source == node for source, _ in self._first):
            raise SpecError(
                f"{place}: {node} would have to carry it out, and no link of the scenario leaves it: name one in links"
            )

    def _around(self, node: str, place: str) -> set[Pair]:
        """Return all links from and to a node."""
        every = {pair for other in self._members if other != node for pair in ((node, other), (other, node))}
        missing = next((pair for pair in sorted(every) if pair not in self._first), None)
        if missing is not None:
            raise SpecError(
                f"{place}: nodes: {node} cannot be cut, as {missing[0]} -> {missing[1]} is none of links: name it "
                "there, or use how: drained"
            )
        return every

    def _link_change(self, pair: Pair) -> LinkChange:
        first = self._first[pair]
        values, shape = self._now[pair]
        if self._cut & set(pair):
            values, shape = CUT.changed(values), "down"
        faster_ms = max(0.0, role_links.lowest_ms(first) - role_links.lowest_ms(values))
        return LinkChange(*pair, values=values, shape=shape, faster_ms=faster_ms)


def _when(event: EventSpec) -> str:
    return f"before_repetition {event.before_repetition}" if event.at_s is None else f"at_s {event.at_s:g}"

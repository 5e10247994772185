"""Has the nodes carry out events while a repetition is measured, and tells when each of them took effect.

The first base station asks each node that has something to change, by the TCP port that no link shapes, in the lines of
JSON that roles/netem answers (its module_utils/netem/changes.py). Before a repetition it tells what is to change, looks
at the node's clock (`experiments.base_station.clock`), and says when the repetition begins; each node then makes the
changes by its own clock, and puts everything back at the end, or when the connection ends.
"""

from __future__ import annotations

import json
import socket
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import msgspec

from collect.records import ChangeRecord
from experiments.base_station.clock import ahead_ns
from experiments.base_station.errors import DriverError
from experiments.base_station.links import LinksError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from experiments.base_station.network import Start
    from experiments.base_station.plan import Entry, Event, Plan

# A node answers when it has changed what it was asked to; at the end, when the replicas that had left answer again.
ANSWER_S = 60.0
BACK_S = 600.0
# A node that is gone is known to be after some ten seconds.
KEEP_IDLE_S, KEEP_INTERVAL_S, KEEP_PROBES = 4, 2, 3
LINE_BYTES = 16 << 20
# All nodes know when a repetition begins so long before it does.
AHEAD_NS = 50_000_000
# How late a change may be.
MOST_LATE_MS = 50.0
NS_PER_S, NS_PER_MS = 1_000_000_000, 1_000_000
# What a change is of, beside a node's name, which has no blank.
LINKS, LOAD = "its links", "its load"
STATES = {"there": "serves requests", "drained": "away, drained", "cut": "away, cut off"}


class Made(msgspec.Struct, frozen=True):
    """When a node had carried out a part of the event of this number, by its clock: its links, a node, its load."""

    number: int
    of: str
    at_ns: int


class Answer(msgspec.Struct, frozen=True):
    """What a node answers: of these what was asked for, or why it cannot be."""

    error: str | None = None
    now_ns: int | None = None
    made: tuple[Made, ...] = ()


class Changes:
    """The events of a run, for as long as it is entered; a base station that is not the first has none carried out.

    Args:
        plan: what is measured.
        base_station: this one.
        port: at which the nodes are asked.
    """

    def __init__(self, plan: Plan, base_station: str, port: int) -> None:
        self._plan = plan
        self._own = plan.base_stations[base_station]
        self._port = port
        self._is_first = base_station == plan.first
        self._stack = ExitStack()
        self._nodes: dict[str, _Node] = {}
        # Of the repetition that is measured: its events that concern each node, and when it began, by this clock.
        self._events: dict[str, dict[int, Event]] = {}
        self._begin_ns = 0
        self._clocks: dict[str, tuple[int, int]] = {}

    def __enter__(self) -> Self:
        """Reach the nodes.

        Raises:
            DriverError: one cannot be reached.
        """
        if self._is_first:
            with self._stack:
                for name, address in self._plan.changing.items():
                    self._nodes[name] = self._stack.enter_context(_Node(name, address, self._port, self._own))
                self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Part from them: whatever was changed is put back."""
        self._stack.close()

    def start(self, entry: Entry, start: Callable[[], Start]) -> Start:
        """Have nodes make ready for a repetition, and return when it begins, once all are ready for it.

        Raises:
            DriverError: a node does not answer. LinksError: one cannot change what is planned.
        """
        events = self._plan.scenarios[entry.scenario].changes(entry)
        self._events = {
            name: of_node
            for name in self._nodes
            if (of_node := {number: event for number, event in events if name in event.asked})
        }
        for name, of_node in self._events.items():
            changes = [_change(name, number, event) for number, event in of_node.items()]
            self._nodes[name].ask("prepare", changes=changes)
        self._clocks = {name: ahead_ns(self._nodes[name].look) for name in self._events}
        begun = start()
        if self._events and begun.clock_error_ms is None:  # alone, it would begin before the nodes are told
            begun = begun._replace(begin_ns=time.monotonic_ns() + AHEAD_NS)
        self._begin_ns = begun.begin_ns
        for name, (offset_ns, _) in self._clocks.items():
            self._nodes[name].ask("begin", at_ns=self._begin_ns + offset_ns)
        return begun

    def end(self, entry: Entry, attempt: int, base_station: str) -> list[ChangeRecord]:
        """Have nodes put everything back, and return what they had changed, and when.

        Raises:
            DriverError: a node does not answer. LinksError: one could not change what was planned.
        """
        found: list[ChangeRecord] = []
        for name, of_node in self._events.items():
            offset_ns, round_trip_ns = self._clocks[name]
            made = {(one.number, one.of): one.at_ns - offset_ns for one in self._nodes[name].ask("end", BACK_S).made}
            found += [
                ChangeRecord(
                    run=self._plan.run,
                    plan=self._plan.hash,
                    scenario=entry.scenario,
                    base_station=base_station,
                    block=entry.block,
                    repetition=entry.repetition,
                    attempt=attempt,
                    warmup=entry.warmup,
                    event=number,
                    source=source,
                    target=target,
                    shape=shape,
                    planned_ns=None if event.at_s is None else self._begin_ns + round(event.at_s * NS_PER_S),
                    changed_ns=made.get((number, of)),
                    clock_error_ms=round_trip_ns / 2 / NS_PER_MS,
                )
                for number, event in of_node.items()
                for by, source, target, shape, of in parts(event)
                if by == name
            ]
        self._events = {}
        return found


def late(changes: list[ChangeRecord]) -> str | None:
    """Return, as a sentence, that a link changed at another time than planned; ``None`` where none did."""
    for change in changes:
        if change.target is None or change.planned_ns is None or change.changed_ns is None:
            continue
        off_ms = (change.changed_ns - change.planned_ns) / NS_PER_MS
        if abs(off_ms) > MOST_LATE_MS:
            return (
                f"the link {change.source} -> {change.target} changed {off_ms:.0f} ms after it should have, "
                f"{MOST_LATE_MS:g} ms are allowed: {change.source} is too busy"
            )
    return None


class Part(NamedTuple):
    """A part of an event: the node that carries it out, source and target as on record, in words, what it is of."""

    by: str
    source: str
    target: str | None
    shape: str
    of: str


def parts(event: Event) -> Iterator[Part]:
    """Yield the parts of an event: links first, then nodes, what is sent, and what computes."""
    for link in event.links:
        yield Part(link.source, link.source, link.target, link.shape, LINKS)
    for one in event.nodes:
        yield Part(one.asked, one.node, None, STATES[one.state], LINKS if one.state == "cut" else one.node)
    for sent in event.background:
        much = f"{sent.mbit_per_s:g} Mbit/s beside the requests" if sent.mbit_per_s else "requests only"
        yield Part(sent.source, sent.source, sent.target, much, f"sends to {sent.target}")
    for load in event.load:
        many = f"{load.processes or 'no'} process{'es' * (load.processes != 1)} beside the replicas"
        yield Part(load.node, load.node, None, many, LOAD)


def _change(node: str, number: int, event: Event) -> dict[str, Any]:
    """Return an event as a node is told of it: the links that leave it, who is drained, how much it computes."""
    load = next((one.processes for one in event.load if one.node == node), None)
    return {
        "number": number,
        "nodes": [{"node": one.node, "is_drained": one.state == "drained"} for one in event.nodes if one.asked == node],
        "processes": load,
        "background": [
            {"target": one.target, "mbit_per_s": one.mbit_per_s} for one in event.background if one.source == node
        ],
        "links": [
            {"source": one.source, "target": one.target, **one.values} for one in event.links if one.source == node
        ],
        "after_ns": None if event.at_s is None else round(event.at_s * NS_PER_S),
    }


class _Node:
    """A node that carries out events."""

    def __init__(self, name: str, address: str, port: int, own: str) -> None:
        self._name = name
        # It is where several base stations meet, so the node that this one is on is asked by its loopback interface.
        here = address == own
        where, source = ("127.0.0.1", "127.0.0.1") if here else (address, own)
        try:
            self._connection = socket.create_connection((where, port), ANSWER_S, source_address=(source, 0))
        except OSError as error:
            raise DriverError(
                f"{name} cannot be asked for changes at {where}:{port}/tcp: {error.strerror or error}; apply "
                "the links again (playbooks/links.yml)"
            ) from error
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEP_IDLE_S)
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEP_INTERVAL_S)
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEP_PROBES)
        self._lines = self._connection.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self._connection.close()

    def ask(self, what: str, within_s: float = ANSWER_S, **more: Any) -> Answer:
        """Ask for something.

        Raises:
            DriverError: the node does not answer. LinksError: it cannot be; the message says why.
        """
        self._connection.settimeout(within_s)
        try:
            self._connection.sendall(json.dumps({"ask": what, **more}).encode() + b"\n")
            answer = msgspec.json.decode(self._lines.readline(LINE_BYTES), type=Answer)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DriverError(f"{self._name}, which carries out events, does not answer: {error}") from error
        if answer.error is not None:
            raise LinksError(f"{self._name} cannot carry out an event: {answer.error}")
        return answer

    def look(self) -> int:
        """Return what its clock says, in ns."""
        return self.ask("clock").now_ns or 0

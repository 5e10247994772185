"""Has the nodes change their links while a repetition is measured, and tells when each change took effect.

The first base station asks each node whose links change, by the TCP port that no link shapes, in the lines of JSON that
roles/netem answers (its module_utils/netem/changes.py). Before a repetition it tells what is to change, looks at the
node's clock (`experiments.base_station.clock`), and says when the repetition begins; each node then makes the
changes by its own clock, and puts its links back at the end, or when the connection ends.
"""

from __future__ import annotations

import json
import socket
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

import msgspec

from collect.records import ChangeRecord
from experiments.base_station.clock import ahead_ns
from experiments.base_station.errors import DriverError
from experiments.base_station.links import LinksError

if TYPE_CHECKING:
    from collections.abc import Callable

    from experiments.base_station.network import Start
    from experiments.base_station.plan import Entry, Event, Plan

# A node answers when it has changed its links, for which it may have to wait for others.
ANSWER_S = 60.0
LINE_BYTES = 16 << 20
# All nodes know when a repetition begins so long before it does.
AHEAD_NS = 50_000_000
# How late a change may be.
MOST_LATE_MS = 50.0
NS_PER_S, NS_PER_MS = 1_000_000_000, 1_000_000


class Made(msgspec.Struct, frozen=True):
    """When a node has carried out the event of this number, by its clock."""

    number: int
    at_ns: int


class Answer(msgspec.Struct, frozen=True):
    """What a node answers: of these what was asked for, or why it cannot be."""

    error: str | None = None
    now_ns: int | None = None
    made: tuple[Made, ...] = ()


class Changes:
    """The changes of links of a run, for as long as it is entered; a base station that is not the first makes none.

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
            DriverError: a node does not answer. LinksError: one cannot change its links as planned.
        """
        events = self._plan.scenarios[entry.scenario].changes(entry)
        self._events = {
            name: of_node
            for name in self._nodes
            if (
                of_node := {number: event for number, event in events if any(one.source == name for one in event.links)}
            )
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
        """Have nodes put their links back, and return what they had changed, and when.

        Raises:
            DriverError: a node does not answer. LinksError: one could not change its links as planned.
        """
        found: list[ChangeRecord] = []
        for name, of_node in self._events.items():
            offset_ns, round_trip_ns = self._clocks[name]
            made = {one.number: one.at_ns - offset_ns for one in self._nodes[name].ask("end").made}
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
                    source=link.source,
                    target=link.target,
                    shape=link.shape,
                    planned_ns=None if event.at_s is None else self._begin_ns + round(event.at_s * NS_PER_S),
                    changed_ns=made.get(number),
                    clock_error_ms=round_trip_ns / 2 / NS_PER_MS,
                )
                for number, event in of_node.items()
                for link in event.links
                if link.source == name
            ]
        self._events = {}
        return found


def late(changes: list[ChangeRecord]) -> str | None:
    """Return, as a sentence, that a link changed at another time than planned; ``None`` where none did."""
    for change in changes:
        if change.planned_ns is None or change.changed_ns is None:
            continue
        off_ms = (change.changed_ns - change.planned_ns) / NS_PER_MS
        if abs(off_ms) > MOST_LATE_MS:
            return (
                f"the link {change.source} -> {change.target} changed {off_ms:.0f} ms after it should have, "
                f"{MOST_LATE_MS:g} ms are allowed: {change.source} is too busy"
            )
    return None


def _change(node: str, number: int, event: Event) -> dict[str, Any]:
    """Return an event as a node is told of it: the links that leave it."""
    return {
        "number": number,
        "links": [
            {"source": one.source, "target": one.target, **one.values} for one in event.links if one.source == node
        ],
        "after_ns": None if event.at_s is None else round(event.at_s * NS_PER_S),
    }


class _Node:
    """A node whose links change."""

    def __init__(self, name: str, address: str, port: int, own: str) -> None:
        self._name = name
        # It is where several base stations meet, so the node that this one is on is asked by its loopback interface.
        here = address == own
        where, source = ("127.0.0.1", "127.0.0.1") if here else (address, own)
        try:
            self._connection = socket.create_connection((where, port), ANSWER_S, source_address=(source, 0))
        except OSError as error:
            raise DriverError(
                f"{name} cannot be asked to change its links at {where}:{port}/tcp: {error.strerror or error}; apply "
                "the links again (playbooks/links.yml)"
            ) from error
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._lines = self._connection.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self._connection.close()

    def ask(self, what: str, **more: Any) -> Answer:
        """Ask for something.

        Raises:
            DriverError: the node does not answer. LinksError: it cannot be; the message says why.
        """
        try:
            self._connection.sendall(json.dumps({"ask": what, **more}).encode() + b"\n")
            answer = msgspec.json.decode(self._lines.readline(LINE_BYTES), type=Answer)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DriverError(f"{self._name}, which changes its links, does not answer: {error}") from error
        if answer.error is not None:
            raise LinksError(f"{self._name} cannot change its links: {answer.error}")
        return answer

    def look(self) -> int:
        """Return what its clock says, in ns."""
        return self.ask("clock").now_ns or 0

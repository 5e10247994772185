"""What changes while links are used, at agreed times: a program for whoever measures over them.

    python -m ansible.module_utils.netem.changes INTERFACE FOLDER PROGRAM DESCRIPTOR PEER COMMAND

Links get other values, nodes leave and join again by COMMAND (`ansible.module_utils.node.leaving`), processes compute on
this node beside its replicas, and datagrams are sent over links beside what is measured.

Apply starts it beside the lease, with a TCP socket that listens; it hears one connection of the peer at a time. Lines of
JSON are asked and answered:

    {"ask": "clock"}                       {"now_ns": …}, CLOCK_MONOTONIC of this node
    {"ask": "prepare", "changes": […]}     {}: they can be made; each has its `number`, its `links`, as netem_links has
                                           them, its `nodes`, each with its name and whether it `is_drained`, how many
                                           `processes` compute, or null, its `background`, each with `target` and
                                           `mbit_per_s`, and `after_ns`, or null for at once
    {"ask": "begin", "at_ns": …}           {}: `after_ns` counts from now on
    {"ask": "end"}                         {"made": [{"number": …, "of": …, "at_ns": …}, …]}, when each took effect: its
                                           links, a node by its name, its load, what it sends to a target. Links have
                                           the values again that were applied, nodes have joined, nothing computes or
                                           is sent

Where something is refused the answer is {"error": "a sentence"}. All is as before at the end of a connection, too,
however it ends; and the program ends when the links are cleared.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ansible.module_utils.node.background import Background, began_ns
from ansible.module_utils.node.busy import Busy
from ansible.module_utils.node.errors import NodeError
from ansible.module_utils.node.leaving import Leaving

from .lease import alone
from .left import CHANGES, Left
from .link import Link, LinkError
from .probe import punctual
from .shaping import Shaping

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

LOOK_S = 1.0  # how soon it ends after the links were cleared
AHEAD_NS = 500_000_000  # a change is made ready so long before its time: others may hold the folder for a moment
LINE_BYTES = 16 << 20
NS_PER_S = 1_000_000_000
# What a change is of, beside a node's name, which has no blank.
LINKS, LOAD = "its links", "its load"
# A connection whose other end is gone is known to be broken after some ten seconds.
KEEP_IDLE_S, KEEP_INTERVAL_S, KEEP_PROBES = 4, 2, 3


class Changer:
    """The process that changes the links of an interface.

    Args:
        interface: the data interface.
        folder: where this node keeps what the role leaves on it.
        program: the emulator's path on this node.
    """

    def __init__(self, interface: str, folder: Path, program: str) -> None:
        self.interface = interface
        self.program = Left(CHANGES, interface, folder, program, f"{interface}.changes")

    def start(self, address: str, port: int, peer: str, command: str) -> None:
        """Start it; it can be reached when this returns.

        Args:
            address: at which it listens.
            port: TCP.
            peer: the address that it hears.
            command: by which nodes leave and join.

        Raises:
            NodeError: the port is taken.
        """
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            listener = socket.create_server((address, port), family=family)
        except OSError as error:
            raise NodeError(
                f"who changes the links of {self.interface} cannot listen at {address}:{port}/tcp: {error.strerror}; end "
                "the program that has this port, or set another netem_control_port."
            ) from error
        with listener:
            self.program.start(str(listener.fileno()), peer, command, pass_fds=(listener.fileno(),))

    def end(self) -> None:
        """End it; whoever does so applies or clears the links next."""
        self.program.end(f"processes that change the links of {self.interface}")


def left_changed(shaping: Shaping, changer: Changer) -> str | None:
    """Return, as a sentence, that links were left with the values of a planned change; None where they were not."""
    if shaping.first.exists() and not changer.program.pids():
        return f"the process that changes the links of {shaping.interface} has ended and left some changed"
    return None


class Change(NamedTuple):
    """A planned change, when it takes its turn.

    ``links`` have their new values by target, ``drained`` tells of nodes whether they are, ``processes`` compute, and
    ``background`` are Mbit/s by target.
    """

    number: int
    links: Mapping[str, Link]
    drained: Mapping[str, bool]
    processes: int | None
    background: Mapping[str, float]
    after_ns: int | None

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Change:
        """Return the change that an entry describes.

        Raises:
            LinkError: a link cannot have these values.
        """
        links = map(Link.from_mapping, entry["links"])
        return cls(
            entry["number"],
            {link.target: link for link in links},
            {one["node"]: one["is_drained"] for one in entry["nodes"]},
            entry["processes"],
            {one["target"]: one["mbit_per_s"] for one in entry["background"]},
            entry["after_ns"],
        )


class Session:
    """What a connection asks for, from its first change to its last."""

    def __init__(
        self, connection: socket.socket, shaping: Shaping, folder: Path, command: Path, cores: Collection[int]
    ) -> None:
        self.leaving = Leaving(command)
        self.busy = Busy(os.getpid(), cores)
        self.background = Background()
        self.connection = connection
        self.lines = connection.makefile("rb")
        self.shaping = shaping
        self.folder = folder
        self.later: list[Change] = []
        self.begin_ns: int | None = None
        self.made: list[dict[str, Any]] = []
        self.error: str | None = None

    def attend(self) -> None:
        """Answer until the connection ends, then put everything back."""
        try:
            with contextlib.suppress(OSError):  # the connection is broken
                while self._turn():
                    pass
        finally:
            self.later = []
            self._put_back()

    def _turn(self) -> bool:
        """Make the next change or answer the next line, whichever comes first; return whether there may be more."""
        wait_s = None
        if self.later and self.begin_ns is not None:
            due_ns = self.begin_ns + (self.later[0].after_ns or 0)
            wait_s = max(0.0, (due_ns - AHEAD_NS - time.monotonic_ns()) / NS_PER_S)
        readable, _, _ = select.select([self.connection], [], [], wait_s)
        if not readable:
            self._guarded(lambda: self._make(self.later.pop(0)))
            return True
        line = self.lines.readline(LINE_BYTES)
        if not line.endswith(b"\n"):
            return False
        try:
            asked = json.loads(line)
            answer = getattr(self, f"answer_{asked['ask']}")(asked)
        except (ValueError, KeyError, TypeError, AttributeError):
            return False
        self.connection.sendall(json.dumps({"error": self.error} if self.error else answer).encode() + b"\n")
        return True

    def answer_clock(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """Tell what the clock says."""
        return {"now_ns": time.monotonic_ns()}

    def answer_prepare(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Check that the changes can be made, and make those without a time at once."""
        self.made, self.error, self.begin_ns, self.leaving.error = [], None, None, None
        self._guarded(lambda: self._prepare([Change.of(entry) for entry in asked["changes"]]))
        return {}

    def answer_begin(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Count from this time."""
        self.begin_ns = int(asked["at_ns"])
        return {}

    def answer_end(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """Put everything back, and tell what was made."""
        self.later = []
        self._guarded(self._put_back)
        self.error = self.error or self.leaving.error
        return {"made": self.made}

    def _put_back(self) -> None:
        self.background.end()
        self.busy.be(0)
        with alone(self.folder):
            self.shaping.put_back()
        self.leaving.all_back()

    def _guarded(self, work: Any) -> None:
        """Do something; what keeps it from being done is told with the next answer, and nothing more is changed."""
        try:
            work()
        except (NodeError, LinkError) as error:
            self.error, self.later = self.error or str(error), []

    def _prepare(self, changes: list[Change]) -> None:
        with alone(self.folder):
            for change in changes:
                self.shaping.prepare(change.links)
                for target in sorted(change.background.keys() - self.shaping.recorded().keys()):
                    raise NodeError(
                        f"no link to {target} is in force on {self.shaping.interface}, so nothing is sent over it"
                    )
        for change in changes:
            if change.after_ns is None:
                self._make(change)
        self.later = [change for change in changes if change.after_ns is not None]

    def _make(self, change: Change) -> None:
        due_ns = self.begin_ns + change.after_ns if self.begin_ns and change.after_ns is not None else 0
        recorded = self.shaping.recorded() if change.background else {}
        rates = {target: (recorded[target].addresses[0], rate) for target, rate in change.background.items()}
        sending = self.background.prepare(rates, due_ns)
        at_ns = self._change_links(change, due_ns) if change.links else wait_until(due_ns)
        self.background.change(sending)
        if change.links:
            self._note(change, LINKS, at_ns)
        for target, process in sending.items():
            first_ns = at_ns if process is None else began_ns(process)
            if first_ns is not None:
                self._note(change, f"sends to {target}", first_ns)
        if change.processes is not None:
            self.busy.be(change.processes)
            self._note(change, LOAD, time.monotonic_ns())
        for node, is_away in change.drained.items():
            self.leaving.want(node, is_away=is_away, done=partial(self._note, change, node))

    def _note(self, change: Change, of: str, at_ns: int) -> None:
        self.made.append({"number": change.number, "of": of, "at_ns": at_ns})

    def _change_links(self, change: Change, due_ns: int) -> int:
        """Change links at their time, in front of others, and return when they had the new values."""
        with alone(self.folder):
            prepared = self.shaping.prepare(change.links)
            give = self.shaping.ready(prepared)
            with punctual():
                wait_until(due_ns)
                at_ns = give()
            self.shaping.remember(prepared)
        return at_ns


def wait_until(due_ns: int) -> int:
    """Return at this time or, where it has passed, at once, with what CLOCK_MONOTONIC says; 0 has passed."""
    while (left_ns := due_ns - time.monotonic_ns()) > 0:
        time.sleep(left_ns / NS_PER_S)
    return time.monotonic_ns()


def serve(
    listener: socket.socket, peer: str, shaping: Shaping, folder: Path, command: Path, cores: Collection[int]
) -> None:
    """Hear the peer, one connection after the other, for as long as there are links."""
    while shaping.file.exists():
        if not select.select([listener], [], [], LOOK_S)[0]:
            continue
        connection, (address, *_) = listener.accept()
        with connection:
            if address != peer:
                continue
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEP_IDLE_S)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEP_INTERVAL_S)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEP_PROBES)
            Session(connection, shaping, folder, command, cores).attend()


def main() -> None:
    """Serve."""
    interface, folder, program, descriptor, peer, command = sys.argv[1:]
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))  # links are no part of the node, which may be pinned to a core
    listener = socket.socket(fileno=int(descriptor))
    serve(listener, peer, Shaping(interface, Path(folder), program), Path(folder), Path(command), cores)


if __name__ == "__main__":
    main()

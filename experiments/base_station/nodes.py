"""Whether the nodes of the replicas are there: each sends a datagram once a second (roles/monitor)."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

import msgspec

from experiments.base_station.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import Iterable

# A node that is silent for so long is lost: one that is busy, or whose datagrams are, is silent for less.
LOST_S = 10.0
LOOK_S = 0.5
DATAGRAM_BYTES = 1500


class LostNodeError(DriverError):
    """Nodes were lost: what they were told, links above all, is lost with them, even if they come back.

    Attributes:
        nodes: which.
    """

    def __init__(self, nodes: tuple[str, ...]) -> None:
        super().__init__(
            f"{' and '.join(nodes)} {'was' if len(nodes) == 1 else 'were'} lost: silent for {LOST_S:.0f} s"
        )
        self.nodes = nodes


class Beat(msgspec.Struct, frozen=True):
    """What a node says: that it is there, and which run it was told of since its start."""

    run: str
    node: str


class Nodes:
    """Hears nodes, in a thread, for as long as it is entered.

    Args:
        run: the run's id; who beats for another one is not heard.
        names: the nodes that are expected; without a port nobody is.
        port: UDP.
        address: this node's, at which to listen.
    """

    def __init__(self, run: str, names: Iterable[str], port: int = 0, address: str | None = None) -> None:
        self._run = run
        self._silent_s = dict.fromkeys(names, 0.0) if port else {}
        self._beats = dict.fromkeys(self._silent_s, 0)
        self._where = (address or "0.0.0.0", port)  # noqa: S104 - without an address of its own it listens at all
        self._heard = threading.Condition()
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._hear, daemon=True)

    def __enter__(self) -> Self:
        """Listen.

        Raises:
            OSError: the port is taken.
        """
        if self._silent_s:
            family, kind, _, _, address = socket.getaddrinfo(*self._where, type=socket.SOCK_DGRAM)[0]
            self._socket = socket.socket(family, kind)
            try:
                self._socket.bind(address)
            except OSError as error:
                self._socket.close()
                raise DriverError(
                    f"the nodes cannot be heard at {self._where[0]}:{self._where[1]}/udp: {error.strerror}; end the "
                    "program that has this port"
                ) from error
            self._socket.settimeout(LOOK_S)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Listen no more."""
        self._left.set()
        if self._silent_s:
            self._thread.join()
            self._socket.close()

    def lost(self) -> LostNodeError | None:
        """Return which nodes were lost, if any; they stay so."""
        with self._heard:
            return self._lost()

    def check(self) -> None:
        """Refuse to go on without a node.

        Raises:
            LostNodeError: one was lost.
        """
        if lost := self.lost():
            raise lost

    def hear_all(self) -> None:
        """Return when each node has been heard from now on.

        Raises:
            LostNodeError: one was lost.
        """
        with self._heard:
            before = dict(self._beats)
            while not self._lost() and any(self._beats[name] == before[name] for name in before):
                self._heard.wait(LOOK_S)
        self.check()

    def _lost(self) -> LostNodeError | None:
        lost = tuple(name for name, silent_s in self._silent_s.items() if silent_s >= LOST_S)
        return LostNodeError(lost) if lost else None

    def _hear(self) -> None:
        looked_s = time.monotonic()
        while not self._left.is_set():
            heard = self._datagram()
            now_s = time.monotonic()
            # What this machine itself stood still is no silence of the nodes: what they said then comes only now.
            passed_s, looked_s = min(now_s - looked_s, LOOK_S), now_s
            with self._heard:
                for name, silent_s in self._silent_s.items():
                    if silent_s < LOST_S:
                        self._silent_s[name] = 0.0 if name == heard else silent_s + passed_s
                if heard is not None:
                    self._beats[heard] += 1
                self._heard.notify_all()

    def _datagram(self) -> str | None:
        """Return which node beats now, or None: what else comes here is passed over."""
        with suppress(OSError, msgspec.DecodeError, UnicodeDecodeError):
            beat = msgspec.json.decode(self._socket.recv(DATAGRAM_BYTES), type=Beat)
            if beat.run == self._run and beat.node in self._silent_s:
                return beat.node
        return None

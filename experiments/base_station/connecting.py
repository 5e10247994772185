"""Connections whose first segment leaves when it is time: all else is done by then. Shipped to the base station.

httpcore makes a connection in the middle of a request, after much Python. Threads that begin their requests at one
moment would do that one after the other, and be milliseconds apart. So a connection is prepared, whoever sends says
when it is time, and then there is one system call for each, one right after the other.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpcore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from httpcore import SOCKET_OPTION

# SCHED_FIFO, where allowed: as roles/netem's probes, below its emulators.
PRIORITY = 10

Release = Callable[[Callable[[], None]], None]
"""Calls what it is given when it is time, from whichever thread, and then returns."""


@contextmanager
def undisturbed() -> Iterator[None]:
    """Within it this thread gives way to no other program's, where it may ask for that: root may."""
    policy, before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except PermissionError:
        yield
        return
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, before)


class Connecting(httpcore.NetworkBackend):
    """How httpcore connects by TCP: ``release`` is set for each request, as one at a time uses it."""

    def __init__(self) -> None:
        self.release: Release = lambda start: start()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to an address.

        Raises:
            httpcore.ConnectError: it refuses, or there is no way. httpcore.ConnectTimeout: it does not answer.
        """
        with _as(httpcore.ConnectTimeout, httpcore.ConnectError):
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            connection = socket.socket(family, kind, protocol)
            try:
                for option in socket_options or ():
                    connection.setsockopt(*option)
                if local_address is not None:
                    connection.bind((local_address, 0))
                connection.setblocking(False)
                self.release(lambda: _begin(connection, address))
                _wait(connection, timeout)
            except BaseException:
                connection.close()
                raise
        return _Stream(connection)


class _Stream(httpcore.NetworkStream):
    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _as(httpcore.ReadTimeout, httpcore.ReadError):
            self._socket.settimeout(timeout)
            return self._socket.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with _as(httpcore.WriteTimeout, httpcore.WriteError):
            left = memoryview(buffer)
            while left:
                self._socket.settimeout(timeout)
                left = left[self._socket.send(left) :]

    def close(self) -> None:
        self._socket.close()

    def get_extra_info(self, info: str) -> Any:
        """Return what httpcore and `experiments.base_station.exchange` ask for, ``None`` for all else."""
        if info == "socket":
            return self._socket
        if info == "is_readable":  # a connection without a request that is so was closed by the other end
            poll = select.poll()
            poll.register(self._socket, select.POLLIN)
            return self._socket.fileno() < 0 or bool(poll.poll(0))
        return None


def _begin(connection: socket.socket, address: tuple[Any, ...]) -> None:
    """Send the first segment; what comes of it is told when it is waited for."""
    connection.connect_ex(address)


def _wait(connection: socket.socket, timeout_s: float | None) -> None:
    poll = select.poll()
    poll.register(connection, select.POLLOUT)
    if not poll.poll(None if timeout_s is None else timeout_s * 1000):
        raise TimeoutError
    if error := connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        raise OSError(error, os.strerror(error))


@contextmanager
def _as(late: type[Exception], broken: type[Exception]) -> Iterator[None]:
    """Raise what the system reports as httpcore does."""
    try:
        yield
    except TimeoutError as error:
        raise late(*error.args) from error
    except OSError as error:
        raise broken(error) from error

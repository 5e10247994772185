"""One HTTP request as the base station sees it, with the time of each stage. Shipped to the base station."""

from __future__ import annotations

import array
import fcntl
import math
import select
import socket
import termios
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import httpx

from experiments.base_station.crossing import RoundTrip, round_trip
from experiments.base_station.encoding import ACCEPTED, EncodingError, Unpacking

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CONNECT_TIMEOUT_S = 30
# How much of a reply that cannot be used is kept.
BODY_CHARACTERS = 200
EXCERPT_BYTES = 4 * BODY_CHARACTERS
# A reply beyond this is no reply of a function; read to its end it would fill the base station's memory.
REPLY_BYTES = 64 << 20
# How often it is asked, while replies are waited for, whether that is still of use.
LOOK_S = 0.5
# Linux gives the congestion control's name in at most 16 bytes (TCP_CA_NAME_MAX).
CONGESTION_NAME_BYTES = 16


@dataclass(slots=True)
class Exchange:
    """What came of a request; times are CLOCK_MONOTONIC in nanoseconds, ``None`` where it never came that far."""

    sent_ns: int | None = None
    connected_ns: int | None = None
    uploaded_ns: int | None = None
    first_byte_ns: int | None = None
    last_byte_ns: int | None = None
    status: int | None = None
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    congestion_control: str | None = None
    round_trip: RoundTrip | None = None
    error: str | None = None


Send = Callable[[bytes, Callable[[], None]], Exchange]
"""Sends a body on a new connection: the call in between returns when it is time, all else being ready."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How requests are sent, and what is expected of replies.

    ``host`` is the Host header, ``timeout_s`` of a whole exchange, ``source`` this node's address from which to send,
    by which the links back to it are told, ``None`` for any. ``lost`` tells why it is no use to wait any longer, if so;
    then the exchanges that wait fail with that reason. ``statuses`` are those of a success.
    """

    url: str
    host: str
    congestion_control: str
    timeout_s: float
    source: str | None = None
    lost: Callable[[], Exception | None] = lambda: None
    content_type: str = "application/json"
    statuses: tuple[int, ...] = (httpx.codes.OK.value,)


@contextmanager
def sender(way: Way) -> Iterator[Send]:
    """Yield what sends requests, from any thread."""
    missing = _missing(way.congestion_control)
    if missing is not None:
        yield lambda _body, _ready: Exchange(error=f"{way.url} was not asked: {missing}")
        return
    with _client(way) as client, _Waiting(way) as waiting:
        yield lambda body, ready: _send(client, way, body, ready, waiting)


def fire(way: Way, bodies: list[bytes]) -> list[Exchange]:
    """Send the bodies together, each on a new connection, and return what came of them in their order."""
    with sender(way) as send:
        return together(send, bodies)


def together(send: Send, bodies: Sequence[bytes]) -> list[Exchange]:
    """Send the bodies at the same moment, and return what came of them in their order."""
    barrier = threading.Barrier(len(bodies))

    def ready() -> None:
        barrier.wait()

    with ThreadPoolExecutor(len(bodies)) as pool:
        return list(pool.map(lambda body: send(body, ready), bodies))


def _missing(congestion_control: str) -> str | None:
    """Return why no connection can have this congestion control: httpcore calls that a node that is not there."""
    with socket.socket() as probe:
        try:
            probe.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congestion_control.encode())
        except OSError as error:
            return f"this kernel has no TCP congestion control {congestion_control} to give ({error.strerror})"
    return None


def _client(way: Way) -> httpx.Client:
    option = (socket.IPPROTO_TCP, socket.TCP_CONGESTION, way.congestion_control.encode())
    transport = httpx.HTTPTransport(
        socket_options=[option, (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        local_address=way.source,
        limits=httpx.Limits(max_keepalive_connections=0),
    )
    timeout = httpx.Timeout(way.timeout_s, connect=min(CONNECT_TIMEOUT_S, way.timeout_s))
    return httpx.Client(transport=transport, timeout=timeout, trust_env=False)


def _send(client: httpx.Client, way: Way, body: bytes, ready: Callable[[], None], waiting: _Waiting) -> Exchange:
    exchange, url = Exchange(), way.url
    headers = {
        "Host": way.host,
        "Content-Type": way.content_type,
        "Accept-Encoding": ACCEPTED,
        "Connection": "close",
    }
    request = client.build_request("POST", url, content=body, headers=headers)
    trace = _Trace(exchange, way.timeout_s)
    request.extensions["trace"] = trace
    # httpx times each read and each write; a peer that sends a byte now and then would have forever.
    ready()
    exchange.sent_ns = time.monotonic_ns()
    waiting.begin(trace)
    try:
        response = client.send(request, stream=True)
        with closing(response):
            exchange.body = _body(response)
    except httpx.HTTPError as error:
        # An exchange that was ended before its connection stood failed to connect.
        ended = trace.ended if exchange.connected_ns is not None else None
        exchange.error = ended or _sentence(url, error, way.timeout_s)
        return exchange
    except EncodingError as error:
        exchange.error = f"{url} answered {error}"
        return exchange
    finally:
        waiting.end(trace)
    exchange.last_byte_ns = exchange.last_byte_ns or time.monotonic_ns()
    exchange.status = response.status_code
    exchange.headers = dict(response.headers)
    if len(exchange.body) > REPLY_BYTES:
        size = f"{REPLY_BYTES >> 20} MiB"
        exchange.error = f"{url} answered with more than {size}: {excerpt(exchange.body[:EXCERPT_BYTES])}"
    elif response.status_code not in way.statuses:
        exchange.error = f"{url} answered {response.status_code}: {excerpt(exchange.body)}"
    return exchange


def _body(response: httpx.Response) -> bytes:
    """Return a reply's body; of one that is too long what came until that was known.

    Raises:
        EncodingError: it cannot be unpacked.
    """
    unpacking = Unpacking(response.headers.get("content-encoding", ""))
    body = bytearray()
    for piece in response.iter_raw():
        body += unpacking.unpacked(piece, REPLY_BYTES + 1 - len(body))
        if len(body) > REPLY_BYTES:
            break
    return bytes(body)


def excerpt(body: bytes) -> str:
    """Return the beginning of a reply for a record: in one line, without what a terminal obeys."""
    text = " ".join(body[:EXCERPT_BYTES].decode(errors="replace").split())
    shown = "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)[:BODY_CHARACTERS]
    if not shown:
        return f"(blanks, {len(body)} bytes)" if body else "(nothing)"
    return f"{shown} ... ({len(body)} bytes)" if len(body) > EXCERPT_BYTES or len(shown) < len(text) else shown


def _sentence(url: str, error: httpx.HTTPError, timeout_s: float) -> str:
    if isinstance(error, httpx.ConnectTimeout | httpx.ConnectError):
        return f"{url} cannot be reached: {excerpt(str(error).encode()) if str(error) else 'timed out'}"
    if isinstance(error, httpx.TimeoutException):
        return _too_late(url, timeout_s)
    # What is wrong may be quoted in it as it came.
    return f"{url}: the connection broke ({type(error).__name__}: {excerpt(str(error).encode())})"


def _too_late(url: str, timeout_s: float) -> str:
    return f"{url} did not answer in time ({timeout_s:g} s)"


class _Waiting:
    """Ends exchanges that take too long, or for which it is no use to wait: one thread looks after all of them.

    One for each would delay what is sent next.
    """

    def __init__(self, way: Way) -> None:
        self._way = way
        self._until_s: dict[_Trace, float] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join()

    def begin(self, trace: _Trace) -> None:
        with self._lock:
            self._until_s[trace] = time.monotonic() + self._way.timeout_s

    def end(self, trace: _Trace) -> None:
        with self._lock:
            self._until_s.pop(trace, None)

    def _run(self) -> None:
        while not self._closed.wait(self._look_s()):
            lost, now_s = self._way.lost(), time.monotonic()
            with self._lock:
                over = [trace for trace, until_s in self._until_s.items() if lost or until_s <= now_s]
            for trace in over:
                trace.end(str(lost) if lost else _too_late(self._way.url, self._way.timeout_s))
                self.end(trace)

    def _look_s(self) -> float:
        """Return after how many seconds to look again: what begins meanwhile ends later than what began before."""
        with self._lock:
            first_s = next(iter(self._until_s.values()), math.inf)
        return min(LOOK_S, self._way.timeout_s, max(0.0, first_s - time.monotonic()))


class _Trace:
    """Hears httpcore's trace events, in the sending thread, and keeps the time of each stage."""

    def __init__(self, exchange: Exchange, timeout_s: float) -> None:
        self._exchange = exchange
        self._timeout_s = timeout_s
        self._socket: socket.socket | None = None
        self.ended: str | None = None

    def end(self, reason: str) -> None:
        """End the exchange, from another thread: whatever it waits for fails at once, with this reason."""
        self.ended = self.ended or reason
        if self._socket is not None:
            with suppress(OSError):  # it has ended meanwhile
                self._socket.shutdown(socket.SHUT_RDWR)

    def __call__(self, event: str, info: dict[str, Any]) -> None:
        now = time.monotonic_ns()
        if event == "connection.connect_tcp.complete":
            self._exchange.connected_ns = now
            self._socket = info["return_value"].get_extra_info("socket")
            self._exchange.congestion_control = _congestion_control(self._socket)
            self._measure()
            if self.ended:
                self.end(self.ended)
        elif event == "http11.send_request_body.complete":
            if self._socket is not None:
                _wait_until_acknowledged(self._socket, self._timeout_s)
            self._exchange.uploaded_ns = time.monotonic_ns()
            self._measure()
        elif event == "http11.receive_response_headers.complete":
            self._exchange.first_byte_ns = now
        elif event == "http11.receive_response_body.complete":
            self._exchange.last_byte_ns = now

    def _measure(self) -> None:
        """Ask the live connection for its round trip, which tells whether it crosses the links."""
        if self._socket is not None:
            with suppress(OSError):  # it has ended
                self._exchange.round_trip = round_trip(self._socket) or self._exchange.round_trip


def _congestion_control(connection: socket.socket | None) -> str | None:
    """Ask the live connection, rather than trust what was asked for."""
    if connection is None:
        return None
    name = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, CONGESTION_NAME_BYTES)
    return name.split(b"\0", 1)[0].decode()


def _wait_until_acknowledged(connection: socket.socket, timeout_s: float) -> None:
    """Return when the peer has acknowledged every byte, or answers early: the kernel's buffer is no upload.

    Raises:
        httpx.WriteTimeout: the peer took no byte for so long that it never will.
    """
    unsent = array.array("i", [0])
    until = time.monotonic() + timeout_s
    with suppress(OSError):  # the connection broke: reading the answer fails with the reason
        while time.monotonic() < until:
            fcntl.ioctl(connection, termios.TIOCOUTQ, unsent)
            if unsent[0] == 0 or select.select([connection], [], [], 0.001)[0]:
                return
        raise httpx.WriteTimeout("the upload was not acknowledged")

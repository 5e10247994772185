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
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import httpcore

from experiments.base_station.connecting import Connecting, Release, undisturbed
from experiments.base_station.crossing import RoundTrip, round_trip
from experiments.base_station.encoding import ACCEPTED, EncodingError, Unpacking

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from experiments.base_station.plan import ScenarioPlan, Site
    from experiments.base_station.transport import Connections, Encoding, Protocol
    from experiments.workloads.workload import Workload

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
OK = 200
# For how long a connection without a request is kept: gateways close theirs after 120 s.
KEPT_S = 100.0
PROTOCOLS = {b"HTTP/1.1": "http/1.1", b"HTTP/1.0": "http/1.0", b"HTTP/2": "http/2"}
BROKEN = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol, httpcore.ConnectionNotAvailable)
LATE = (httpcore.TimeoutException,)


@dataclass(slots=True)
class Exchange:
    """What came of a request; times are CLOCK_MONOTONIC in nanoseconds, ``None`` where it never came that far.

    ``connection`` is ``new`` or ``kept``: one that was there before has no ``connected_ns``, and may have sent segments
    again before (``retransmissions_before``). One that failed without a whole reply did so at ``failed_ns``.
    """

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
    retransmissions_before: int = 0
    connection: str | None = None
    protocol: str | None = None
    error: str | None = None
    failed_ns: int | None = None

    @property
    def retransmissions(self) -> int | None:
        """How many segments were sent again for this request."""
        return None if self.round_trip is None else self.round_trip.retransmissions - self.retransmissions_before


Send = Callable[[bytes, Release], Exchange]
"""Sends a body when it is released, all else being ready."""


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
    statuses: tuple[int, ...] = (OK,)
    connections: Connections = "new"
    protocol: Protocol = "http/1.1"
    encoding: Encoding = "plain"

    @classmethod
    def to(
        cls,
        scenario: ScenarioPlan,
        site: Site,
        workload: Workload[Any],
        *,
        timeout_s: float,
        source: str | None,
        lost: Callable[[], Exception | None],
    ) -> Self:
        """Return how a scenario's requests are sent to a site."""
        return cls(
            url=site.url,
            host=site.host,
            congestion_control=scenario.congestion_control,
            timeout_s=timeout_s,
            source=source,
            lost=lost,
            content_type=workload.content_type,
            statuses=workload.statuses,
            connections=scenario.connections,
            protocol=scenario.protocol,
            encoding=scenario.encoding,
        )


class Connection:
    """A connection that one exchange at a time uses: made with the first request, and again where it has ended."""

    def __init__(self, way: Way) -> None:
        self.connecting = Connecting()
        option = (socket.IPPROTO_TCP, socket.TCP_CONGESTION, way.congestion_control.encode())
        self.pool = httpcore.ConnectionPool(
            # Without TLS nobody is asked which version to speak: it is the one that both know beforehand.
            http1=way.protocol == "http/1.1",
            http2=way.protocol == "http/2",
            max_connections=1,
            max_keepalive_connections=1 if way.connections == "kept" else 0,
            keepalive_expiry=KEPT_S,
            local_address=way.source,
            socket_options=[option, (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
            network_backend=self.connecting,
        )
        self.socket: socket.socket | None = None


class Kept:
    """Connections that are kept from one request to the next, and over repetitions; they are closed at the end."""

    def __init__(self) -> None:
        self._idle: dict[tuple[object, ...], list[Connection]] = defaultdict(list)
        self._all: list[Connection] = []

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        for connection in self._all:
            connection.pool.close()

    @contextmanager
    def connection(self, way: Way) -> Iterator[Connection]:
        """Yield a connection to a service that no other request uses meanwhile, from any thread."""
        idle = self._idle[way.url, way.host, way.congestion_control, way.source, way.protocol]
        try:
            connection = idle.pop()
        except IndexError:
            connection = Connection(way)
            self._all.append(connection)
        try:
            yield connection
        finally:
            idle.append(connection)


@contextmanager
def _new(way: Way) -> Iterator[Connection]:
    connection = Connection(way)
    with connection.pool:
        yield connection


@contextmanager
def sender(way: Way, kept: Kept | None = None) -> Iterator[Send]:
    """Yield what sends requests, from any thread; connections that are kept beyond it are in ``kept``."""
    missing = _missing(way.congestion_control)
    if missing is not None:

        def refuse(_: bytes, release: Release) -> Exchange:
            release(lambda: None)
            return Exchange(error=f"{way.url} was not asked: {missing}")

        yield refuse
        return
    with ExitStack() as stack:
        connect = _new
        if way.connections == "kept":
            connect = (kept if kept is not None else stack.enter_context(Kept())).connection
        waiting = stack.enter_context(_Waiting(way))

        def send(body: bytes, release: Release) -> Exchange:
            with connect(way) as connection:
                return _send(connection, way, body, release, waiting)

        yield send


def fire(way: Way, bodies: list[bytes]) -> list[Exchange]:
    """Send the bodies together, and return what came of them in their order."""
    with sender(way) as send:
        return together([send] * len(bodies), bodies)


def together(
    sends: Sequence[Send], bodies: Sequence[bytes], begin: Callable[[], None] = lambda: None
) -> list[Exchange]:
    """Send the bodies at the same moment, and return what came of them in their order.

    Args:
        sends: what sends each of them.
        bodies: one a request.
        begin: returns when it is time, called when each thread is ready.
    """
    starts: list[Callable[[], None]] = []

    def start_all() -> None:
        """Start one right after the other, from one thread: others would have to be woken up for that."""
        with undisturbed():
            begin()
            for start in starts:
                start()

    barrier = threading.Barrier(len(bodies), start_all)

    def release(start: Callable[[], None]) -> None:
        starts.append(start)
        barrier.wait()

    with ThreadPoolExecutor(len(bodies)) as pool:
        return list(pool.map(lambda send, body: send(body, release), sends, bodies))


def _missing(congestion_control: str) -> str | None:
    """Return why no connection can have this congestion control: httpcore calls that a node that is not there."""
    with socket.socket() as probe:
        try:
            probe.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congestion_control.encode())
        except OSError as error:
            return f"this kernel has no TCP congestion control {congestion_control} to give ({error.strerror})"
    return None


def _send(connection: Connection, way: Way, body: bytes, release: Release, waiting: _Waiting) -> Exchange:
    exchange, url = Exchange(), way.url

    def released(start: Callable[[], None]) -> None:
        """Start when it is time, once."""
        if exchange.sent_ns is None:
            release(lambda: _started(exchange, start))
            waiting.begin(trace)

    # httpcore times each read and each write; a peer that sends a byte now and then would have forever.
    trace = _Trace(exchange, way, connection, released)
    connection.connecting.release = released
    timeout_s = dict.fromkeys(("read", "write", "pool"), way.timeout_s)
    request = httpcore.Request(
        "POST",
        url,
        headers=_headers(way, len(body)),
        content=body,
        extensions={"timeout": {**timeout_s, "connect": min(CONNECT_TIMEOUT_S, way.timeout_s)}, "trace": trace},
    )
    try:
        response = connection.pool.handle_request(request)
        with closing(response):
            exchange.headers = _joined(response.headers)
            exchange.body = _body(response, exchange.headers.get("content-encoding", ""))
    except (*BROKEN, *LATE) as error:
        # An exchange that was ended before its connection stood failed to connect.
        ended = trace.ended if trace.has_connection else None
        exchange.error, exchange.failed_ns = ended or _sentence(url, error, way.timeout_s), time.monotonic_ns()
        return exchange
    except EncodingError as error:
        exchange.error, exchange.failed_ns = f"{url} answered {error}", time.monotonic_ns()
        return exchange
    finally:
        released(lambda: None)  # where it came to nothing before: others may wait for it
        waiting.end(trace)
    exchange.last_byte_ns = exchange.last_byte_ns or time.monotonic_ns()
    exchange.status = response.status
    exchange.protocol = PROTOCOLS.get(response.extensions.get("http_version", b""))
    if len(exchange.body) > REPLY_BYTES:
        size = f"{REPLY_BYTES >> 20} MiB"
        exchange.error = f"{url} answered with more than {size}: {excerpt(exchange.body[:EXCERPT_BYTES])}"
    elif response.status not in way.statuses:
        exchange.error = f"{url} answered {response.status}: {excerpt(exchange.body)}"
    return exchange


def _started(exchange: Exchange, start: Callable[[], None]) -> None:
    exchange.sent_ns = time.monotonic_ns()
    start()


def _headers(way: Way, size: int) -> list[tuple[str, str]]:
    headers = [
        ("Host", way.host),
        ("Content-Type", way.content_type),
        ("Content-Length", str(size)),
        ("Accept-Encoding", ACCEPTED),
    ]
    if way.encoding != "plain":
        headers.append(("Content-Encoding", way.encoding))
    if way.connections == "new" and way.protocol == "http/1.1":  # HTTP/2 has no such header
        headers.append(("Connection", "close"))
    return headers


def _joined(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers by name; of one that came several times the values with commas between (RFC 9110, section 5.2)."""
    joined: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = _decoded(raw_name).lower(), _decoded(raw_value)
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return joined


def _decoded(text: bytes) -> str:
    """Return a part of a header: UTF-8, as functions write it, or what HTTP once had."""
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")


def _body(response: httpcore.Response, encoding: str) -> bytes:
    """Return a reply's body; of one that is too long what came until that was known.

    Raises:
        EncodingError: it cannot be unpacked.
    """
    unpacking = Unpacking(encoding)
    body = bytearray()
    for piece in response.iter_stream():
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


def _sentence(url: str, error: Exception, timeout_s: float) -> str:
    if isinstance(error, httpcore.ConnectTimeout | httpcore.ConnectError):
        return f"{url} cannot be reached: {excerpt(str(error).encode()) if str(error) else 'timed out'}"
    if isinstance(error, LATE):
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

    def __init__(self, exchange: Exchange, way: Way, connection: Connection, release: Release) -> None:
        self._release = release
        self._exchange = exchange
        self._way = way
        self._connection = connection
        self._socket: socket.socket | None = None
        self.ended: str | None = None

    @property
    def has_connection(self) -> bool:
        """Whether a connection was there."""
        return self._socket is not None

    def end(self, reason: str) -> None:
        """End the exchange, from another thread: whatever it waits for fails at once, with this reason."""
        self.ended = self.ended or reason
        if self._socket is not None:
            with suppress(OSError):  # it has ended meanwhile
                self._socket.shutdown(socket.SHUT_RDWR)

    def _goes_by(self, connection: socket.socket, kind: Connections) -> None:
        self._socket = connection
        self._exchange.connection = kind
        self._exchange.congestion_control = _congestion_control(connection)
        self._measure()
        if kind == "kept" and self._exchange.round_trip is not None:
            self._exchange.retransmissions_before = self._exchange.round_trip.retransmissions
        if self.ended:
            self.end(self.ended)

    def __call__(self, event: str, info: dict[str, Any]) -> None:
        now = time.monotonic_ns()
        stage = event.partition(".")[2]
        if event == "connection.connect_tcp.complete":
            self._exchange.connected_ns = now
            self._connection.socket = info["return_value"].get_extra_info("socket")
            self._goes_by(self._connection.socket, "new")
        elif stage == "send_request_headers.started":
            if self._socket is None and self._connection.socket is not None:
                self._goes_by(self._connection.socket, "kept")
                self._release(lambda: None)
        elif stage == "send_request_body.complete":
            if self._socket is not None:
                _wait_until_acknowledged(self._socket, self._way)
            self._exchange.uploaded_ns = time.monotonic_ns()
            self._measure()
        elif stage == "receive_response_headers.complete":
            self._exchange.first_byte_ns = now
        elif stage == "receive_response_body.complete":
            self._exchange.last_byte_ns = now

    def _measure(self) -> None:
        """Ask the live connection for its round trip, which tells whether it crosses the links."""
        if self._socket is not None:
            with suppress(OSError, ValueError):  # it has ended
                self._exchange.round_trip = round_trip(self._socket) or self._exchange.round_trip


def _congestion_control(connection: socket.socket) -> str:
    """Ask the live connection, rather than trust what was asked for."""
    name = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, CONGESTION_NAME_BYTES)
    return name.split(b"\0", 1)[0].decode()


def _wait_until_acknowledged(connection: socket.socket, way: Way) -> None:
    """Return when the peer has acknowledged every byte, or answers early: the kernel's buffer is no upload.

    What a peer of HTTP/2 sends meanwhile is no answer: settings, and how much more it takes.

    Raises:
        httpcore.WriteTimeout: the peer took no byte for so long that it never will.
    """
    unsent = array.array("i", [0])
    until = time.monotonic() + way.timeout_s
    answers = [connection] if way.protocol == "http/1.1" else []
    with suppress(OSError, ValueError):  # the connection broke: reading the answer fails with the reason
        while time.monotonic() < until:
            fcntl.ioctl(connection, termios.TIOCOUTQ, unsent)
            if unsent[0] == 0 or select.select(answers, [], [], 0.001)[0]:
                return
        raise httpcore.WriteTimeout("the upload was not acknowledged")

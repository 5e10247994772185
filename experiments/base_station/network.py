"""Several base stations start each repetition at one agreed time, and tell the first one what they have measured.

The others connect to the first, by a TCP port that no link shapes, and speak in lines of JSON: who they are and what
they have on record; then, for each repetition, that they are ready, what their clock says, and which reply was best.
The first one's CLOCK_MONOTONIC is the one by which all times are recorded: how far another's is from it is told by the
exchange with the shortest round trip of several, to half of that round trip (as NTP does it, RFC 5905, section 8).
"""

from __future__ import annotations

import socket
import time
from abc import ABC, abstractmethod
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, NamedTuple, Self, TypeVar

import msgspec

from collect.records import LINE_BYTES, RequestRecord
from experiments.base_station.clock import LOOKS, ahead_ns
from experiments.base_station.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import Collection

    from experiments.base_station.plan import Plan

# How long the others are waited for at first: each is started by the controller at much the same time.
COME_S = 120.0
TRY_AGAIN_S = 0.2
# All start so long after the last one was ready, so that each has been told: at least, and in longest round trips.
AHEAD_NS = 50_000_000
AHEAD_ROUND_TRIPS = 8
# A connection whose other end is gone is known to be broken after some ten seconds.
KEEP_IDLE_S, KEEP_INTERVAL_S, KEEP_PROBES = 4, 2, 3
# What the one that comes says of itself may be long: which repetitions it has.
HELLO_BYTES = 16 << 20
REASON_CHARACTERS = 2000


class Start(NamedTuple):
    """When a repetition begins: ``begin_ns`` is CLOCK_MONOTONIC of this node.

    ``offset_ns`` is how far this clock is ahead of the first base station's, by which times are recorded, and
    ``clock_error_ms`` how wrong that may be; ``None`` where one base station is alone.
    """

    begin_ns: int
    offset_ns: int = 0
    clock_error_ms: float | None = None

    def shared_ns(self, own_ns: int | None) -> int | None:
        """Return a time of this node's clock as the first base station's has it."""
        return None if own_ns is None else own_ns - self.offset_ns


def alone() -> Start:
    """Begin now: there is nobody to agree with."""
    return Start(time.monotonic_ns())


class GoneError(DriverError):
    """Another base station has ended, or does not come."""


class Message(msgspec.Struct, tag_field="says", frozen=True, forbid_unknown_fields=True):
    """What base stations say to each other."""


class Hello(Message, tag="hello", frozen=True):
    """Who comes, with which plan, and which entries of its order it has on record to their end."""

    run: str
    plan: str
    base_station: str
    finished: list[int]


class ToDo(Message, tag="to do", frozen=True):
    """Which entries are to be measured: those that not all have."""

    entries: list[int]


class Ready(Message, tag="ready", frozen=True):
    """One is ready for an entry."""

    entry: int


class Look(Message, tag="look", frozen=True):
    """What does your clock say?"""


class Clock(Message, tag="clock", frozen=True):
    """What a clock says."""

    now_ns: int


class Go(Message, tag="go", frozen=True):
    """When to begin, by the clock of who is told."""

    begin_ns: int
    offset_ns: int
    clock_error_ms: float


class Measured(Message, tag="measured", frozen=True):
    """What came of an entry: the number of the attempt, the best reply, or why there is none."""

    entry: int
    attempt: int
    best: RequestRecord | None
    error: str | None


class Bye(Message, tag="bye", frozen=True):
    """One ends, and why."""

    reason: str


M = TypeVar("M", bound=Message)
_DECODER = msgspec.json.Decoder(Hello | ToDo | Ready | Look | Clock | Go | Measured | Bye)
_ENCODER = msgspec.json.Encoder()


class Network(ABC):
    """The base stations of a run, as one of them sees them, for as long as it is entered."""

    @abstractmethod
    def __enter__(self) -> Self:
        """Meet the others.

        Raises:
            GoneError: one does not come. DriverError: one measures another plan, or the port is taken.
        """

    @abstractmethod
    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Part; where that is because of an error, the others are told."""

    @abstractmethod
    def to_do(self, finished: Collection[int]) -> list[int]:
        """Return the entries that are missing, of which this base station has some on record to their end."""

    @abstractmethod
    def start(self, entry: int) -> Start:
        """Return when an entry begins, once all are ready for it.

        Raises:
            GoneError: another base station has ended.
        """

    @abstractmethod
    def measured(self, mine: Measured) -> dict[str, Measured]:
        """Tell what came of an entry, and return what the others say, by name: to the first one, nobody else is told.

        Raises:
            GoneError: another base station has ended.
        """


class Alone(Network):
    """The only base station."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def __enter__(self) -> Self:
        """Meet nobody."""
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Part from nobody."""

    def to_do(self, finished: Collection[int]) -> list[int]:
        """Return the entries that it has not."""
        return _without(self._plan, finished)

    def start(self, entry: int) -> Start:
        """Begin now."""
        del entry
        return alone()

    def measured(self, mine: Measured) -> dict[str, Measured]:
        """Tell nobody."""
        del mine
        return {}


def meet(plan: Plan, base_station: str, port: int) -> Network:
    """Return the network of a plan's base stations as one of them sees it."""
    if not plan.is_shared:
        return Alone(plan)
    return First(plan, port) if base_station == plan.first else Other(plan, base_station, port)


class First(Network):
    """The one that tells the others when to start, and hears what they measured."""

    def __init__(self, plan: Plan, port: int) -> None:
        self._plan = plan
        self._port = port
        self._stack = ExitStack()
        self._others: dict[str, _Line] = {}
        self._hellos: dict[str, Hello] = {}

    def __enter__(self) -> Self:
        """Wait until all others have come; who is none of them is not heard."""
        try:
            self._wait()
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def _wait(self) -> None:
        names = {address: name for name, address in self._plan.base_stations.items() if name != self._plan.first}
        until_s = time.monotonic() + COME_S
        with _listening(self._plan.base_stations[self._plan.first], self._port, len(names)) as listener:
            while missing := sorted(set(names.values()) - set(self._others)):
                listener.settimeout(max(0.001, until_s - time.monotonic()))
                try:
                    connection, (address, *_) = listener.accept()
                except TimeoutError as error:
                    raise GoneError(f"{' and '.join(missing)} did not come within {COME_S:.0f} s") from error
                if address in names:
                    self._welcome(names[address], connection)
                else:
                    connection.close()
        # In the order of the plan, whoever came first.
        self._others = {name: self._others[name] for name in self._plan.base_stations if name in self._others}

    def _welcome(self, name: str, connection: socket.socket) -> None:
        line = _Line(name, connection)
        try:
            connection.settimeout(COME_S)
            hello = line.hear(Hello, HELLO_BYTES)
            connection.settimeout(None)
        except GoneError:  # one that ended meanwhile comes again
            line.close()
            return
        if hello.base_station != name or (hello.run, hello.plan) != (self._plan.run, self._plan.hash):
            with suppress(GoneError):
                line.say(Bye(f"it measures run {self._plan.run} by plan {self._plan.hash}"))
            line.close()
            raise DriverError(
                f"{name} measures another plan than {self._plan.first}: begin a new run, or copy plan.json to all"
            )
        if name in self._others:
            self._others[name].close()
        self._others[name], self._hellos[name] = self._stack.enter_context(line), hello

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Tell the others why it ends, if it ends too early."""
        if error is not None:
            for line in self._others.values():
                with suppress(GoneError):
                    line.say(Bye(_reason(error)))
        self._stack.close()

    def to_do(self, finished: Collection[int]) -> list[int]:
        """Return the entries that not all have, and tell the others."""
        entries = _without(self._plan, set(finished).intersection(*(hello.finished for hello in self._hellos.values())))
        for line in self._others.values():
            line.say(ToDo(entries))
        return entries

    def start(self, entry: int) -> Start:
        """Wait for all others, look at their clocks, and tell them when to begin."""
        for name, line in self._others.items():
            if (other := line.hear(Ready).entry) != entry:
                raise DriverError(f"{name} is ready for entry {other} of the plan, {self._plan.first} for {entry}")
        clocks = {name: ahead_ns(line.look) for name, line in self._others.items()}
        longest_ns = max(round_trip_ns for _, round_trip_ns in clocks.values())
        begin_ns = time.monotonic_ns() + max(AHEAD_NS, AHEAD_ROUND_TRIPS * longest_ns)
        for name, (offset_ns, round_trip_ns) in clocks.items():
            self._others[name].say(Go(begin_ns + offset_ns, offset_ns, round_trip_ns / 2 / 1e6))
        return Start(begin_ns, 0, 0.0)

    def measured(self, mine: Measured) -> dict[str, Measured]:
        """Return what all have measured."""
        heard = {self._plan.first: mine}
        for name, line in self._others.items():
            heard[name] = line.hear(Measured)
            if heard[name].entry != mine.entry:
                raise DriverError(f"{name} measured entry {heard[name].entry} of the plan instead of {mine.entry}")
        return heard


class Other(Network):
    """One that is told when to start."""

    def __init__(self, plan: Plan, base_station: str, port: int) -> None:
        self._plan = plan
        self._name = base_station
        self._port = port

    def __enter__(self) -> Self:
        """Connect to the first one."""
        until_s = time.monotonic() + COME_S
        where = (self._plan.base_stations[self._plan.first], self._port)
        own = (self._plan.base_stations[self._name], 0)
        while True:
            try:
                connection = socket.create_connection(where, COME_S, source_address=own)
            except OSError as error:
                if time.monotonic() > until_s:
                    raise GoneError(
                        f"{self._plan.first} cannot be reached at {where[0]}:{where[1]}/tcp: {error.strerror or error}"
                    ) from error
                time.sleep(TRY_AGAIN_S)
            else:
                connection.settimeout(None)
                self._line = _Line(self._plan.first, connection)
                return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Tell the first one why it ends, if it ends too early."""
        if error is not None:
            with suppress(GoneError):
                self._line.say(Bye(_reason(error)))
        self._line.close()

    def to_do(self, finished: Collection[int]) -> list[int]:
        """Tell which entries it has, and return those that not all have."""
        self._line.say(Hello(self._plan.run, self._plan.hash, self._name, list(finished)))
        return self._line.hear(ToDo, HELLO_BYTES).entries

    def start(self, entry: int) -> Start:
        """Say that it is ready, tell its clock, and return what it is told."""
        self._line.say(Ready(entry))
        for _ in range(LOOKS):
            self._line.hear(Look)
            self._line.say(Clock(time.monotonic_ns()))
        go = self._line.hear(Go)
        return Start(go.begin_ns, go.offset_ns, go.clock_error_ms)

    def measured(self, mine: Measured) -> dict[str, Measured]:
        """Tell what it has measured."""
        self._line.say(mine)
        return {}


class _Line:
    """A connection to another base station."""

    def __init__(self, name: str, connection: socket.socket) -> None:
        self._name = name
        self._connection = connection
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEP_IDLE_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEP_INTERVAL_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEP_PROBES)
        connection.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * (KEEP_IDLE_S + KEEP_INTERVAL_S * KEEP_PROBES)
        )
        self._file = connection.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it."""
        self._file.close()
        self._connection.close()

    def say(self, message: Message) -> None:
        """Send a message.

        Raises:
            GoneError: nobody is there any more.
        """
        try:
            self._connection.sendall(_ENCODER.encode(message) + b"\n")
        except OSError as error:
            raise self._gone(error) from error

    def look(self) -> int:
        """Return what the other's clock says, in ns."""
        self.say(Look())
        return self.hear(Clock).now_ns

    def hear(self, kind: type[M], most_bytes: int = LINE_BYTES) -> M:
        """Return the next message, which has to be of this kind.

        Raises:
            GoneError: nobody is there any more; the message tells why. DriverError: it is another one, or none at all.
        """
        try:
            line = self._file.readline(most_bytes)
        except OSError as error:
            raise self._gone(error) from error
        if not line.endswith(b"\n"):
            raise GoneError(f"{self._name} is gone{': it says too much' * (len(line) >= most_bytes)}")
        try:
            message = _DECODER.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise DriverError(f"{self._name} says what is no message: {error}") from error
        if isinstance(message, Bye):
            raise GoneError(f"{self._name} has ended: {message.reason}")
        if not isinstance(message, kind):
            raise DriverError(f"{self._name} says {_tag(type(message))!r}, expected {_tag(kind)!r}")
        return message

    def _gone(self, error: OSError) -> GoneError:
        """Return why nobody is there any more: what was said last, where that has come."""
        with suppress(OSError, ValueError):
            for line in self._file:
                message = _DECODER.decode(line)
                if isinstance(message, Bye):
                    return GoneError(f"{self._name} has ended: {message.reason}")
        return GoneError(f"{self._name} is gone: {error.strerror or error}")


def _without(plan: Plan, finished: Collection[int]) -> list[int]:
    """Return the entries of a plan's order that are not among these."""
    return [number for number in range(len(plan.order)) if number not in finished]


def _tag(kind: type[Message]) -> str:
    return str(kind.__struct_config__.tag)


def _listening(address: str, port: int, backlog: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.create_server((address, port), family=family, backlog=backlog)
    except OSError as error:
        raise DriverError(
            f"the other base stations cannot be heard at {address}:{port}/tcp: {error.strerror}; end the program that "
            "has this port"
        ) from error


def _reason(error: BaseException) -> str:
    return (str(error) or type(error).__name__)[:REASON_CHARACTERS]

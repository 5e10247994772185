"""Sends the requests of a repetition as its traffic has them arrive."""

from __future__ import annotations

import gc
import itertools
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING

from experiments.base_station.arrivals import MOST_REQUESTS, Closed, Due, Together, kinds
from experiments.base_station.exchange import together

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from experiments.base_station.arrivals import Arrivals
    from experiments.base_station.connecting import Release
    from experiments.base_station.exchange import Exchange, Send

NS_PER_S = 1_000_000_000
# A request is made ready so long before its time, as starting a thread and building it take a moment.
AHEAD_NS = 20_000_000
# More than these wait for a reply at once only where the function is overrun; those that follow are late, and named so.
MOST_UNDER_WAY = 1_000
# A client whose request was refused at once would do nothing but ask again.
PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that was sent: what was asked, when that was to be, and what came of it.

    ``share`` is the number of the training share in its body, where its body holds one.
    """

    due: Due
    share: int
    body: bytes
    intended_ns: int
    exchange: Exchange


@dataclass(frozen=True, slots=True)
class Traffic:
    """The traffic of a repetition.

    ``shares`` is how many training shares the requests carry in turn, ``weights`` are those of the workload's kinds,
    ``different`` is how many bodies those of a kind take in turn, and ``body`` makes a request's body from the number
    of its share, its due time and its turn; ``random`` is drawn from.
    """

    arrivals: Arrivals
    shares: int
    weights: Mapping[str, float]
    different: Callable[[str | None], int]
    body: Callable[[int, Due, int], bytes]
    random: random.Random

    def ready(self) -> Ready:
        """Return it with all bodies made, so that making them delays no request.

        Raises:
            KeyError: a trace names a kind that the workload does not have.
        """
        made: dict[tuple[int, int, str | None, int | None], bytes] = {}
        sent: Counter[str | None] = Counter()
        drawn = kinds(self.random, self.weights)

        def prepared(number: int, due: Due) -> tuple[int, Due, bytes]:
            share, wanted = number % self.shares, due._replace(kind=due.kind or next(drawn))
            turn = sent[wanted.kind] % self.different(wanted.kind)
            sent[wanted.kind] += 1
            what = (share, turn, *wanted[1:])
            if what not in made:
                made[what] = self.body(share, wanted, turn)
            return share, wanted, made[what]

        match self.arrivals:
            case Together(parallel=parallel):
                dues: Iterable[Due] = (Due(0.0) for _ in range(parallel))
            case Closed(count=count):
                # As many as may be needed; bodies are shared, so these are small.
                dues = (Due(0.0) for _ in range(count or MOST_REQUESTS))
            case open_loop:
                dues = open_loop.due(self.random)
        return Ready(self.arrivals, [prepared(number, due) for number, due in enumerate(dues)])


@dataclass(frozen=True, slots=True)
class Ready:
    """Requests that only have to be sent: the share's number, the due time, and the body of each."""

    arrivals: Arrivals
    requests: list[tuple[int, Due, bytes]]

    def sent(
        self, send: Callable[[int], Send], begin: Callable[[], int] = time.monotonic_ns, *, goes_on: bool = False
    ) -> list[Sent]:
        """Send the requests, and return what came of each, in the order in which they were due.

        Args:
            send: returns what sends the request of this number.
            begin: returns when they begin, on this node's CLOCK_MONOTONIC in nanoseconds; called when all is ready.
            goes_on: whether clients that wait for replies send again after a request that failed.
        """
        with _no_collection():
            begin_ns = begin()
            match self.arrivals:
                case Together():
                    return self._together(send, begin_ns)
                case Closed() as closed:
                    return self._closed(send, begin_ns, closed, goes_on=goes_on)
                case _:
                    return self._open(send, begin_ns)

    def _together(self, send: Callable[[int], Send], begin_ns: int) -> list[Sent]:
        bodies = [body for _, _, body in self.requests]
        exchanges = together([send(number) for number in range(len(bodies))], bodies, partial(_wait_until, begin_ns))
        return [
            Sent(due, share, body, begin_ns, exchange)
            for (share, due, body), exchange in zip(self.requests, exchanges, strict=True)
        ]

    def _open(self, send: Callable[[int], Send], begin_ns: int) -> list[Sent]:
        """Send each at its time, whether or not those before were answered."""
        begin_ns += AHEAD_NS

        def one(number: int, share: int, due: Due, body: bytes) -> Sent:
            intended_ns = begin_ns + round(due.offset_s * NS_PER_S)
            return Sent(due, share, body, intended_ns, send(number)(body, _at(intended_ns)))

        with ThreadPoolExecutor(MOST_UNDER_WAY) as pool:
            futures = []
            for number, request in enumerate(self.requests):
                _wait_until(begin_ns + round(request[1].offset_s * NS_PER_S) - AHEAD_NS)
                futures.append(pool.submit(one, number, *request))
            return [future.result() for future in futures]

    def _closed(self, send: Callable[[int], Send], begin_ns: int, closed: Closed, *, goes_on: bool) -> list[Sent]:
        """Let each client send, wait for the reply and think.

        A failure ends them all, as the repetition has failed; where it goes on, a client pauses after one.
        """
        begin_ns += AHEAD_NS
        until_ns = None if closed.duration_s is None else begin_ns + round(closed.duration_s * NS_PER_S)
        numbers = itertools.count()
        failed = threading.Event()

        def client() -> list[tuple[int, Sent]]:
            done = []
            intended_ns = begin_ns
            while not failed.is_set() and (until_ns is None or intended_ns < until_ns):
                number = next(numbers)
                if number >= len(self.requests):
                    break
                share, due, body = self.requests[number]
                exchange = send(number)(body, _at(intended_ns))
                due = due._replace(offset_s=(intended_ns - begin_ns) / NS_PER_S)
                done.append((number, Sent(due, share, body, intended_ns, exchange)))
                think_s, ended_ns = closed.think_s, exchange.last_byte_ns
                if exchange.error is not None or ended_ns is None:
                    if not goes_on:
                        failed.set()
                        break
                    think_s, ended_ns = max(think_s, PAUSE_S), time.monotonic_ns()
                intended_ns = ended_ns + round(think_s * NS_PER_S)
            return done

        with ThreadPoolExecutor(closed.clients) as pool:
            futures = [pool.submit(client) for _ in range(closed.clients)]
            return [
                sent for _, sent in sorted((pair for future in futures for pair in future.result()), key=itemgetter(0))
            ]


@contextmanager
def _no_collection() -> Iterator[None]:
    """Collect no garbage meanwhile: it stops all threads, for tens of milliseconds among as many objects as here."""
    gc.collect()
    is_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if is_enabled:
            gc.enable()


def _at(at_ns: int) -> Release:
    """Return what starts something at a time."""

    def release(start: Callable[[], None]) -> None:
        _wait_until(at_ns)
        start()

    return release


def _wait_until(at_ns: int) -> None:
    while (left_ns := at_ns - time.monotonic_ns()) > 0:
        time.sleep(left_ns / NS_PER_S)

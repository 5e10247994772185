"""One request runs, a few wait in order, and the bodies of all of them stay under one bound."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from app.serving.client import ClientGoneError
from app.serving.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterator

Result = TypeVar("Result")


@dataclass(slots=True)
class Place:
    """One request: the bytes of its body that are held, and whether it is whole and waits for its turn."""

    queue: Queue
    held_bytes: int = 0
    waits: bool = False

    def wait(self) -> None:
        """Take a place, now that the body is whole; raises Refusal (503) where there is none."""
        self.queue.check_places()
        self.waits = True
        self.queue.places += 1

    def hold(self, size: int) -> None:
        """Count ``size`` more bytes; raises Refusal (503) where all places together would hold too many."""
        if self.queue.held_bytes + size > self.queue.max_held_bytes:
            raise self.queue.refusal("The requests that wait already fill the memory for bodies")
        self.held_bytes += size
        self.queue.held_bytes += size

    def release(self) -> None:
        """The body is no longer kept."""
        self.queue.held_bytes -= self.held_bytes
        self.held_bytes = 0


class Queue:
    """Gives places to requests and turns to places.

    A body is read before its request takes a place: its upload then costs nobody time, and slow senders neither hold up
    the others nor fill the queue. All bodies together never hold more than ``max_held_bytes``. To be used on one event
    loop.
    """

    def __init__(self, waiting_limit: int, max_held_bytes: int) -> None:
        self.waiting_limit = waiting_limit
        self.max_held_bytes = max_held_bytes
        self.held_bytes = 0
        self.last_run_s = 1.0
        self.places = 0
        self._turn = asyncio.Lock()
        self._closing = asyncio.Event()

    @property
    def running(self) -> int:
        """How many requests have the turn: 0 or 1."""
        return int(self._turn.locked())

    @property
    def waiting(self) -> int:
        """How many have a place but not the turn."""
        return max(0, self.places - self.running)

    @property
    def closing(self) -> bool:
        """Whether no more turns are given."""
        return self._closing.is_set()

    def close(self) -> None:
        """Give no more turns: whoever runs may finish, whoever waits is refused (503)."""
        self._closing.set()

    def check_places(self) -> None:
        """Refuse (503) a request for which there is no place."""
        if self.closing:
            raise self._shutting_down()
        if self.places > self.waiting_limit:
            raise self.refusal(f"One request runs and {self.waiting_limit} wait")

    @contextmanager
    def place(self) -> Iterator[Place]:
        """What one request will need; raises Refusal (503) where there would be no place for it already now."""
        self.check_places()
        place = Place(self)
        try:
            yield place
        finally:
            self.places -= place.waits
            place.release()

    async def while_open(self, work: Coroutine[None, None, Result]) -> Result:
        """What ``work`` returns; raises Refusal (503) where the queue is closed before it does."""
        task = asyncio.ensure_future(work)
        closing = asyncio.ensure_future(self._closing.wait())
        try:
            await asyncio.wait({task, closing}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise self._shutting_down()
        finally:
            closing.cancel()
            task.cancel()

    @asynccontextmanager
    async def turn(self, gone: asyncio.Future[None]) -> AsyncIterator[None]:
        """Wait for the turn, in order, and have it.

        Raises:
            ClientGoneError: ``gone`` was done first.
            Refusal: 503, the queue was closed first.
        """
        loop = asyncio.get_running_loop()
        turn = asyncio.ensure_future(self._turn.acquire())
        closing = asyncio.ensure_future(self._closing.wait())
        try:
            any_of: set[asyncio.Future[Any]] = {turn, gone, closing}
            await asyncio.wait(any_of, return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                raise ClientGoneError
            if self.closing:
                raise self._shutting_down()
            started = loop.time()
            yield
            self.last_run_s = loop.time() - started
        finally:
            closing.cancel()
            if turn.done() and not turn.cancelled():
                self._turn.release()
            else:
                turn.cancel()

    def refusal(self, reason: str) -> Refusal:
        """A 503 that says why and when to come back: after about one more search."""
        seconds = max(1, round(self.last_run_s))
        return Refusal(503, f"{reason}; try again in {seconds} s.", headers={"Retry-After": str(seconds)})

    def _shutting_down(self) -> Refusal:
        headers = {"Retry-After": "1"}
        return Refusal(503, "This replica is shutting down; send the request again.", headers=headers)

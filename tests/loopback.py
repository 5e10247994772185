"""The deployed function as the base station sees it, on loopback: a real HTTP server with replies that a test decides."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Only a hang takes so long: the driver imports numba and compiles before its first request, on a busy machine too.
DEADLINE_S = 300
NODES = ("edge-1", "edge-2")


@dataclass(frozen=True)
class Reply:
    """What the function sends back; with ``broken`` the connection ends in the middle of the body."""

    body: bytes
    status: int = 200
    broken: bool = False
    headers: dict[str, str] = field(default_factory=lambda: {"Server-Timing": "parse;dur=1.5, search;dur=20"})


@dataclass(frozen=True)
class Request:
    """What the function was sent, and when its last byte was there (CLOCK_MONOTONIC)."""

    host: str
    order: Any
    received_ns: int


def answer(number: int, request: Request) -> Reply:
    """Reply as the function does: replicas in turn, and each reply better than the one before."""
    node = NODES[number % len(NODES)]
    reply = {
        "best parameters": {"C": 1.0},
        "accuracy (validation)": 0.5 + number / 1000,
        "accuracy (test)": 0.75,
        "replica": f"replica-on-{node}",
        "node": node,
    }
    return Reply(json.dumps(reply).encode())


class Function:
    """A function that listens: what it was sent so far, and a gate that keeps replies back."""

    def __init__(self, url: str, respond: Callable[[int, Request], Reply]) -> None:
        self.url = url
        self.requests: list[Request] = []
        self._respond = respond
        self._changed = threading.Condition()
        self._held_from: int | None = None
        self._released = threading.Event()

    def hold_from(self, number: int) -> None:
        """Keep back the replies to all requests from this number on, counted from 0."""
        self._held_from = number

    def release(self) -> None:
        """Send the replies that were kept back, and keep back no more."""
        self._held_from = None
        self._released.set()

    def wait_for(self, count: int) -> None:
        """Return when so many requests have arrived."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.requests) >= count, DEADLINE_S), f"no {count} requests came"

    def handle(self, request: Request) -> Reply:
        with self._changed:
            number = len(self.requests)
            self.requests.append(request)
            self._changed.notify_all()
        if self._held_from is not None and number >= self._held_from:
            self._released.wait(DEADLINE_S)
        return self._respond(number, request)


@contextmanager
def serving(
    handler: type[BaseHTTPRequestHandler], kind: type[ThreadingHTTPServer] = ThreadingHTTPServer
) -> Iterator[int]:
    """Let a server listen on a free port of loopback, which is yielded."""
    with kind(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: tests kill the clients."""


@contextmanager
def function(respond: Callable[[int, Request], Reply] = answer) -> Iterator[Function]:
    """Let a function listen on a free port of loopback."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            reply = listening.handle(Request(self.headers["Host"], json.loads(body), time.monotonic_ns()))
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body[: len(reply.body) // 2] if reply.broken else reply.body)
            self.close_connection = True

        def log_message(self, *arguments: Any) -> None:
            """Leave the test's output alone."""

    with serving(Handler, _Server) as port:
        listening = Function(f"http://127.0.0.1:{port}/", respond)
        try:
            yield listening
        finally:
            listening.release()

"""A real `python -m app` on a free port of the loopback, and ways to wait for what it does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
# Functions of other people, which tests let it serve.
FUNCTIONS = TESTS / "app"
DEADLINE_S = 180.0


def eventually(condition: Callable[[], bool], what: str, within_s: float = DEADLINE_S) -> float:
    """Wait until ``condition`` holds; returns the seconds it took, fails with ``what`` after ``within_s``."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < within_s, f"{what} did not happen within {within_s:g} s"
        time.sleep(0.01)
    return time.monotonic() - started


class Replica:
    """A function's process; a context manager that ends it."""

    def __init__(
        self,
        module: str = "other_function",
        *,
        path: Path = FUNCTIONS,
        most_memory_bytes: int | None = None,
        within: tuple[str, ...] = (),
        variables: dict[str, str] | None = None,
        **settings: object,
    ) -> None:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(path))),
            "FUNCTION_MODULE": module,
            "FUNCTION_PORT": "0",
            "FUNCTION_NODE": "edge-1",
            "FUNCTION_REPLICA": "edge-1-a",
            **{f"FUNCTION_{name.upper()}": str(value) for name, value in settings.items()},
            **(variables or {}),
        }
        command = [sys.executable, "-m", "app"]
        if most_memory_bytes is not None:
            command = ["sh", "-c", f'ulimit -d {most_memory_bytes >> 10} && exec "$@"', "limited", *command]
        command = [*within, *command]
        self.process = subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        self.log: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.log.extend(iter(self.process.stderr.readline, ""))
        self.process.stderr.close()

    def __enter__(self) -> Self:
        eventually(lambda: bool(self._listening()) or self.process.poll() is not None, "listening")
        assert self.process.poll() is None, "".join(self.log)
        self.port = int(self._listening().rpartition(":")[2].split()[0])
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = httpx.Client(base_url=self.url, timeout=DEADLINE_S)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.process.kill()
        self.process.wait()
        self._reader.join()

    def _listening(self) -> str:
        return next((line for line in list(self.log) if "running on" in line), "")

    def figure(self, name: str) -> float:
        """One figure of /metrics; 0 where it is not there yet."""
        for line in self.client.get("/metrics").text.splitlines():
            if line.startswith(f"{name} "):
                return float(line.rpartition(" ")[2])
        return 0.0

    def warm(self) -> None:
        """Wait for the end of the warming up, well or badly."""
        eventually(lambda: "warming up" not in self.client.get("/readyz").text, "the end of the warming up", 120)

    def running(self) -> bool:
        """Whether a request runs."""
        return self.figure("function_in_flight") == 1


def send(replica: Replica, request: dict[str, Any], timeout_s: float = DEADLINE_S) -> httpx.Response:
    return httpx.post(replica.url, json=request, timeout=timeout_s)


def connect(replica: Replica) -> socket.socket:
    return socket.create_connection(("127.0.0.1", replica.port), timeout=DEADLINE_S)


def head(length: int | None, *more: str) -> bytes:
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    return "\r\n".join(("POST / HTTP/1.1", "Host: function", framing, *more, "", "")).encode()

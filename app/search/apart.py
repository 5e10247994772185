"""Calls in a process of its own, which can be ended: a fit of libsvm may take for ever and cannot be interrupted.

The process is started with the first call, or before it, and waits for the next one, so that modules are imported and
kernels loaded only once. It ends with its owner, however that one ends.
"""

from __future__ import annotations

import atexit
import importlib
import os
import signal
import subprocess
import sys
import threading
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from app.errors import Cancelled
from app.search import memory

if TYPE_CHECKING:
    from collections.abc import Callable

POLL_S = 0.1

Given = ParamSpec("Given")
Result = TypeVar("Result")


class _Process:
    """A process that answers one call after the other: functions, arguments and answers are pickled."""

    def __init__(self, module: str) -> None:
        self._orders, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "app.search.apart", str(theirs.fileno()), module],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # a terminal's Ctrl-C is for its owner, which ends it
            )

    def lives(self) -> bool:
        return self._process.poll() is None

    def ask(self, cancelled: Callable[[], bool], order: tuple[Any, ...]) -> Any:
        """Send a call and wait for its answer, which may be an exception."""
        try:
            self._orders.send(order)
            while not self._orders.poll(POLL_S):
                if cancelled():
                    raise Cancelled
            return self._orders.recv()
        except (EOFError, OSError) as error:
            if (status := self._process.wait()) == -signal.SIGKILL:  # by the kernel, which wants the memory back
                raise MemoryError from error
            raise RuntimeError(f"The process of the search ended with status {status}.") from error

    def end(self) -> None:
        """End it, whatever it does, and wait for its end."""
        self._process.kill()
        self._process.wait()
        self._orders.close()


class Apart:
    """Runs one call at a time in a process that it keeps for the next one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: _Process | None = None
        atexit.register(self.end)

    def call(
        self,
        cancelled: Callable[[], bool],
        function: Callable[Given, Result],
        *given: Given.args,
        **named: Given.kwargs,
    ) -> Result:
        """What ``function`` returns or raises, unless ``cancelled`` returns True first.

        Raises:
            Cancelled: ``cancelled`` returned True; it is asked every POLL_S seconds, and the process is ended.
            MemoryError: the call needs more memory than there is, or the kernel ended the process for that reason.
            RuntimeError: the process ended without an answer.
        """
        with self._lock:
            process = self._living(function.__module__)
            try:
                answer = process.ask(cancelled, (function, given, named))
            except BaseException:
                self._begin(function.__module__)  # so that the next call need not wait for it
                raise
        if isinstance(answer, Exception):
            raise answer
        result: Result = answer
        return result

    def prepare(self, module: str) -> None:
        """Start the process, if there is none, so that the first call need not wait until it has loaded this module."""
        with self._lock:
            self._living(module)

    def _living(self, module: str) -> _Process:
        if self._process is None or not self._process.lives():
            return self._begin(module)
        return self._process

    def _begin(self, module: str) -> _Process:
        self.end()
        self._process = _Process(module)
        return self._process

    def end(self) -> None:
        """End the process, if there is one."""
        if self._process is not None:
            self._process.end()
            self._process = None


def _answer(orders: Connection, function: Callable[..., Any], given: tuple[Any, ...], named: dict[str, Any]) -> None:
    try:
        answer = function(*given, **named)
    except Exception as error:  # noqa: BLE001 - its owner raises it
        answer = error
    try:
        orders.send(answer)
    except OSError:  # the owner is gone, and soon this process, too
        return


def main(arguments: list[str]) -> None:
    """Answer the calls that come over a connection, until it ends: then end at once, in the middle of a call, too."""
    memory.limit(memory.most_bytes(), processes=2)  # this one and its owner
    importlib.import_module(arguments[1])
    with Connection(int(arguments[0])) as orders:
        while True:
            try:
                order = orders.recv()
            except (EOFError, OSError):
                os._exit(0)
            threading.Thread(target=_answer, args=(orders, *order), daemon=True).start()


if __name__ == "__main__":
    main(sys.argv[1:])

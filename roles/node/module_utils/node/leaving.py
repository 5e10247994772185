"""Nodes whose replicas end and start again, as planned, by the command that roles/function leaves on a node."""

from __future__ import annotations

import subprocess
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# A replica that ends finishes what it was asked; one that starts may compile.
COMMAND_S = 580.0


class Leaving:
    """Has nodes leave and join, one after the other, while whoever asks goes on.

    Args:
        command: a program that takes ``leave`` or ``join`` and a node, and returns when that is done.
    """

    def __init__(self, command: Path) -> None:
        self._command = command
        self._away: set[str] = set()
        self._last: threading.Thread | None = None
        self.error: str | None = None

    def want(self, node: str, *, is_away: bool, done: Callable[[int], None]) -> None:
        """Have a node leave, or join again.

        When that is so, at once where it is already, ``done`` is called with the time: CLOCK_MONOTONIC in nanoseconds.
        """
        if is_away == (node in self._away) and not (self._last and self._last.is_alive()):
            done(time.monotonic_ns())
            return
        (self._away.add if is_away else self._away.discard)(node)
        self._last = threading.Thread(target=self._run, args=(self._last, node, is_away, done), daemon=True)
        self._last.start()

    def all_back(self) -> None:
        """Return when every node has joined again."""
        for node in sorted(self._away):
            self.want(node, is_away=False, done=lambda _: None)
        if self._last is not None:
            self._last.join()
            self._last = None

    def _run(self, before: threading.Thread | None, node: str, is_away: bool, done: Callable[[int], None]) -> None:
        if before is not None:
            before.join()
        word = "leave" if is_away else "join"
        try:
            ended = subprocess.run(
                [self._command, word, node], check=False, capture_output=True, text=True, timeout=COMMAND_S
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            self._refuse(f"{node} cannot {word}: {error}")
            return
        if ended.returncode:
            words = (ended.stderr or ended.stdout).strip().splitlines()
            self._refuse(f"{node} cannot {word}: {words[-1] if words else f'exit code {ended.returncode}'}")
            return
        done(time.monotonic_ns())

    def _refuse(self, sentence: str) -> None:
        self.error = self.error or sentence

"""Whether the links of this node are in force, asked of roles/netem around each repetition."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import msgspec

from experiments.base_station.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import Sequence

ANSWER_S = 60.0


class LinksError(DriverError):
    """The links are not in force; the message says why."""


class Answer(msgspec.Struct, frozen=True):
    """What roles/netem answers (its module_utils/netem/in_force.py)."""

    links: str | None
    problem: str | None


class Links:
    """The links that leave this node.

    Args:
        command: the program that tells about them; none where nothing is shaped.
    """

    def __init__(self, command: Sequence[str] = ()) -> None:
        self._command = list(command)
        self._first: str | None = None

    def in_force(self) -> str | None:
        """Return what tells the links in force from others, the same at each call; ``None`` where nothing is shaped.

        Raises:
            LinksError: those of the first call are not in force, or that cannot be known.
        """
        if not self._command:
            return None
        try:
            done = subprocess.run(self._command, capture_output=True, text=True, timeout=ANSWER_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise LinksError(f"it is unknown whether the links are in force: {error}") from error
        try:
            answer = msgspec.json.decode(done.stdout.encode(), type=Answer)
        except msgspec.DecodeError as error:
            reason = (done.stderr.strip().splitlines() or ["no answer"])[-1]
            raise LinksError(f"it is unknown whether the links are in force: {reason}") from error
        if answer.problem is not None:
            raise LinksError(f"the links are not in force: {answer.problem}")
        self._first = self._first or answer.links
        if answer.links != self._first:
            raise LinksError("the links are not in force: others were applied since the measurement began")
        return self._first

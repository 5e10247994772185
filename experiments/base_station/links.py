"""Whether the links of this node are in force, asked of roles/netem around each repetition, and what they add."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import msgspec

from experiments.base_station.crossing import NOTHING, Delays
from experiments.base_station.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ANSWER_S = 60.0


class LinksError(DriverError):
    """The links are not in force; the message says why."""


class Answer(msgspec.Struct, frozen=True):
    """What roles/netem answers (its module_utils/netem/in_force.py)."""

    links: str | None
    problem: str | None
    delays: dict[str, Delays] = {}


class Links:
    """The links that leave this node.

    Args:
        command: the program that tells about them; none where nothing is shaped.
        back: what the links back to this node add, by the node that they leave.
    """

    def __init__(self, command: Sequence[str] = (), back: Mapping[str, Delays] | None = None) -> None:
        self._command = list(command)
        self._back = dict(back or {})
        self._there: dict[str, Delays] = {}
        self._first: str | None = None

    def arguments(self) -> list[str]:
        """Return the options of the driver's program that tell it of these links."""
        if not self._command:
            return []
        return ["--links", json.dumps(self._command), "--delays-back", msgspec.json.encode(self._back).decode()]

    def round_trip(self, node: str) -> Delays:
        """Return what the links to a node and back add to a round trip, as of the last `in_force`."""
        return self._there.get(node, NOTHING).and_back(self._back.get(node, NOTHING))

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
        self._there = answer.delays
        if answer.links != self._first:
            raise LinksError("the links are not in force: others were applied since the measurement began")
        return self._first

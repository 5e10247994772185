"""Waiting on machines that are busy; standard library only: the guest in user-mode Linux uses it, too."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
PATIENCE_S = 60
CALM_S = 120


def wait_for(condition: Callable[[], T]) -> T:
    """Return what the condition returns once that is true."""
    deadline = time.monotonic() + PATIENCE_S
    while not (outcome := condition()):
        assert time.monotonic() < deadline, f"it did not happen within {PATIENCE_S} s"
        time.sleep(0.05)
    return outcome


def measured(measure: Callable[[], T], accepted: Callable[[T], bool]) -> T:
    """Measure until it is accepted or that has taken too long, and return the last measurement.

    A time at which the machine is busy passes, a wrong link stays wrong.
    """
    deadline = time.monotonic() + CALM_S
    while True:
        measurement = measure()
        if accepted(measurement) or time.monotonic() > deadline:
            return measurement

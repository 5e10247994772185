"""How far the clock of another node is ahead of this one's. Shipped to the base station."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# Of several looks at a clock the one with the shortest round trip counts.
LOOKS = 8


def ahead_ns(ask: Callable[[], int]) -> tuple[int, int]:
    """Return how far another's clock is ahead of this one, and the round trip by which that is known, in ns.

    Args:
        ask: returns what that clock says, CLOCK_MONOTONIC in nanoseconds.
    """
    looks = []
    for _ in range(LOOKS):
        asked_ns = time.monotonic_ns()
        there_ns = ask()
        heard_ns = time.monotonic_ns()
        looks.append((heard_ns - asked_ns, there_ns - (asked_ns + heard_ns) // 2))
    round_trip_ns, offset_ns = min(looks)
    return offset_ns, round_trip_ns

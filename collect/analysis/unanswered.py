"""Requests that failed because events had taken away what they need: how many, why, after how long. No I/O."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from collect.analysis.arrived import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Iterable

    from collect.records import RequestRecord

# Numbers of ports and the like, which differ from one request to the next.
NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Requests that failed for one reason; ``longest_s`` is from when one was due until it failed, where known."""

    reason: str
    requests: int
    longest_s: float | None


def by_reason(requests: Iterable[RequestRecord]) -> tuple[Unanswered, ...]:
    """Return the requests by why they failed, the most frequent reason first; what differs by numbers only is one."""
    groups: dict[str, list[RequestRecord]] = defaultdict(list)
    for request in requests:
        groups[NUMBER.sub("0", str(request.error))].append(request)
    found = (
        Unanswered(str(alike[0].error), len(alike), max(filter(None, map(_lasted_s, alike)), default=None))
        for alike in groups.values()
    )
    return tuple(sorted(found, key=lambda one: (-one.requests, one.reason)))


def _lasted_s(request: RequestRecord) -> float | None:
    ended_ns = request.failed_ns if request.failed_ns is not None else request.last_byte_ns
    return None if ended_ns is None else (ended_ns - request.intended_ns) / NS_PER_S

"""What replicas with less than their node had, before and after measuring, as collect reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from collect.links import Count, Host, Model

if TYPE_CHECKING:
    from collections.abc import Iterator

Cpus = Annotated[float, Field(gt=0, le=1e6)]


class Throttling(Model):
    """The kernel's counters of a control group: periods in which it ran, in which it was stopped, and for how long."""

    periods: Count
    throttled: Count
    throttled_us: Count


class Calibration(Model):
    """What one replica has: ``share`` of a CPU by work that was done, and the counters before and after that work."""

    service: Host
    cpus: Cpus
    share: Annotated[float, Field(ge=0, le=1e6)]
    begin: Throttling
    end: Throttling


class ResourceReport(Model):
    """One calibration of all replicas with ``cpus``, by node."""

    schema_: Annotated[Literal[1], Field(alias="schema")]
    tolerance_percent: Annotated[float, Field(ge=0, le=100)]
    nodes: dict[Host, tuple[Calibration, ...]]


@dataclass(frozen=True, slots=True)
class Limited:
    """One replica with less than its node; what is unknown is None."""

    node: str
    service: str
    cpus: float
    before: float | None
    after: float | None
    is_off: bool
    throttled_percent: float | None
    throttled_s: float | None


def limited(before: ResourceReport | None, after: ResourceReport | None) -> Iterator[Limited]:
    """Yield the replicas of two calibrations, with what the kernel counted of them in between."""
    first, last = _by_replica(before), _by_replica(after)
    tolerance = max(one.tolerance_percent for one in (before, after) if one is not None) if first or last else 0
    for node, service in sorted(first.keys() | last.keys()):
        one, other = first.get((node, service)), last.get((node, service))
        known = [calibration for calibration in (one, other) if calibration is not None]
        percent = seconds = None
        # A node that was started again counts from zero, and a group that was made again does.
        if one is not None and other is not None and other.begin.periods >= one.end.periods:
            periods = other.begin.periods - one.end.periods
            percent = 100 * (other.begin.throttled - one.end.throttled) / periods if periods else 0.0
            seconds = (other.begin.throttled_us - one.end.throttled_us) / 1e6
        yield Limited(
            node=node,
            service=service,
            cpus=known[-1].cpus,
            before=None if one is None else one.share,
            after=None if other is None else other.share,
            is_off=any(abs(each.share / each.cpus - 1) * 100 > tolerance for each in known),
            throttled_percent=percent,
            throttled_s=seconds,
        )


def _by_replica(report: ResourceReport | None) -> dict[tuple[str, str], Calibration]:
    nodes = {} if report is None else report.nodes
    return {(node, one.service): one for node, calibrations in nodes.items() for one in calibrations}

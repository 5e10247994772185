"""What replicas with less than their node had, before and after measuring, as collect reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from collect.analysis import wording
from collect.links import Count, Host, Model

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Cpus = Annotated[float, Field(gt=0, le=1e6)]


class Counters(Model):
    """The kernel's counters of a control group, as far as it has that limit.

    ``periods`` in which it ran, in which it was ``throttled``, and for how long; processes that it ended because the
    group's memory was used up.
    """

    periods: Count | None = None
    throttled: Count | None = None
    throttled_us: Count | None = None
    oom_kills: Count | None = None


class Calibration(Model):
    """What one replica has: ``share`` of a CPU by work that was done, and the counters before and after that work.

    ``cpus`` and ``share`` are ``None`` where only its memory is limited.
    """

    service: Host
    cpus: Cpus | None = None
    memory_mib: Count | None = None
    share: Annotated[float, Field(ge=0, le=1e6)] | None = None
    begin: Counters
    end: Counters


class ResourceReport(Model):
    """One calibration of all limited replicas, by node."""

    schema_: Annotated[Literal[1], Field(alias="schema")]
    tolerance_percent: Annotated[float, Field(ge=0, le=100)]
    nodes: dict[Host, tuple[Calibration, ...]]


@dataclass(frozen=True, slots=True)
class Limited:
    """One replica with less than its node, in one part of a run that may have been resumed; what is unknown is None."""

    part: int
    node: str
    service: str
    cpus: float | None
    memory_mib: int | None
    cpus_before: float | None
    cpus_after: float | None
    is_off: bool
    throttled_percent: float | None
    throttled_s: float | None
    oom_kills: int | None


@dataclass(frozen=True, slots=True)
class Part:
    """The calibrations before and after the repetitions of one part of a run, as far as there are any."""

    number: int
    before: ResourceReport | None
    after: ResourceReport | None


def limited(parts: Iterable[Part]) -> tuple[Limited, ...]:
    """Return the replicas of each part's calibrations, with what the kernel counted of them in between."""
    return tuple(one for part in parts for one in _limited(part.number, part.before, part.after))


def problems(parts: Iterable[Part]) -> Iterator[str]:
    """Yield a sentence for each calibration that found replicas off their CPUs when something had been measured.

    The one before a part's repetitions says nothing of that part, which was not measured; it does of an earlier part
    that was cut off.
    """
    has_measured = False
    for part in parts:
        for moment, report in (("before", part.before), ("after", part.after)):
            replicas = _by_replica(report)
            off = [
                f"{service} on {node} had {one.share or 0:.3f} of {one.cpus:g} CPUs"
                for (node, service), one in sorted(replicas.items())
                if report is not None and _is_off(one, report)
            ]
            if off and (moment == "after" or has_measured):
                yield (
                    f"The calibration {moment} measuring found {len(off)} of {len(replicas)} limited replicas off "
                    f"their CPUs ({wording.first(off)})."
                )
            has_measured |= bool(replicas) and not off


def ended(parts: Iterable[Part]) -> Iterator[str]:
    """Yield a sentence about the replicas that the kernel ended for lack of memory, if there are any."""
    replicas = [
        f"{one.service} on {one.node} {one.oom_kills} time{'s' * (one.oom_kills > 1)} ({one.memory_mib} MiB)"
        for one in limited(parts)
        if one.oom_kills
    ]
    if replicas:
        yield (
            "The kernel ended replicas while the run measured, because they needed more memory than the scenario's "
            f"resources give them: {wording.first(replicas)}. The requests that they served failed."
        )


def _limited(number: int, before: ResourceReport | None, after: ResourceReport | None) -> Iterator[Limited]:
    first, last = _by_replica(before), _by_replica(after)
    for node, service in sorted(first.keys() | last.keys()):
        one, other = first.get((node, service)), last.get((node, service))
        measured = [
            (calibration, report)
            for calibration, report in ((one, before), (other, after))
            if calibration is not None and report is not None
        ]
        counted = _between(one, other)
        periods = counted.periods
        yield Limited(
            part=number,
            node=node,
            service=service,
            cpus=measured[-1][0].cpus,
            memory_mib=measured[-1][0].memory_mib,
            cpus_before=None if one is None else one.share,
            cpus_after=None if other is None else other.share,
            is_off=any(_is_off(*each) for each in measured),
            throttled_percent=None if periods is None else 100 * (counted.throttled or 0) / max(1, periods),
            throttled_s=None if counted.throttled_us is None else counted.throttled_us / 1e6,
            oom_kills=counted.oom_kills,
        )


def _between(one: Calibration | None, other: Calibration | None) -> Counters:
    """Return what the kernel counted between two calibrations; ``None`` is what nobody knows.

    A node that was started again counts from zero, and a group that was made again does.
    """
    if one is None or other is None:
        return Counters()
    ends = {name: (getattr(one.end, name), getattr(other.begin, name)) for name in Counters.model_fields}
    known = {name: (begin, end) for name, (begin, end) in ends.items() if begin is not None and end is not None}
    if any(end < begin for begin, end in known.values()):
        return Counters()
    return Counters(**{name: end - begin for name, (begin, end) in known.items()})


def _is_off(one: Calibration, report: ResourceReport) -> bool:
    if one.share is None or one.cpus is None:
        return False
    return abs(one.share / one.cpus - 1) * 100 > report.tolerance_percent


def _by_replica(report: ResourceReport | None) -> dict[tuple[str, str], Calibration]:
    nodes = {} if report is None else report.nodes
    return {(node, one.service): one for node, calibrations in nodes.items() for one in calibrations}

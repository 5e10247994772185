"""Whether a measured link is the one that was asked for: the gate. Pure, no I/O.

The gate looks at the median and at the sigma that the quartiles imply. For the normal delay that a link is asked to
have they estimate the same as mean and standard deviation, but a probe that waited for a busy CPU (the machine's
fault, not the link's) hardly moves them, while a doubled delay, a lost jitter or a missing direction moves them fully.
Such probes are counted instead, and too many of them fail the gate with that reason.

A right link should pass: in one run of a hundred at most may chance refuse any, however many links there are. So what
chance moves (median, sigma, losses, copies) is held against intervals whose confidence grows with the number of verdicts
(`estimates.confidence_of`), on top of the 2 % and 5 %, while the report shows 95 % intervals throughout.

What the path does by itself is known from the control: probes that no link shapes, sent between those that one does,
so that whatever makes the machines slow for a while makes both slow. Where timers are coarse (a CPU that is emulated),
no link can be as true as that. The gate there is relative to the machine's own timers and to what the control does, and
reports how much wider that makes it; where it is so wide that a doubled delay or a lost jitter could pass, the link
fails with that reason.

Each property of a link judges itself (`Property.problems`); what is judged here is the machine, and what all have in
common.
"""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Any, NamedTuple

from .delay import Expectation, draws
from .estimates import (
    ENOUGH,
    LATE_CONFIDENCE,
    STALL_SIGMAS,
    Coarseness,
    coarseness,
    confidence_of,
    detectable_loss,
    estimate,
    histogram,
    loss_interval,
    stalls,
)
from .property import Delays, Observation
from .stream import formula_mbit
from .tables import table
from .verdict import Delays as JudgedDelays
from .verdict import Level, LossShare, Path, Sent, Share, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .link import Link
    from .measurement import Measurement, Probes
    from .verdict import Tcp

# Of an emulator's frames, delayed by 0.1 ms or more beyond their time. Without a bound on that, so many would move the
# median by 0.07 sigma and sigma by 7 %, which the gate still lets pass: beyond that it may blame the link. Measured are
# 0.3 % on two idle cores and 2 % beside four busy loops.
LATE_SHARE_MAX = 0.05
STALLED_SHARE_MAX = 0.02
# The least that one TCP connection has to carry: a hundredth of the formula, 0.1 Mbit/s where that is more. It is judged
# only where its time was enough for so many round trips.
TCP_FLOOR_MBIT = 0.1
TCP_FLOOR_SHARE = 0.01
TCP_ROUND_TRIPS = 20
STOLEN_SHARE_TOLD = 0.01  # of CPU time: from here on it is a reason that users want to know


def judge(
    link: Link,
    back: Link | None,
    measured: Measurement,
    baseline: Probes | None,
    compensated_ms: float | None = None,
    tcp: Tcp | None = None,
    stream_s: float = 0.0,
    verdicts: int = 1,
) -> Verdict:
    """Hold what was measured on a link against what was asked for.

    Args:
        link: what was asked for.
        back: the link of the other direction, where there is one.
        measured: what ``probe.measure`` returned.
        baseline: the probes that were sent while no link was in force; None when they never were. They stand for the
            control where that was not answered.
        compensated_ms: what the path takes by itself, where that is a part of the links' delays; None where it comes on
            top of them.
        tcp: what one TCP connection got. Its rate is what congestion control makes of the link and is not judged, but one
            that carries next to nothing over a link that probes pass is off: large packets are lost.
        stream_s: for how long it sent.
        verdicts: how many the verification has in all: the more, the wider are the intervals.
    """
    one_way = measured.probes.shared_clock
    path = _path(measured, baseline, compensated_ms)
    counts = _counts(link, measured, confidence_of(verdicts))
    delays_ms = measured.probes.delays_ms(one_way=one_way)
    if len(delays_ms) < ENOUGH:
        problems = [*_problems(link, counts), f"only {len(delays_ms)} of {counts.sent} probes were answered"]
        seen, disturbed, stalled = None, False, None
    else:
        links = [link] if one_way or back is None else [link, back]
        judged = _judge_delays(links, measured, delays_ms, path, counts)
        problems, seen, disturbed, stalled = judged
        problems = [*problems, *_stuck(tcp, measured, stream_s)]
    return Verdict(
        link=link,
        family=measured.family,
        one_way=one_way,
        probes=Sent(counts.sent, measured.probes.arrived, counts.duplicated, stalled),
        loss=_loss_share(link, counts),
        reordered=_share(counts.reordered, max(measured.probes.answered, 1)),
        path=path,
        delays=seen,
        tcp=tcp,
        problems=tuple(problems),
        disturbed=disturbed,
    )


def _stuck(tcp: Tcp | None, measured: Measurement, stream_s: float) -> list[str]:
    """Return that TCP carries next to nothing, where it had time for some round trips."""
    if tcp is None or statistics.median(measured.probes.round_trip_ns) / 1e9 > stream_s / TCP_ROUND_TRIPS:
        return []
    floor_mbit = min(TCP_FLOOR_MBIT, TCP_FLOOR_SHARE * (tcp.formula_mbit or math.inf))
    return [f"TCP carried {tcp.mbit:.2g} Mbit/s, at least {floor_mbit:.2g} expected"] if tcp.mbit < floor_mbit else []


class _Judged(NamedTuple):
    problems: list[str]
    delays: JudgedDelays
    disturbed: bool
    stalled: int


def _judge_delays(
    links: Sequence[Link], measured: Measurement, delays_ms: list[float], path: Path, counts: Observation
) -> _Judged:
    link, probes = links[0], measured.probes
    alone = path.control or path.baseline
    path_ms = alone.median_ms if alone and path.compensated_ms is None else 0.0
    noise_ms = alone.sigma_ms if alone else 0.0
    expected = _expected(links, path_ms, noise_ms, probes)
    coarse = _coarseness(measured, path, len(links), expected)
    delays = Delays(estimate(delays_ms), expected, coarse, noise_ms)
    observation = Observation(**{**vars(counts), "delays": delays})
    stalled = stalls(delays_ms, expected.median_ms, expected.sigma_ms, expected.latest_ms)
    problems = _problems(link, observation)
    machine = [*_unresolved(link, observation), *(measured.starved or ())]
    # Where all are late, the delay is wrong and has been named; where some are, it is the machine.
    if not problems and not machine and stalled > (STALLED_SHARE_MAX + coarse.stalled) * len(delays_ms):
        machine = [f"{stalled} of {len(delays_ms)} probes arrived far too late: the machine or the emulator stalls"]
    problems += machine
    robbed = measured.stolen > STOLEN_SHARE_TOLD
    if problems and robbed:
        problems[-1] += f" ({100 * measured.stolen:.2g} % CPU steal on this machine)"
    return _Judged(
        problems,
        JudgedDelays(
            delay=delays.measured,
            round_trip=estimate(probes.round_trips_ms),
            expected=Level(expected.median_ms, expected.sigma_ms),
            gate=coarse,
            histogram=lambda: histogram(delays_ms, drawn(links, path_ms, noise_ms, probes.interval_ms)),
        ),
        disturbed=bool(machine or (problems and robbed)),
        stalled=stalled,
    )


def _problems(link: Link, seen: Observation) -> list[str]:
    return [problem for one in link.properties for problem in one.problems(seen)]


def _unresolved(link: Link, seen: Observation) -> list[str]:
    return [problem for one in link.properties for problem in one.unresolved(seen)]


def _counts(link: Link, measured: Measurement, confidence: float) -> Observation:
    """Return what was counted of the probes, without their delays."""
    probes = measured.probes
    return Observation(
        sent=probes.sent,
        lost=probes.lost,
        reordered=probes.forward_reordered,
        duplicated=probes.forward_duplicated,
        damaged=link.damaged(measured.family),
        loss=link.lost(measured.family),
        confidence=confidence,
    )


def _share(count: int, of: int) -> Share:
    low, high = loss_interval(count, of)
    return Share(count, 100 * count / of, 100 * low, 100 * high)


def _loss_share(link: Link, counts: Observation) -> LossShare:
    # Losses in bursts say less about their share than as many single ones would.
    weight = max(link.loss.chain.inflation, 1)
    sent = max(round(counts.sent / weight), 1)
    low, high = loss_interval(round(counts.lost / weight), sent)
    return LossShare(
        count=counts.lost,
        percent=100 * counts.lost / counts.sent,
        low_percent=100 * low,
        high_percent=100 * high,
        detectable_percent=100 * detectable_loss(counts.loss, sent, counts.confidence),
    )


def _path(measured: Measurement, baseline: Probes | None, compensated_ms: float | None) -> Path:
    one_way = measured.probes.shared_clock
    before, control = (_level(probes, one_way=one_way) for probes in (baseline, measured.control))
    return Path(before, control, compensated_ms)


def _level(probes: Probes | None, *, one_way: bool) -> Level | None:
    delays_ms = probes.delays_ms(one_way=one_way) if probes is not None else []
    if len(delays_ms) < ENOUGH:
        return None
    seen = estimate(delays_ms)
    return Level(seen.median_ms, seen.quartile_sigma_ms)


def _coarseness(measured: Measurement, path: Path, links: int, expected: Expectation) -> Coarseness:
    # An emulator makes up for its machine's timers, and its own counters say where it could not.
    if measured.control is None or path.control is None or measured.starved is not None:
        return Coarseness()
    one_way = measured.probes.shared_clock
    return coarseness(
        measured.control.delays_ms(one_way=one_way),
        measured.late_ms,
        probes=len(measured.probes.delays_ms(one_way=one_way)),
        links=links,
        expected_sigma_ms=expected.sigma_ms,
    )


def _expected(links: Sequence[Link], path_ms: float, noise_ms: float, probes: Probes) -> Expectation:
    # A rate adds each probe's own time on the wire, which is far below the floor from 1 Mbit/s on.
    count = max(probes.arrived, ENOUGH)
    parts = [one.delay.expectation(count, _in_order_ms(one, probes.interval_ms)) for one in links]
    return Expectation(
        path_ms + sum(part.median_ms for part in parts),
        math.hypot(noise_ms, *(part.sigma_ms for part in parts)),
        path_ms + STALL_SIGMAS * noise_ms + sum(part.latest_ms for part in parts),
        math.hypot(*(part.median_half_ms for part in parts)),
        math.hypot(*(part.sigma_half_ms for part in parts)),
    )


def _in_order_ms(link: Link, interval_ms: float) -> float | None:
    return None if link.reorder else interval_ms


def drawn(links: Sequence[Link], path_ms: float, noise_ms: float, interval_ms: float) -> list[float]:
    """Draw delays (seeded) that probes over these links should have: what a picture holds the measured ones against.

    Args:
        links: those on which a probe waits in turn.
        path_ms: what the path adds.
        noise_ms: sigma of what the path adds.
        interval_ms: between two probes, which matters where order is kept.
    """
    parts = [one.delay.draws(seed, _in_order_ms(one, interval_ms)) for seed, one in enumerate(links)]
    noise = draws(0.0, 1.0, table("normal"), None, len(links))
    return [path_ms + noise_ms * one + sum(each) for one, *each in zip(noise, *parts, strict=True)]


def expected_mbit(link: Link, back: Link | None, baseline: Probes | None) -> float | None:
    """Return what the formula leaves one TCP connection over a link, or None where neither loss nor rate limits it."""
    clear_ms = statistics.median(baseline.round_trip_ns) / 1e6 if baseline and baseline.round_trip_ns else 0.0
    round_trip_ms = clear_ms + link.delay.delay_ms + (back.delay.delay_ms if back else 0.0)
    return formula_mbit(round_trip_ms, link.lost(), link.rate_mbit)


def starved(before: dict[str, Any], after: dict[str, Any]) -> tuple[str, ...]:
    """Return what an emulator's own counters say against it, between two looks at them.

    One that gets no CPU delays frames beyond their time or finds its ring overrun. More of the former than
    LATE_SHARE_MAX are refused, when that cannot be chance.
    """
    out, late, overrun = (after[key] - before.get(key, 0) for key in ("out", "late", "overrun"))
    problems = []
    if out > 0 and loss_interval(min(late, out), out, LATE_CONFIDENCE)[0] > LATE_SHARE_MAX:
        problems.append(
            f"its emulator delayed {late} of {out} frames by more than 0.1 ms beyond their time: it gets too little CPU time"
        )
    if overrun > 0:
        problems.append(f"its emulator had no room for {overrun} frames")
    return tuple(problems)

"""What delays and losses say: estimates, 95 % intervals, what a right link should give, how coarse a machine is.

Pure, no I/O. What follows from it for a link is said by the gate.
"""

from __future__ import annotations

import math
import random
import statistics
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from .tables import SCALE, quantile, table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Z95 = 1.959964
QUARTILES_PER_SIGMA = 1.348980  # of a normal distribution
SLOPE_STEP = 0.02  # of the share over which a quantile's slope is taken
LOSS_CONFIDENCE = 0.999  # of what the gate holds shares against
STALL_FLOOR_MS, STALL_SIGMAS = 0.5, 6.0
BLOCKS = 10  # of the control: how far they lie apart is how far the path wavers
T95 = 2.262157  # Student's, for so many blocks
WOKEN_MS = 0.05  # what a process takes to be woken on any machine: no reason to allow a link more
WIDENED_FLOOR_MS = 0.02  # below it a path does not waver
BINS = 60
DRAWS = 20_000  # for a picture's target
ENOUGH = 4  # delays: fewer have no quartiles


@dataclass(frozen=True)
class Estimate:
    """Delays in milliseconds: mean and sigma with 95 % intervals, and the two that the gate looks at."""

    count: int
    mean_ms: float
    mean_low_ms: float
    mean_high_ms: float
    sigma_ms: float
    sigma_low_ms: float
    sigma_high_ms: float
    median_ms: float
    quartile_sigma_ms: float


def estimate(delays_ms: Sequence[float]) -> Estimate:
    """Return the estimates of at least four delays.

    The interval of the mean is mean ± 1.96 s / sqrt(n); that of sigma s / sqrt(1 ± 1.96 sqrt(2 / (n - 1))), the
    normal approximation of its chi-square interval, good to 1 % from 200 delays on.
    """
    count = len(delays_ms)
    mean, sigma = statistics.fmean(delays_ms), statistics.stdev(delays_ms)
    low, middle, high = statistics.quantiles(delays_ms, n=4)
    half = Z95 * sigma / math.sqrt(count)
    spread = Z95 * math.sqrt(2 / (count - 1))
    return Estimate(
        count=count,
        mean_ms=mean,
        mean_low_ms=mean - half,
        mean_high_ms=mean + half,
        sigma_ms=sigma,
        sigma_low_ms=sigma / math.sqrt(1 + spread),
        sigma_high_ms=sigma / math.sqrt(max(1 - spread, 0.1)),
        median_ms=middle,
        quartile_sigma_ms=(high - low) / QUARTILES_PER_SIGMA,
    )


@cache
def loss_interval(lost: int, sent: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of a loss probability (Clopper and Pearson 1934), as shares of one."""
    tail = (1 - confidence) / 2
    low = 0.0 if lost == 0 else _bisect(lambda p: 1 - _at_most(lost - 1, sent, p) - tail)
    high = 1.0 if lost == sent else _bisect(lambda p: tail - _at_most(lost, sent, p))
    return low, high


@cache
def noticed_loss(target: float, sent: int) -> float:
    """Return the smallest loss probability that this many probes tell from the target 19 times in 20: the gate's power."""
    refused = next(
        (lost for lost in range(1, sent + 1) if loss_interval(lost, sent, LOSS_CONFIDENCE)[0] > target), sent
    )
    return _bisect(lambda p: 0.05 - _at_most(refused - 1, sent, p))


@dataclass(frozen=True)
class Expectation:
    """What a link's probes should show: median and sigma, and how far a right link's own draws stray (95 %)."""

    median_ms: float
    sigma_ms: float
    median_half_ms: float
    sigma_half_ms: float


def expect(delay_ms: float, jitter_ms: float, probes: int, distribution: str = "normal") -> Expectation:
    """Return the expectation where draws are independent: standard errors of quantiles by the table's own density."""
    low, middle, high = (quantile(distribution, share) for share in (0.25, 0.5, 0.75))
    # dQ/dp, one over the density: the covariance of two sample quantiles is p (1 - q) dQ/dp dQ/dq / n.
    left, centre, right = (
        (quantile(distribution, share + SLOPE_STEP) - quantile(distribution, share - SLOPE_STEP)) / (2 * SLOPE_STEP)
        for share in (0.25, 0.5, 0.75)
    )
    spread = math.sqrt(3 / 16 * left**2 + 3 / 16 * right**2 - 2 / 16 * left * right) / QUARTILES_PER_SIGMA
    error_ms = Z95 * jitter_ms / math.sqrt(probes)
    return Expectation(
        delay_ms + jitter_ms * middle,
        jitter_ms * (high - low) / QUARTILES_PER_SIGMA,
        centre / 2 * error_ms,
        spread * error_ms,
    )


def expect_in_order(
    delay_ms: float, jitter_ms: float, probes: int, interval_ms: float, distribution: str = "normal"
) -> Expectation:
    """Return the expectation where no probe may overtake the one in front.

    Each then leaves at the latest time drawn so far: later on average, less spread, and no longer independent, so
    intervals of independent draws would be too narrow. There is no formula as short as drawing it (100 times, seeded).
    """
    if jitter_ms == 0:
        return expect(delay_ms, jitter_ms, probes)
    draw, offsets = random.Random(1).choice, table(distribution)  # noqa: S311
    medians, sigmas = [], []
    for _ in range(100):
        latest, delays = -math.inf, []
        for number in range(probes):
            latest = max(latest, number * interval_ms + delay_ms + jitter_ms * draw(offsets) / SCALE)
            delays.append(latest - number * interval_ms)
        low, middle, high = statistics.quantiles(delays, n=4)
        medians.append(middle)
        sigmas.append((high - low) / QUARTILES_PER_SIGMA)
    return Expectation(
        statistics.fmean(medians),
        statistics.fmean(sigmas),
        Z95 * statistics.stdev(medians),
        Z95 * statistics.stdev(sigmas),
    )


@dataclass(frozen=True)
class Coarseness:
    """What a machine does by itself, and how much wider the gate is for it.

    Attributes:
        late_ms: how much later than asked for a right link may be, because timers are.
        late_sigma_ms: by how much larger sigma may be, for the same reason.
        median_ms: by how much the path's median wavers.
        sigma_ms: by how much its sigma does.
        stalled: the share of probes that come far too late.
    """

    late_ms: float = 0.0
    late_sigma_ms: float = 0.0
    median_ms: float = 0.0
    sigma_ms: float = 0.0
    stalled: float = 0.0


def coarseness(measured: dict[str, Any], key: str, links: int, expected: Expectation) -> Coarseness:
    """Return how coarse a machine is, by its timers and by the probes that no link shaped.

    A frame waits for a timer on each link, as the prober did as long just before: beyond what any process takes to be
    woken it may be late by as much, never early, and by anything between nothing and twice as much, if that is drawn
    evenly. And a path that wavers within a
    measurement moves what is between the two kinds of probes: the medians and sigmas of the control's blocks, which are as
    long as a part of the measurement, give the 95 % interval of the difference.

    Args:
        measured: what ``probe.measure`` returned, with a control.
        key: which of its delays are held against the links.
        links: on how many links a probe waits.
        expected: median and sigma that are expected.
    """
    delays_ms = [delay / 1e6 for delay in measured["control"][key]]
    size = len(delays_ms) // BLOCKS
    if size < ENOUGH:
        return Coarseness()
    blocks = [estimate(delays_ms[start : start + size]) for start in range(0, size * BLOCKS, size)]
    half = T95 * math.sqrt(1 / BLOCKS + size / len(measured[key]))
    wavers_ms = half * statistics.stdev(block.median_ms for block in blocks)
    sigma_wavers_ms = half * statistics.stdev(block.quartile_sigma_ms for block in blocks)
    late_ns = measured.get("late_ns")
    late_ms = max(statistics.median(late_ns) / 1e6 - WOKEN_MS, 0.0) if late_ns else 0.0
    late_sigma_ms = math.hypot(expected.sigma_ms, math.sqrt(links) * late_ms / math.sqrt(3)) - expected.sigma_ms
    whole = estimate(delays_ms)
    stalled = stalls(delays_ms, whole.median_ms, whole.quartile_sigma_ms)
    return Coarseness(
        links * late_ms,
        late_sigma_ms,
        max(wavers_ms - WIDENED_FLOOR_MS, 0.0),
        max(sigma_wavers_ms - WIDENED_FLOOR_MS, 0.0),
        loss_interval(stalled, len(delays_ms))[1] if stalled else 0.0,
    )


def stalls(delays_ms: Sequence[float], median_ms: float, sigma_ms: float) -> int:
    """Return how many probes came far too late for delays of this median and sigma."""
    limit_ms = median_ms + STALL_FLOOR_MS + STALL_SIGMAS * sigma_ms
    return sum(delay > limit_ms for delay in delays_ms)


def _at_most(successes: int, trials: int, p: float) -> float:
    if p <= 0 or p >= 1:
        return float(p <= 0 or successes >= trials)
    logs = (
        math.lgamma(trials + 1) - math.lgamma(k + 1) - math.lgamma(trials - k + 1)
        + k * math.log(p) + (trials - k) * math.log1p(-p)
        for k in range(successes + 1)
    )  # fmt: skip
    return math.fsum(math.exp(log) for log in logs)


def _bisect(rising: Callable[[float], float]) -> float:
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return (low + high) / 2


def drawn(links: Sequence[dict[str, Any]], path_ms: float, noise_ms: float, interval_ms: float) -> list[float]:
    """Draw delays (seeded) that probes over these links should have: what a picture holds the measured ones against.

    Args:
        links: those on which a probe waits in turn.
        path_ms: what the path adds.
        noise_ms: sigma of what the path adds.
        interval_ms: between two probes, which matters where order is kept.
    """
    parts = [
        _drawn(
            one["delay_ms"], one["jitter_ms"], one.get("distribution", "normal"),
            None if one["reorder"] else interval_ms, seed,
        )
        for seed, one in enumerate(links)
    ]  # fmt: skip
    noise = _drawn(0.0, 1.0, "normal", None, len(links))
    return [path_ms + noise_ms * wavers + sum(each) for wavers, *each in zip(noise, *parts, strict=True)]


@cache
def _drawn(
    delay_ms: float, jitter_ms: float, distribution: str, in_order_ms: float | None, seed: int
) -> tuple[float, ...]:
    """Draw a link's delays; for probes that keep their order with so many ms between two."""
    draw, offsets = random.Random(seed).choice, table(distribution)  # noqa: S311
    latest_ms, found = -math.inf, []
    for number in range(DRAWS):
        due_ms = delay_ms + jitter_ms * draw(offsets) / SCALE
        if in_order_ms is not None:
            latest_ms = max(latest_ms, number * in_order_ms + due_ms)
            due_ms = latest_ms - number * in_order_ms
        found.append(due_ms)
    return tuple(found)


def histogram(delays_ms: Sequence[float], target_ms: Sequence[float]) -> dict[str, Any]:
    """Return the delays' histogram between their 0.5 % and 99.5 % quantiles, the rest in the outer bins.

    ``target`` is how many of them should be in each bin, by other delays that were drawn as they should be.
    """
    ordered = sorted(delays_ms)
    first, last = ordered[int(0.005 * (len(ordered) - 1))], ordered[math.ceil(0.995 * (len(ordered) - 1))]
    width = max(last - first, 1e-3) / BINS

    def counts(several_ms: Sequence[float]) -> list[int]:
        found = [0] * BINS
        for delay in several_ms:
            found[min(max(int((delay - first) / width), 0), BINS - 1)] += 1
        return found

    share = len(ordered) / len(target_ms)
    return {
        "edges_ms": [round(first + width * edge, 6) for edge in range(BINS + 1)],
        "counts": counts(ordered),
        "target": [round(share * count, 2) for count in counts(target_ms)],
    }

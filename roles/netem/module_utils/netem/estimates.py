"""What delays and losses say: estimates, 95 % intervals, how coarse a machine is. Pure, no I/O."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Z95 = 1.959964
QUARTILES_PER_SIGMA = 1.348980  # of a normal distribution
LATE_CONFIDENCE = 0.999  # of the share of frames that an emulator was late with
POWER = 0.95  # with which the loss that is called detectable is refused
# In how many runs the gate may refuse a link that is right, however many links there are (docs/decisions/0030): links are
# verified before and after measuring, and one is refused only where each of two measurements of it is off.
FALSE_ALARMS = 0.01
VERIFICATIONS, MEASUREMENTS = 2, 2
QUANTITIES = 4  # of a measurement that chance moves: median, sigma, losses, copies
STALL_FLOOR_MS, STALL_SIGMAS = 0.5, 6.0
BLOCKS = 10  # of the control: how far they lie apart is how far the path varies
T95 = 2.262157  # Student's, for so many blocks
WIDENED_FLOOR_MS = 0.02  # what a path varies by less is not counted
BINS = 60
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
def confidence_of(verdicts: int) -> float:
    """Return the confidence of the intervals that each quantity of a link is held against, where so many are judged.

    By Bonferroni's inequality: whatever depends on what, a run refuses a right link with probability FALSE_ALARMS at most.
    """
    per_measurement: float = (FALSE_ALARMS / VERIFICATIONS / max(verdicts, 1)) ** (1 / MEASUREMENTS)
    return 1 - per_measurement / QUANTITIES


@cache
def stretch_of(confidence: float) -> float:
    """Return how much wider than a 95 % interval one of this confidence is, where the estimate is normal."""
    return statistics.NormalDist().inv_cdf((1 + confidence) / 2) / Z95


@cache
def loss_interval(lost: int, sent: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of a loss probability (Clopper and Pearson 1934), as shares of one."""
    tail = (1 - confidence) / 2
    low = 0.0 if lost == 0 else _bisect(lambda p: 1 - _at_most(lost - 1, sent, p) - tail)
    high = 1.0 if lost == sent else _bisect(lambda p: tail - _at_most(lost, sent, p))
    return low, high


@cache
def detectable_loss(target: float, sent: int, confidence: float) -> float:
    """Return the smallest loss probability that the gate refuses 19 times in 20 with this many probes: its power."""
    refused = next((lost for lost in range(1, sent + 1) if loss_interval(lost, sent, confidence)[0] > target), sent)
    passed = 1 - POWER ** (1 / MEASUREMENTS)  # at most, in each of the measurements
    return _bisect(lambda p: passed - _at_most(refused - 1, sent, p))


@dataclass(frozen=True)
class Coarseness:
    """What a machine does by itself, and how much wider the gate is for it.

    Attributes:
        late_ms: how much later than asked for a right link may be, because timers are.
        late_sigma_ms: by how much larger sigma may be, for the same reason.
        median_ms: by how much the path's median varies.
        sigma_ms: by how much its sigma does.
        stalled: the share of probes that arrive far too late.
    """

    late_ms: float = 0.0
    late_sigma_ms: float = 0.0
    median_ms: float = 0.0
    sigma_ms: float = 0.0
    stalled: float = 0.0


def coarseness(
    control_ms: Sequence[float], late_ms: float, *, probes: int, links: int, expected_sigma_ms: float
) -> Coarseness:
    """Return how coarse a machine is, by its timers and by the probes that no link shaped.

    A frame waits for a timer on each link, as the prober did as long just before: it may be late by as much, never
    early, and by anything between nothing and twice as much, if that is drawn evenly. And a path that varies within a
    measurement moves what is between the two kinds of probes: the medians and sigmas of the control's blocks, which are
    as long as a part of the measurement, give the 95 % interval of the difference.

    Args:
        control_ms: delays of the probes that no link shaped.
        late_ms: the median of how late timers were, in ms, beyond what any process takes to be woken.
        probes: how many were measured on the link.
        links: on how many links a probe waits.
        expected_sigma_ms: of the link and its path.
    """
    size = len(control_ms) // BLOCKS
    if size < ENOUGH:
        return Coarseness()
    blocks = [estimate(control_ms[start : start + size]) for start in range(0, size * BLOCKS, size)]
    half = T95 * math.sqrt(1 / BLOCKS + size / probes)
    varies_ms = half * statistics.stdev(block.median_ms for block in blocks)
    sigma_varies_ms = half * statistics.stdev(block.quartile_sigma_ms for block in blocks)
    late_sigma_ms = math.hypot(expected_sigma_ms, math.sqrt(links) * late_ms / math.sqrt(3)) - expected_sigma_ms
    whole = estimate(control_ms)
    stalled = stalls(control_ms, whole.median_ms, whole.quartile_sigma_ms)
    return Coarseness(
        links * late_ms,
        late_sigma_ms,
        max(varies_ms - WIDENED_FLOOR_MS, 0.0),
        max(sigma_varies_ms - WIDENED_FLOOR_MS, 0.0),
        loss_interval(stalled, len(control_ms))[1] if stalled else 0.0,
    )


def stalls(delays_ms: Sequence[float], median_ms: float, sigma_ms: float, latest_ms: float = -math.inf) -> int:
    """Return how many probes arrived far too late for delays of this median and sigma, of which one can be the latest.

    The latest counts where a distribution has more in its tail than sigma tells: of a pareto, 2.5 % are beyond 6 sigma.
    """
    limit_ms = max(median_ms + STALL_SIGMAS * sigma_ms, latest_ms) + STALL_FLOOR_MS
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


@dataclass(frozen=True)
class Histogram:
    """Counts of delays between neighbouring edges (one more than counts), and how many should be there."""

    edges_ms: list[float]
    counts: list[int]
    target: list[float]


def histogram(delays_ms: Sequence[float], target_ms: Sequence[float]) -> Histogram:
    """Return the delays' histogram between their 0.5 % and 99.5 % quantiles, the rest in the outer bins.

    Its target is how many of them should be in each bin, by other delays that were drawn as they should be.
    """
    ordered = sorted(delays_ms)
    first, last = ordered[int(0.005 * (len(ordered) - 1))], ordered[math.ceil(0.995 * (len(ordered) - 1))]
    width = max(last - first, 1e-3) / BINS

    def counts(several_ms: Sequence[float]) -> list[int]:
        bins = [0] * BINS
        for delay in several_ms:
            bins[min(max(int((delay - first) / width), 0), BINS - 1)] += 1
        return bins

    share = len(ordered) / len(target_ms)
    return Histogram(
        [round(first + width * edge, 6) for edge in range(BINS + 1)],
        counts(ordered),
        [round(share * count, 2) for count in counts(target_ms)],
    )

"""Whether a measured link is the one that was asked for: estimates, 95 % intervals and the gate. Pure, no I/O.

The gate looks at the median and at the sigma that the quartiles imply. For the normal delay that a link is asked to
have they estimate the same as mean and standard deviation, but a probe that waited for a busy CPU (the machine's
fault, not the link's) hardly moves them, while a doubled delay, a lost jitter or a missing direction moves them fully.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Z95 = 1.959964
# Of a normal distribution: its quartiles are 1.349 sigma apart; standard errors of the median and of that sigma.
QUARTILES_PER_SIGMA = 1.348980
MEDIAN_ERROR = 1.2533
QUARTILE_SIGMA_ERROR = 1.1664
MEAN_TOLERANCE, MEAN_FLOOR_MS = 0.02, 0.05
SIGMA_TOLERANCE, SIGMA_FLOOR_MS = 0.05, 0.03
BINS = 60


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


def loss_interval(lost: int, sent: int) -> tuple[float, float]:
    """Return the exact 95 % interval of a loss probability (Clopper and Pearson 1934), as shares of one."""
    low = 0.0 if lost == 0 else _bisect(lambda p: 1 - _at_most(lost - 1, sent, p) - 0.025)
    high = 1.0 if lost == sent else _bisect(lambda p: 0.025 - _at_most(lost, sent, p))
    return low, high


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


def histogram(delays_ms: Sequence[float]) -> dict[str, list[float]]:
    """Return the delays' histogram between their 0.5 % and 99.5 % quantiles, the rest in the outer bins."""
    ordered = sorted(delays_ms)
    first, last = ordered[int(0.005 * (len(ordered) - 1))], ordered[math.ceil(0.995 * (len(ordered) - 1))]
    width = max(last - first, 1e-3) / BINS
    counts = [0] * BINS
    for delay in ordered:
        counts[min(max(int((delay - first) / width), 0), BINS - 1)] += 1
    return {"edges_ms": [round(first + width * edge, 6) for edge in range(BINS + 1)], "counts": [*map(float, counts)]}


def judge(
    link: dict[str, Any], back: dict[str, Any] | None, measured: dict[str, Any], baseline: dict[str, Any] | None
) -> dict[str, Any]:
    """Hold what was measured on a link against what was asked for.

    Args:
        link: the link, an entry of `netem_links` with all its keys.
        back: the link of the other direction, where there is one.
        measured: what ``netem_probe.measure`` returned.
        baseline: the same, measured while the link was clear; None when it never was.

    Returns:
        An entry of the report: the link's own values, estimates, intervals, ``ok`` and ``problems``.
    """
    shared = measured["shared_clock"]
    key = "forward_ns" if shared else "round_trip_ns"
    delays_ms = [delay / 1e6 for delay in measured[key]]
    lost = measured["sent"] - measured["arrived"]
    low, high = loss_interval(lost, measured["sent"])
    entry = {
        **link,
        "probes": measured["sent"],
        "received": measured["arrived"],
        "clock": "shared" if shared else "round-trip",
        "lost": lost,
        "loss_measured_percent": 100 * lost / measured["sent"],
        "loss_low_percent": 100 * low,
        "loss_high_percent": 100 * high,
        "reordered": measured["forward_reordered"],
    }
    problems = []
    if not low <= link["loss_percent"] / 100 <= high:
        problems.append(
            f"loss {100 * lost / measured['sent']:.3g} % ({lost} of {measured['sent']}), "
            f"between {100 * low:.3g} and {100 * high:.3g} %, expected {link['loss_percent']:g} %"
        )
    if len(delays_ms) < 4:  # noqa: PLR2004
        problems.append(f"only {len(delays_ms)} of {measured['sent']} probes were answered")
        return entry | {"ok": False, "problems": problems}
    found = estimate(delays_ms)
    clear = estimate([delay / 1e6 for delay in baseline[key]]) if baseline and len(baseline[key]) > 3 else None  # noqa: PLR2004
    delay_ms, jitter_ms = link["delay_ms"], link["jitter_ms"]
    if not shared and back is not None:
        delay_ms, jitter_ms = delay_ms + back["delay_ms"], math.hypot(jitter_ms, back["jitter_ms"])
    # A rate adds each probe's own time on the wire, which is far below the floor from 1 Mbit/s on.
    problems += _off(found, clear, delay_ms, jitter_ms)
    names = ("mean_ms", "mean_low_ms", "mean_high_ms", "sigma_ms", "sigma_low_ms", "sigma_high_ms")
    return entry | {
        **{name: getattr(found, name) for name in names},
        "median_ms": found.median_ms,
        "quartile_sigma_ms": found.quartile_sigma_ms,
        "baseline_mean_ms": clear.median_ms if clear else None,
        "baseline_sigma_ms": clear.quartile_sigma_ms if clear else None,
        "histogram": histogram(delays_ms),
        "ok": not problems,
        "problems": problems,
    }


def _off(found: Estimate, clear: Estimate | None, delay_ms: float, jitter_ms: float) -> list[str]:
    root = math.sqrt(found.count)
    path_ms, noise_ms = (clear.median_ms, clear.quartile_sigma_ms) if clear else (0.0, 0.0)
    problems = []
    allowed_ms = max(MEAN_TOLERANCE * delay_ms, MEAN_FLOOR_MS) + Z95 * MEDIAN_ERROR * found.quartile_sigma_ms / root
    expected_ms = delay_ms + path_ms
    if abs(found.median_ms - expected_ms) > allowed_ms:
        problems.append(f"delay {found.median_ms:.3f} ms, expected {expected_ms:.3f} ± {allowed_ms:.3f} ms")
    expected_sigma_ms = math.hypot(jitter_ms, noise_ms)
    allowed_ms = max(SIGMA_TOLERANCE * jitter_ms, SIGMA_FLOOR_MS)
    allowed_ms += Z95 * QUARTILE_SIGMA_ERROR * max(found.quartile_sigma_ms, expected_sigma_ms) / root
    if abs(found.quartile_sigma_ms - expected_sigma_ms) > allowed_ms:
        problems.append(
            f"jitter {found.quartile_sigma_ms:.3f} ms, expected {expected_sigma_ms:.3f} ± {allowed_ms:.3f} ms"
        )
    return problems


def sentence(entry: dict[str, Any]) -> str:
    """Return a link's verdict in one line, for the terminal."""
    target = f"{entry['source']} -> {entry['target']}: {entry['delay_ms']:g} ± {entry['jitter_ms']:g} ms"
    target += f", {entry['loss_percent']:g} %"
    if "mean_ms" not in entry:
        return f"{target}: OFF: {'; '.join(entry['problems'])}"
    found = f"measured {entry['median_ms']:.3f} ± {entry['quartile_sigma_ms']:.3f} ms, {entry['loss_measured_percent']:.2g} %"
    return f"{target}: {found} of {entry['probes']}: " + ("ok" if entry["ok"] else f"OFF: {'; '.join(entry['problems'])}")

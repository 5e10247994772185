"""The delay of a link and its jitter: what frames should take, as drawn by both backends and held against by the gate."""

from __future__ import annotations

import math
import random
import statistics
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from .estimates import QUARTILES_PER_SIGMA, Z95, stretch_of
from .property import Property, PropertyError, value
from .tables import DEPTH, DISTRIBUTIONS, SCALE, quantile, table

if TYPE_CHECKING:
    from .estimates import Coarseness
    from .link import Link
    from .property import Delays, Observation

MEAN_TOLERANCE, MEAN_FLOOR_MS = 0.02, 0.05
SIGMA_TOLERANCE, SIGMA_FLOOR_MS = 0.05, 0.03
SLOPE_STEP = 0.02  # of the share over which a quantile's slope is taken
DRAWS = 20_000  # for a picture's target


@dataclass(frozen=True)
class Expectation:
    """What a link's probes should show: median, sigma, latest, and how far a right link's own draws stray (95 %)."""

    median_ms: float
    sigma_ms: float
    latest_ms: float
    median_half_ms: float
    sigma_half_ms: float


@dataclass(frozen=True)
class Drawn:
    """The delays that a link draws: the lowest of them, their mean, their standard deviation."""

    lowest_ms: float
    mean_ms: float
    sigma_ms: float


@dataclass(frozen=True)
class Delay(Property):
    """How long a frame takes.

    No draw may ask for less than no delay, because netem would then send at once and the mean would no longer be the
    delay: for `normal` that allows a jitter of a quarter of the delay.
    """

    delay_ms: float = value(float, "One-way delay; a round trip takes twice as long.", at_least=0, at_most=10_000)
    jitter_ms: float = value(
        float,
        "Spread of the delay, for normal at most a quarter of it: sigma of normal, half the width of uniform, scale of "
        "the others.",
        default=0, at_least=0,
    )  # fmt: skip
    distribution: str = value(str, "Distribution of the delay.", default="normal", choices=DISTRIBUTIONS)

    def check(self) -> None:
        largest_ms = self.delay_ms / DEPTH[self.distribution]
        if self.jitter_ms > largest_ms:
            raise PropertyError(
                f"jitter_ms is {self.jitter_ms:g}, too large for a {self.distribution} distribution at this delay_ms "
                f"({self.delay_ms:g}): draws below zero would shift the mean. "
                f"Set it to at most {math.floor(largest_ms * 1e6) / 1e6:g}"
            )

    @property
    def table_name(self) -> str:
        """The name by which `tc` finds the table of the draws."""
        return self.distribution

    @property
    def offsets(self) -> tuple[int, ...]:
        """What a draw adds to the delay, in units of the jitter / SCALE, at equal steps of probability; none without jitter.

        Both backends draw from it, and the gate expects it.
        """
        return table(self.distribution) if self.jitter_ms else ()

    @property
    def latest_ms(self) -> float:
        """The longest delay that can be drawn; where order is kept none is longer, either."""
        return self.delay_ms + self.jitter_ms * max(self.offsets, default=0) / SCALE

    @property
    def drawn(self) -> Drawn:
        """What the draws are like."""
        offsets = self.offsets or (0,)
        unit_ms = self.jitter_ms / SCALE
        return Drawn(
            max(self.delay_ms + unit_ms * min(offsets), 0.0),
            self.delay_ms + unit_ms * statistics.fmean(offsets),
            unit_ms * statistics.pstdev(offsets),
        )

    def words(self) -> str:
        if not self.jitter_ms:
            return f"{self.delay_ms:g} ms"
        shape = "" if self.distribution == "normal" else f" {self.distribution}"
        return f"{self.delay_ms:g} ms ± {self.jitter_ms:g} ms{shape}"

    def tc(self, link: Link) -> list[str]:
        jitter = [f"{self.jitter_ms:g}ms", "distribution", self.table_name] if self.offsets else []
        return ["delay", f"{self.delay_ms:g}ms", *jitter]

    def emulator(self, link: Link) -> dict[str, Any]:
        return {
            "delay_ns": self.delay_ms * 1e6,
            "jitter_ns": self.jitter_ms * 1e6 / SCALE,
            "table": self.distribution if self.offsets else None,
        }

    def problems(self, seen: Observation) -> list[str]:
        delays, problems = seen.delays, []
        if delays is None:
            return []
        measured, expected, coarse = delays.measured, delays.expected, delays.coarse
        allowed_ms, allowed_sigma_ms = self._allowed(expected, coarse, seen.confidence)
        if not -allowed_ms <= measured.median_ms - expected.median_ms <= allowed_ms + coarse.late_ms:
            problems.append(
                f"delay {measured.median_ms:.3f} ms, expected {expected.median_ms:.3f} ± {allowed_ms:.3f}"
                f"{by_timers(coarse.late_ms)} ms"
            )
        # Timers that are late spread delays, and never less.
        sigma_ms = measured.quartile_sigma_ms
        if not -allowed_sigma_ms <= sigma_ms - expected.sigma_ms <= allowed_sigma_ms + coarse.late_sigma_ms:
            problems.append(
                f"jitter {sigma_ms:.3f} ms, expected {expected.sigma_ms:.3f} ± {allowed_sigma_ms:.3f}"
                f"{by_timers(coarse.late_sigma_ms)} ms"
            )
        return problems

    def unresolved(self, seen: Observation) -> list[str]:
        """Return whether the gate could miss a doubled delay, or a jitter that is not there, because it is wider here."""
        if seen.delays is None:
            return []
        allowed_ms, allowed_sigma_ms = self._allowed(seen.delays.expected, seen.delays.coarse, seen.confidence)
        return [
            *self._unresolved_delay(seen.delays, allowed_ms + seen.delays.coarse.late_ms),
            *self._unresolved_jitter(seen.delays, allowed_sigma_ms),
        ]

    def _unresolved_delay(self, delays: Delays, allowed_ms: float) -> list[str]:
        unsure_ms = delays.coarse.late_ms + delays.coarse.median_ms
        if not allowed_ms >= self.delay_ms > allowed_ms - unsure_ms:
            return []
        return [
            (
                f"this machine's timers are late and its path varies, by {unsure_ms:.3f} ms together, "
                f"so {self.delay_ms:g} ms cannot be resolved here"
            )
        ]

    def _unresolved_jitter(self, delays: Delays, allowed_sigma_ms: float) -> list[str]:
        added_ms = delays.expected.sigma_ms - delays.path_sigma_ms
        if not allowed_sigma_ms >= added_ms > allowed_sigma_ms - delays.coarse.sigma_ms:
            return []
        return [
            (
                f"the path's own jitter of {delays.path_sigma_ms:.3f} ms varies by {delays.coarse.sigma_ms:.3f} ms, "
                f"so the link's {self.jitter_ms:g} ms cannot be resolved here"
            )
        ]

    def _allowed(self, expected: Expectation, coarse: Coarseness, confidence: float) -> tuple[float, float]:
        """Return by how many ms median and sigma may differ, beside what timers make later."""
        stretch = stretch_of(confidence)
        return (
            max(MEAN_TOLERANCE * self.delay_ms, MEAN_FLOOR_MS) + stretch * expected.median_half_ms + coarse.median_ms,
            max(SIGMA_TOLERANCE * self.jitter_ms, SIGMA_FLOOR_MS) + stretch * expected.sigma_half_ms + coarse.sigma_ms,
        )

    def expectation(self, probes: int, in_order_ms: float | None = None) -> Expectation:
        """Return what so many probes should show.

        Args:
            probes: how many of them arrived.
            in_order_ms: milliseconds between two of them, where the link keeps their order; else None.
        """
        if not self.offsets:
            return Expectation(self.delay_ms, 0.0, self.latest_ms, 0.0, 0.0)
        if in_order_ms is None:
            return self._independent(probes)
        return self._in_order(probes, in_order_ms)

    def _independent(self, probes: int) -> Expectation:
        """Return the expectation of independent draws: standard errors of quantiles by the table's own density."""
        low, middle, high = (quantile(self.offsets, share) for share in (0.25, 0.5, 0.75))
        # dQ/dp, one over the density: the covariance of two sample quantiles is p (1 - q) dQ/dp dQ/dq / n.
        left, centre, right = (
            (quantile(self.offsets, share + SLOPE_STEP) - quantile(self.offsets, share - SLOPE_STEP)) / (2 * SLOPE_STEP)
            for share in (0.25, 0.5, 0.75)
        )
        spread = math.sqrt(3 / 16 * left**2 + 3 / 16 * right**2 - 2 / 16 * left * right) / QUARTILES_PER_SIGMA
        error_ms = Z95 * self.jitter_ms / math.sqrt(probes)
        return Expectation(
            self.delay_ms + self.jitter_ms * middle,
            self.jitter_ms * (high - low) / QUARTILES_PER_SIGMA,
            self.latest_ms,
            centre / 2 * error_ms,
            spread * error_ms,
        )

    def _in_order(self, probes: int, interval_ms: float) -> Expectation:
        """Return the expectation where no probe may arrive before the previous one.

        Each then leaves at the latest time drawn so far: later on average, less spread, and no longer independent, so
        intervals of independent draws would be too narrow. There is no formula as short as drawing it (100 times, seeded).
        """
        draw, offsets = random.Random(1).choice, self.offsets  # noqa: S311
        medians, sigmas = [], []
        for _ in range(100):
            latest, delays = -math.inf, []
            for number in range(probes):
                latest = max(latest, number * interval_ms + self.delay_ms + self.jitter_ms * draw(offsets) / SCALE)
                delays.append(latest - number * interval_ms)
            low, middle, high = statistics.quantiles(delays, n=4)
            medians.append(middle)
            sigmas.append((high - low) / QUARTILES_PER_SIGMA)
        return Expectation(
            statistics.fmean(medians),
            statistics.fmean(sigmas),
            self.latest_ms,
            Z95 * statistics.stdev(medians),
            Z95 * statistics.stdev(sigmas),
        )

    def draws(self, seed: int, in_order_ms: float | None = None) -> tuple[float, ...]:
        """Draw delays in ms (seeded) that a picture holds the measured ones against; `in_order_ms` as `expectation`."""
        return draws(self.delay_ms, self.jitter_ms, self.offsets or (0,), in_order_ms, seed)


@cache
def draws(
    delay_ms: float, jitter_ms: float, offsets: tuple[int, ...], in_order_ms: float | None, seed: int
) -> tuple[float, ...]:
    """Draw delays in ms (seeded); for probes that keep their order with so many ms between two."""
    draw = random.Random(seed).choice  # noqa: S311
    latest_ms, delays = -math.inf, []
    for number in range(DRAWS):
        due_ms = delay_ms + jitter_ms * draw(offsets) / SCALE
        if in_order_ms is not None:
            latest_ms = max(latest_ms, number * in_order_ms + due_ms)
            due_ms = latest_ms - number * in_order_ms
        delays.append(due_ms)
    return tuple(delays)


def by_timers(late_ms: float) -> str:
    """Return how much later timers may make a delay, behind a tolerance."""
    return f" (+ {late_ms:.3f} by timers)" if late_ms else ""

"""However many links there are, chance refuses a right one in one run of a hundred at most; a wrong one is found."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from ansible.module_utils.netem import estimates, gate
from ansible.module_utils.netem.delay import Delay
from ansible.module_utils.netem.link import Link
from ansible.module_utils.netem.measurement import Measurement, Probes
from scipy import stats

LINKS = 272
PROBES = 1000
PATH_MS = 0.03
EDGE = Link.between("bs", "edge-1", delay_ms=1.25, jitter_ms=0.25, loss_percent=0.02)


def strays(delay: Delay, verdicts: int, measurements: int, seed: int) -> float:
    """Return the share of measurements in which median or sigma strays further than chance is allowed to move it.

    As if the machine had used up all of the 2 % and 5 % that it may be off by.
    """
    expected, stretch = delay.expectation(PROBES), estimates.stretch_of(estimates.confidence_of(verdicts))
    draw = np.random.default_rng(seed)
    off = 0
    for start in range(0, measurements, 2000):
        delays = draw.normal(delay.delay_ms, delay.jitter_ms, (min(2000, measurements - start), PROBES))
        delays.partition((249, 250, 499, 500, 749, 750), axis=1)
        median = (delays[:, 499] + delays[:, 500]) / 2
        low = 0.75 * delays[:, 249] + 0.25 * delays[:, 250]
        high = 0.25 * delays[:, 749] + 0.75 * delays[:, 750]
        sigma = (high - low) / estimates.QUARTILES_PER_SIGMA
        off += int(np.sum(median - expected.median_ms > stretch * expected.median_half_ms))
        off += int(np.sum(sigma - expected.sigma_ms > stretch * expected.sigma_half_ms))
    return off / measurements


def lost_too_many(share: float, verdicts: int) -> float:
    """Return with which probability the losses of a right link are outside of what they are held against."""
    confidence = estimates.confidence_of(verdicts)
    within = [k for k in range(60) if (pair := estimates.loss_interval(k, PROBES, confidence))[0] <= share <= pair[1]]
    return 1 - sum(float(stats.binom.pmf(lost, PROBES, share)) for lost in within)


@pytest.mark.parametrize(
    ("verdicts", "measurements"),
    [(16, 20_000), (LINKS, 40_000), pytest.param(2450, 1_000_000, marks=pytest.mark.long)],
)
def test_chance_refuses_a_right_link_in_one_run_of_a_hundred_at_most(verdicts: int, measurements: int):
    off = strays(Delay(15, 3), verdicts, measurements, seed=verdicts) + lost_too_many(0.0024, verdicts)
    # Two verifications, in each of which a link is refused that is off twice. What may be off by so many: 3 sigma.
    most = off + 3 * math.sqrt(off / measurements)
    assert off > 0, "so few measurements show nothing"
    assert 2 * verdicts * off**2 < estimates.FALSE_ALARMS, (verdicts, off)
    assert 2 * verdicts * most**2 < 1.5 * estimates.FALSE_ALARMS


def test_bounds_that_do_not_know_how_many_links_there_are_would_refuse_more():
    off = strays(Delay(15, 3), 1, 20_000, seed=1)
    assert 2 * LINKS * off**2 > estimates.FALSE_ALARMS


def measured(delay_ms: float, jitter_ms: float, loss: float, seed: int) -> Measurement:
    """Return what probes over a link would show that does this."""
    draw = random.Random(seed)
    delays_ns = tuple(
        int(1e6 * (PATH_MS + draw.gauss(delay_ms, jitter_ms))) for _ in range(PROBES) if draw.random() >= loss
    )
    rounds_ns = tuple(2 * one for one in delays_ns)
    answered = len(delays_ns)
    return Measurement(Probes(PROBES, 2, answered, answered, delays_ns, delays_ns, rounds_ns, shared_clock=True))


CLEAR = measured(0, 0.005, 0, 1).probes


@pytest.mark.parametrize(
    ("delay_ms", "jitter_ms", "loss"),
    [(2.5, 0.25, 0.0002), (1.25, 0.01, 0.0002), (0, 0.005, 0), (1.45, 0.25, 0.0002), (1.25, 0.4, 0.0002), (1.25, 0.25, 0.03)],
    ids=["doubled", "no jitter", "not shaped", "0.2 ms more", "more jitter", "lossy"],
)  # fmt: skip
def test_a_wrong_link_is_found_among_as_many_others(delay_ms: float, jitter_ms: float, loss: float):
    for seed in range(20):
        verdict = gate.judge(EDGE, None, measured(delay_ms, jitter_ms, loss, seed), CLEAR, verdicts=LINKS)
        assert not verdict.ok


def test_right_links_pass_however_many_there_are():
    refused = sum(
        not gate.judge(EDGE, None, measured(1.25, 0.25, 0.0002, seed), CLEAR, verdicts=LINKS).ok
        for seed in range(100, 200)
    )
    assert refused <= 1


def test_more_links_need_a_larger_loss_to_be_refused_and_the_verdict_says_from_where_on():
    few, many = (
        gate.judge(EDGE, None, measured(1.25, 0.25, 0, 1), CLEAR, verdicts=count).loss.detectable_percent
        for count in (8, 2450)
    )
    assert few < many < 3

"""What the emulator draws is what was asked for: delays, bursts of loss, copies, damage, and the same again by a seed."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.netem.chain import Chain, correlated
from ansible.module_utils.netem.tables import DISTRIBUTIONS, SCALE, table
from fidelity import wide
from frames import Frame, send
from scipy import stats
from uml import boot
from wires import Wires, link

pytestmark = pytest.mark.lab

DELAY_MS = 24
JITTER_MS = {"normal": 6, "pareto": 16, "paretonormal": 12, "uniform": 24}
FRAMES = 4000
# Two samples of one distribution differ by less than this 999 times in 1000 (1.95 / sqrt(4000)), and the machine's own
# lateness of some 0.1 ms moves a distribution that is 6 ms wide by less than the rest.
LARGEST_GAP = 0.045
# Two samples of 4000 differ by less than 0.044 as often (1.95 sqrt(2 / 4000)); the coarse timers of the guest that has
# netem add up to 0.5 ms, which is 0.02 of a sigma of 25 ms and moves a distribution by 0.01.
LARGEST_GAP_TO_NETEM = 0.055


def shaped(wires: Wires, count: int, interval_ms: float = 0.25, **values: Any) -> list[Frame]:
    asked = {"delay_ms": 2, **values}
    wires.links("a", "present", [link("a", "b", **asked)], backend="emulator")
    return send(wires, "a", "b", count, interval_ms=interval_ms, delay_ms=10 * asked["delay_ms"])


def numbers(frames: list[Frame]) -> list[int]:
    return [frame.number for frame in frames]


def lost(frames: list[Frame], count: int) -> list[int]:
    """Return 1 for each frame that did not arrive, else 0, in order of sending."""
    there = set(numbers(frames))
    return [int(number not in there) for number in range(count)]


def likely(successes: int, trials: int, share: float) -> bool:
    return float(stats.binomtest(successes, trials, share).pvalue) > 0.001


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_delays_are_of_the_distribution_that_was_asked_for_and_of_no_other(wires: Wires, distribution: str):
    wires.links("a", "present", [link("a", "b", 0)], backend="emulator")
    clear = sorted(frame.delay_ms for frame in send(wires, "a", "b", 500, interval_ms=0.5, delay_ms=0))
    jitter_ms = JITTER_MS[distribution]
    frames = shaped(wires, FRAMES, delay_ms=DELAY_MS, jitter_ms=jitter_ms, distribution=distribution)
    assert len(frames) == FRAMES
    delays = [frame.delay_ms - clear[250] for frame in frames]
    gaps = {
        name: stats.ks_2samp(delays, [DELAY_MS + jitter_ms * draw / SCALE for draw in table(name)]).statistic
        for name in DISTRIBUTIONS
    }
    assert gaps.pop(distribution) < LARGEST_GAP
    assert min(gaps.values()) > 2 * LARGEST_GAP


@pytest.mark.long  # a matrix of both backends; the test above holds each distribution to its table
def test_delays_are_of_the_same_distribution_as_netems(wires: Wires):
    if reason := boot.unusable():
        pytest.skip(reason)
    (netems,) = boot.messages("measure", "draws", silence_s=300)
    ours = wide(wires, "emulator")
    gaps = {name: stats.ks_2samp(ours[name], netems[name]).statistic for name in netems}
    assert max(gaps.values()) < LARGEST_GAP_TO_NETEM, gaps
    others = [stats.ks_2samp(ours[name], netems[other]).statistic for name in ours for other in netems if name != other]
    assert min(others) > 2 * LARGEST_GAP_TO_NETEM


@pytest.mark.parametrize(
    ("values", "chain"),
    [
        ({"loss_percent": 10, "loss_correlation_percent": 50}, correlated(10, 50)),
        ({"gilbert_elliott": {"enter_percent": 4, "leave_percent": 20}}, Chain(4, 20)),
        (
            {"gilbert_elliott": {"enter_percent": 5, "leave_percent": 10, "bad_loss_percent": 60, "good_loss_percent": 2}},
            Chain(5, 10, 60, 2),
        ),
    ],
    ids=["correlated", "Gilbert", "Elliott"],
)  # fmt: skip
def test_frames_are_lost_in_bursts_and_as_many_as_asked(wires: Wires, values: dict[str, Any], chain: Chain):
    count = 20_000
    seen = lost(shaped(wires, count, 0.08, **values), count)
    share = sum(seen) / count
    error = (chain.loss * (1 - chain.loss) * chain.inflation / count) ** 0.5
    assert abs(share - chain.loss) < 3.3 * error
    # Neighbours' correlation, of a chain: what its two states differ by, times what it remembers from one to the next.
    between = chain.bad_share * (1 - chain.bad_share) * ((chain.bad_loss_percent - chain.good_loss_percent) / 100) ** 2
    memory = 1 - (chain.enter_percent + chain.leave_percent) / 100
    expected = between * memory / (chain.loss * (1 - chain.loss))
    assert stats.pearsonr(seen[:-1], seen[1:]).statistic == pytest.approx(expected, abs=0.06)


def test_a_share_of_the_frames_comes_twice(wires: Wires):
    frames = shaped(wires, FRAMES, duplicate_percent=5)
    twice = len(frames) - len(set(numbers(frames)))
    assert sum(lost(frames, FRAMES)) == 0
    assert likely(twice, FRAMES, 0.05)


def test_a_share_of_the_frames_is_damaged_and_the_others_are_not(wires: Wires):
    frames = shaped(wires, FRAMES, corrupt_percent=5)
    # What is damaged in its headers may be dropped on its way, and 14 bytes of 363 have no check sum.
    assert likely(FRAMES - sum(frame.whole for frame in frames), FRAMES, 0.05)
    assert FRAMES - len(frames) < FRAMES * 0.05 * 42 / 363 * 2


def test_a_full_link_drops_what_it_does_not_hold(wires: Wires):
    frames = shaped(wires, 400, 0, delay_ms=300, limit_packets=50)
    assert numbers(frames)[:50] == list(range(50))
    assert len(frames) < 100


def test_a_seed_repeats_the_draws_also_when_it_is_given_again(wires: Wires):
    values = {"delay_ms": 8, "jitter_ms": 2, "loss_percent": 20}
    first = shaped(wires, 1000, 0.5, **values, seed=5)
    other = shaped(wires, 1000, 0.5, **values, seed=6)
    again = shaped(wires, 1000, 0.5, **values, seed=5)
    assert lost(again, 1000) == lost(first, 1000) != lost(other, 1000)
    delays, repeated = ({frame.number: frame.delay_ms for frame in frames} for frames in (first, again))
    off = sorted(abs(delays[number] - repeated[number]) for number in delays)
    assert off[len(off) // 2] < 0.2, "the delays are drawn from the seed as well"


def test_without_a_seed_no_two_links_lose_the_same_frames(wires: Wires):
    assert lost(shaped(wires, 300, loss_percent=50), 300) != lost(shaped(wires, 300, loss_percent=49.9), 300)

"""The gate passes right links, refuses wrong ones, and its intervals are those of the text books."""

from __future__ import annotations

import json
import math
import random
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from ansible.module_utils.netem import estimates, gate
from ansible.module_utils.netem.chain import Chain, correlated
from ansible.module_utils.netem.delay import Delay
from ansible.module_utils.netem.link import Link
from ansible.module_utils.netem.measurement import Measurement, Probes
from ansible.module_utils.netem.tables import DISTRIBUTIONS, SCALE, table
from ansible.module_utils.netem.verdict import Tcp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ansible.module_utils.netem.verdict import Delays, Level, Verdict

EDGE = Link.between("bs", "edge-1", delay_ms=1.25, jitter_ms=0.25, loss_percent=0.02)
CLOUD = Link.between("bs", "cloud-1", delay_ms=15, jitter_ms=3, loss_percent=0.24)


def but(link: Link, **values: Any) -> Link:
    """The link with other values."""
    return Link.from_mapping(link.entry() | values)


def probed(delays_ms: Sequence[float], sent: int | None = None, **more: Any) -> Probes:
    """Probes that had these delays there, and the same back."""
    nanoseconds = tuple(int(delay * 1e6) for delay in delays_ms)
    values: dict[str, Any] = {
        "sent": sent or len(delays_ms), "arrived": len(delays_ms), "answered": len(delays_ms), "interval_ms": 2,
        "forward_ns": nanoseconds, "backward_ns": nanoseconds, "round_trip_ns": tuple(2 * one for one in nanoseconds),
        "shared_clock": True, **more,
    }  # fmt: skip
    return Probes(**values)


MACHINE = ("control", "family", "late_ns", "stolen", "starved")


def measured(delays_ms: Sequence[float], sent: int | None = None, **more: Any) -> Measurement:
    """A measurement with such probes; `more` is the probes' or what the machine did meanwhile."""
    machine = {key: more.pop(key) for key in MACHINE if key in more}
    return Measurement(probed(delays_ms, sent, **more), **machine)


def probes(delay_ms: float, jitter_ms: float, count: int = 1000, seed: int = 1, stalls: float = 0.0) -> list[float]:
    """Draw delays over a path that takes 0.03 ms itself; a share of them waits up to 20 ms for a CPU."""
    draw = random.Random(seed)
    return [
        0.03 + draw.gauss(delay_ms, jitter_ms) + abs(draw.gauss(0, 0.01))
        + (draw.uniform(0, 20) if draw.random() < stalls else 0)
        for _ in range(count)
    ]  # fmt: skip


BASELINE = probed(probes(0, 0, 300))


def verdict(link: Link, delays_ms: Sequence[float], **more: Any) -> Verdict:
    return gate.judge(link, None, measured(delays_ms, **more), BASELINE, verdicts=16)  # as the paper's run has


def delays_of(entry: Verdict) -> Delays:
    """What a verdict tells of delays, which are known."""
    assert entry.delays is not None
    return entry.delays


def level(known: Level | None) -> Level:
    """A level that is known."""
    assert known is not None
    return known


@pytest.mark.parametrize(("lost", "sent"), [(0, 200), (1, 1000), (3, 1000), (24, 10_000), (500, 1000), (1000, 1000)])
def test_the_loss_interval_is_scipys_exact_one(lost: int, sent: int):
    for confidence in (0.95, 0.999):
        theirs = stats.binomtest(lost, sent).proportion_ci(confidence, method="exact")
        assert estimates.loss_interval(lost, sent, confidence) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_the_mean_and_sigma_and_their_intervals_are_scipys():
    delays = probes(15, 3, 1000)
    ours = estimates.estimate(delays)
    theirs = stats.norm.interval(0.95, stats.tmean(delays), stats.sem(delays))
    assert (ours.mean_low_ms, ours.mean_high_ms) == pytest.approx(theirs, rel=1e-6)
    low, high = (math.sqrt(999 * stats.tvar(delays) / stats.chi2.ppf(q, 999)) for q in (0.975, 0.025))
    assert (ours.sigma_low_ms, ours.sigma_high_ms) == pytest.approx((low, high), rel=0.01)
    assert ours.quartile_sigma_ms == pytest.approx(stats.iqr(delays) / (2 * stats.norm.ppf(0.75)), rel=0.01)


def test_the_errors_of_median_and_quartile_sigma_are_those_of_their_sampling():
    several = [estimates.estimate(probes(15, 3, 200, seed)) for seed in range(400)]
    expected = Delay(15, 3).expectation(200)
    assert 1.96 * stats.tstd([one.median_ms for one in several]) == pytest.approx(expected.median_half_ms, rel=0.15)
    sigmas = [one.quartile_sigma_ms for one in several]
    assert 1.96 * stats.tstd(sigmas) == pytest.approx(expected.sigma_half_ms, rel=0.15)


@pytest.mark.parametrize("link", [EDGE, CLOUD])
def test_a_right_link_passes_nearly_always(link: Link):
    draw = random.Random(5)
    refused = 0
    for seed in range(200):
        delays = probes(link.delay.delay_ms, link.delay.jitter_ms, seed=seed)
        kept = [one for one in delays if draw.random() >= link.loss.loss_percent / 100]
        refused += not verdict(link, kept, sent=1000).ok
    assert refused <= 2


def test_a_busy_machine_does_not_fail_a_right_link_but_is_counted():
    entry = verdict(EDGE, probes(1.25, 0.25, stalls=0.01))
    assert entry.ok, entry.problems
    assert entry.probes.stalled
    assert delays_of(entry).delay.mean_ms > delays_of(entry).delay.median_ms + 0.05


def test_a_machine_that_stalls_often_fails_by_that_name():
    entry = verdict(EDGE, probes(1.25, 0.25, stalls=0.05))
    assert (entry.ok, entry.disturbed) == (False, True)
    assert any(problem.endswith("the machine or the emulator stalls") for problem in entry.problems)
    robbed = verdict(EDGE, probes(1.25, 0.25, stalls=0.05), stolen=0.124)
    assert robbed.problems[-1].endswith("stalls (12 % CPU steal on this machine)")
    assert verdict(EDGE, probes(1.25, 0.5), stolen=0.124).disturbed
    assert verdict(EDGE, probes(1.25, 0.25), stolen=0.124).ok, "what did no harm is no reason"


@pytest.mark.parametrize(
    ("delay_ms", "jitter_ms", "word"),
    [(2.5, 0.25, "delay"), (1.25, 0, "jitter"), (1.25, 0.5, "jitter"), (0, 0, "delay"), (1.35, 0.25, "delay")],
)
def test_a_wrong_link_fails_with_the_numbers(delay_ms: float, jitter_ms: float, word: str):
    entry = verdict(EDGE, probes(delay_ms, jitter_ms))
    assert (entry.ok, entry.disturbed) == (False, False)
    assert any(problem.startswith(word) and "expected" in problem for problem in entry.problems)


def test_loss_that_is_not_the_links_fails_and_the_power_says_from_where_on():
    assert not verdict(EDGE, probes(1.25, 0.25, 980), sent=1000).ok
    entry = verdict(EDGE, probes(1.25, 0.25))
    noticed = entry.loss.detectable_percent / 100
    confidence = estimates.confidence_of(1)
    refused = [k for k in range(30) if estimates.loss_interval(k, 1000, confidence)[0] > 0.0002]
    assert stats.binom.sf(min(refused) - 1, 1000, noticed) ** 2 == pytest.approx(0.95, abs=1e-6), "in both measurements"


def test_order_kept_moves_what_is_expected_by_what_it_costs():
    ordered = but(CLOUD, reorder=False, loss_percent=0)
    for seed in range(10):
        draw = random.Random(100 + seed)
        latest, delays = 0.0, []
        for number in range(1000):
            latest = max(latest, 2 * number + draw.gauss(15, 3))
            delays.append(latest - 2 * number + 0.03)
        entry = verdict(ordered, delays)
        assert entry.ok, entry.problems
    assert delays_of(entry).expected.median_ms == pytest.approx(16.04, abs=0.1)
    assert any("were reordered" in one for one in verdict(ordered, delays, forward_reordered=3).problems)
    assert not verdict(ordered, probes(15, 3)).ok


def test_without_a_shared_clock_the_round_trip_is_held_against_both_links():
    rounds = [a + b for a, b in zip(probes(15, 3, seed=1), probes(1.25, 0.25, seed=2), strict=True)]
    back = but(EDGE, source="cloud-1", target="bs")
    entry = gate.judge(but(CLOUD, loss_percent=0), back, there_and_back(rounds), BASELINE)
    assert not entry.one_way
    assert entry.ok, entry.problems


def lossy(chain: Chain, sent: int, seed: int) -> int:
    """Run a chain and return how many of so many frames it loses."""
    draw, (enter, leave, bad_loss, good_loss) = random.Random(seed).random, chain.shares
    bad, lost = draw() < chain.bad_share, 0
    for _ in range(sent):
        lost += draw() < (bad_loss if bad else good_loss)
        bad = draw() >= leave if bad else draw() < enter
    return lost


@pytest.mark.parametrize(
    ("values", "chain"),
    [
        ({"loss_percent": 2, "loss_correlation_percent": 60}, correlated(2, 60)),
        ({"loss_percent": 0, "gilbert_elliott": {"enter_percent": 1, "leave_percent": 20}}, Chain(1, 20)),
    ],
)
def test_bursts_that_are_right_pass_where_single_losses_would_be_refused(values: dict[str, Any], chain: Chain):
    link, refused, refused_alone = but(EDGE, **values), 0, 0
    for seed in range(100):
        lost = lossy(chain, 1000, seed)
        entry = verdict(link, probes(1.25, 0.25, 1000 - lost, seed), sent=1000)
        refused += not entry.ok  # by chance, and then measured again
        alone = but(EDGE, loss_percent=100 * chain.loss)
        refused_alone += not verdict(alone, probes(1.25, 0.25, 1000 - lost, seed), sent=1000).ok
    assert refused <= 2
    assert refused_alone > 3
    low, high = estimates.loss_interval(lost, 1000)
    assert entry.loss.high_percent - entry.loss.low_percent > 1.4 * 100 * (high - low)


def test_a_verdict_says_what_was_asked_for_in_the_links_own_words():
    assert str(verdict(EDGE, probes(1.25, 0.25))).startswith("bs -> edge-1: 1.25 ms ± 0.25 ms, 0.02 % loss: measured")
    bursts = but(EDGE, loss_percent=0, gilbert_elliott={"enter_percent": 1, "leave_percent": 9})
    sentence = str(verdict(but(bursts, distribution="pareto"), probes(1.25, 0.25)))
    assert sentence.startswith(
        "bs -> edge-1: 1.25 ms ± 0.25 ms pareto, 10 % loss (Gilbert-Elliott 1/9/100/0 %): measured"
    )


@pytest.mark.parametrize(("lost", "side"), [(0, "few"), (160, "many")])
def test_bursts_that_lose_another_share_fail_with_their_chance(lost: int, side: str):
    link = but(EDGE, loss_percent=5, loss_correlation_percent=40)
    entry = verdict(link, probes(1.25, 0.25, 1000 - lost), sent=1000)
    assert [problem for problem in entry.problems if f"in bursts: P(this {side} losses) = " in problem]


@pytest.mark.parametrize("distribution", ["pareto", "paretonormal", "uniform"])
def test_a_link_of_another_distribution_is_held_against_its_own_quartiles(distribution: str):
    draw, offsets = random.Random(2), table(distribution)
    link = but(CLOUD, distribution=distribution, loss_percent=0)
    right = [15 + 3 * draw.choice(offsets) / SCALE + 0.03 for _ in range(1000)]
    assert verdict(link, right).ok, verdict(link, right).problems
    assert not verdict(but(CLOUD, loss_percent=0), right).ok, "no normal delay looks like this"
    assert not verdict(link, probes(15, 3)).ok


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("seed", range(2))
def test_what_a_right_link_may_draw_is_no_stall(distribution: str, seed: int):
    draw, offsets = random.Random(seed), table(distribution)
    link = but(CLOUD, delay_ms=60, jitter_ms=15, distribution=distribution, loss_percent=0)
    right = [60 + 15 * draw.choice(offsets) / SCALE + 0.03 for _ in range(1000)]
    assert verdict(link, right).probes.stalled == 0
    late = [delay + (80 if number % 20 == 0 else 0) for number, delay in enumerate(right)]
    assert verdict(link, late).probes.stalled


@pytest.mark.parametrize(("duplicated", "ok"), [(47, True), (0, False), (120, False)])
def test_frames_that_come_twice_are_as_many_as_asked(duplicated: int, ok: bool):
    entry = verdict(but(EDGE, duplicate_percent=5), probes(1.25, 0.25), forward_duplicated=duplicated)
    assert entry.ok is ok
    assert ok or f"{duplicated} of 1000 probes arrived twice" in entry.problems[0]


def test_damaged_probes_count_as_lost_and_are_expected_to_be():
    link = but(EDGE, corrupt_percent=10, loss_percent=0)
    assert verdict(link, probes(1.25, 0.25, 910), sent=1000).ok
    assert not verdict(link, probes(1.25, 0.25, 1000), sent=1000).ok
    bursts = but(link, gilbert_elliott={"enter_percent": 1, "leave_percent": 20})
    assert verdict(bursts, probes(1.25, 0.25, 870), sent=1000).ok
    assert not verdict(bursts, probes(1.25, 0.25, 1000), sent=1000).ok


@pytest.mark.parametrize(
    ("after", "words"),
    [
        ({"out": 1100, "late": 20, "overrun": 0}, []),
        (
            {"out": 1100, "late": 100, "overrun": 0},
            ["delayed 100 of 1000 frames by more than 0.1 ms beyond their time"],
        ),
        ({"out": 1100, "late": 0, "overrun": 3}, ["had no room for 3 frames"]),
        ({"out": 100, "late": 0, "overrun": 0}, []),
    ],
)
def test_an_emulator_that_starved_while_it_was_measured_says_so(after: dict[str, int], words: list[str]):
    reasons = gate.starved({"out": 100, "late": 0, "overrun": 0}, after)
    assert len(reasons) == len(words)
    assert all(word in one for word, one in zip(words, reasons, strict=True))
    entry = verdict(EDGE, probes(1.25, 0.25), starved=reasons)
    assert (entry.ok, entry.disturbed) == (not words, bool(words))


def test_the_round_trip_is_told_where_one_way_is_what_is_judged_too():
    entry = verdict(CLOUD, probes(15, 3))
    delays = delays_of(entry)
    assert delays.round_trip.mean_ms == pytest.approx(2 * delays_of(entry).delay.mean_ms)
    assert delays_of(entry).round_trip.mean_low_ms == pytest.approx(2 * delays_of(entry).delay.mean_low_ms)
    assert delays_of(entry).round_trip.mean_high_ms == pytest.approx(2 * delays_of(entry).delay.mean_high_ms)
    sentence = f", round trip {2 * delays.delay.mean_ms:.3f} ± {2 * delays.delay.sigma_ms:.3f} ms, lost 0 of 1000"
    assert sentence in str(entry)


def test_a_dead_link_is_off_and_its_entry_has_every_key_of_a_living_ones():
    living, dead = verdict(EDGE, probes(1.25, 0.25)), verdict(EDGE, [], sent=1000)
    assert not dead.ok
    assert dead.problems[-1] == "only 0 of 1000 probes were answered"
    assert dead.entry().keys() == living.entry().keys()
    assert "OFF" in str(dead)


def test_a_verdict_carries_the_links_own_sentence_whatever_the_link_has():
    everything = but(
        EDGE, distribution="pareto", loss_percent=1, loss_correlation_percent=20, duplicate_percent=5, corrupt_percent=1,
        rate_mbit=100, limit_packets=500, reorder=False, seed=3,
    )  # fmt: skip
    for seen in (verdict(everything, probes(1.25, 0.25)), verdict(everything, [], sent=1000)):
        assert str(seen).startswith(f"{everything}: ")
        entry = json.loads(json.dumps(seen.entry()))
        assert f"bs -> edge-1: {entry['link'].pop('shape')}" == str(everything)
        assert Link.from_mapping(entry["link"]) == everything
        assert entry["sentence"] == str(seen)


@settings(max_examples=50)
@given(st.lists(st.floats(0, 1e4), min_size=4, max_size=300))
def test_the_histogram_counts_every_delay_once(delays_ms: list[float]):
    shown = estimates.histogram(delays_ms, [*delays_ms, *delays_ms])
    assert sum(shown.counts) == len(delays_ms)
    assert shown.target == shown.counts
    assert len(shown.edges_ms) == len(shown.counts) + 1
    assert shown.edges_ms == sorted(shown.edges_ms)


def there_and_back(delays_ms: Sequence[float], **machine: Any) -> Measurement:
    """Round trips between nodes whose clocks differ."""
    round_trip_ns = tuple(int(one * 1e6) for one in delays_ms)
    return measured([1.0] * len(delays_ms), round_trip_ns=round_trip_ns, shared_clock=False, **machine)


def between_emulated_machines(
    seed: int, delay_ms: float, jitter_ms: float, *, wavers_ms: float, slow_ms: float = 0
) -> Measurement:
    """Round trips between emulated CPUs: 1.2 ms alone, spread by 0.25 ms, wavering every half second; timers 0.3 ms late.

    The control is as slow as the link is, at any time.
    """
    draw = random.Random(seed)
    steps = [slow_ms + draw.gauss(0, wavers_ms) for _ in range(17)]
    alone, shaped = ([1.2 + steps[at // 30] + draw.gauss(0, 0.25) for at in range(500)] for _ in range(2))
    shaped = [path_ms + draw.gauss(delay_ms, jitter_ms) for path_ms in shaped]
    late_ns = tuple(int(1e6 * (0.3 + abs(draw.gauss(0, 0.1)))) for _ in range(200))
    return there_and_back(shaped, control=there_and_back(alone).probes, late_ns=late_ns)


@pytest.mark.parametrize(("wavers_ms", "slow_ms"), [(0.05, 0), (0.15, 0), (0.05, 0.8)])
def test_between_coarse_machines_right_links_pass_wrong_ones_fail_and_the_verdict_says_how_much_wider(
    wavers_ms: float, slow_ms: float
):
    link, refused = but(EDGE, loss_percent=0), 0
    back = but(link, source="edge-1", target="bs")
    clear = between_emulated_machines(7, 0, 0, wavers_ms=wavers_ms).probes  # when the machine was not as slow
    for seed in range(60):
        late_ms = 2 * random.Random(seed).uniform(0, 0.35)
        right, doubled, without = (
            between_emulated_machines(
                seed + 1000 * links, 1.25 * links + late_ms, 0.25 * links**0.5, wavers_ms=wavers_ms, slow_ms=slow_ms
            )
            for links in (2, 3, 1)
        )
        entry = gate.judge(link, back, right, clear)
        refused += not entry.ok
        assert not gate.judge(link, back, doubled, clear).ok
        assert not gate.judge(link, back, without, clear).ok
    assert refused <= 2
    assert delays_of(entry).gate.late_ms > 0.5
    sentence = f"gate wider for this machine: timers + {delays_of(entry).gate.late_ms:.3f}, path ± {delays_of(entry).gate.median_ms:.3f}"
    assert sentence in str(entry)


def test_a_path_that_wavers_too_much_to_tell_anything_fails_by_that_name():
    link = but(EDGE, loss_percent=0)
    entry = gate.judge(link, link, between_emulated_machines(2, 2.5, 0.25, wavers_ms=4), None)
    assert any("so 1.25 ms cannot be resolved here" in problem for problem in entry.problems)
    assert entry.disturbed


def test_a_path_whose_own_jitter_would_hide_a_lost_one_fails_by_that_name():
    link, draw = but(EDGE, loss_percent=0), random.Random(1)
    # The path's jitter is another one in each half second: 0.1 to 0.7 ms.
    sigmas = [draw.uniform(0.1, 0.7) for _ in range(17)]
    alone, lost = ([1.2 + draw.gauss(0, sigmas[at // 30]) for at in range(500)] for _ in range(2))
    seen = there_and_back([2.5 + one for one in lost], control=there_and_back(alone).probes)
    entry = gate.judge(link, link, seen, None)
    assert not entry.ok
    assert entry.disturbed
    assert any(problem.endswith("so the link's 0.25 ms cannot be resolved here") for problem in entry.problems)


def test_the_path_alone_is_what_it_is_at_the_same_time_not_what_it_was_before():
    control = probed(probes(0.4, 0, seed=3))
    busy = measured(probes(1.65, 0.25), control=control, starved=())
    entry = gate.judge(EDGE, None, busy, BASELINE)
    assert entry.ok, entry.problems
    assert level(entry.path.control).median_ms == pytest.approx(0.44, abs=0.01)
    assert level(entry.path.baseline).median_ms == pytest.approx(0.04, abs=0.01)
    assert not gate.judge(EDGE, None, measured(probes(1.65, 0.25), starved=()), BASELINE).ok


def test_a_path_that_is_a_part_of_the_delay_is_not_expected_on_top_of_it():
    control = probed(probes(0.2, 0, seed=3))
    whole = measured(probes(1.22, 0.25), control=control, starved=())
    entry = gate.judge(EDGE, None, whole, BASELINE, 0.23)
    assert entry.ok, entry.problems
    assert delays_of(entry).expected.median_ms == pytest.approx(1.25, abs=0.001)
    assert entry.path.compensated_ms == 0.23
    assert re.search(r"measured 1\.2\d+ ± 0\.2\d+ ms \(path alone 0\.2\d+, compensated\)", str(entry))
    assert not gate.judge(EDGE, None, whole, BASELINE).ok, "else it would be missing"


def test_probes_that_were_overtaken_are_a_share_with_its_interval():
    entry = verdict(EDGE, probes(1.25, 0.25), forward_reordered=40)
    theirs = stats.binomtest(40, 1000).proportion_ci(0.95, method="exact")
    assert entry.reordered.percent == 4
    interval = entry.reordered.low_percent, entry.reordered.high_percent
    assert interval == pytest.approx((100 * theirs.low, 100 * theirs.high))
    assert ", reordered 4 % (2.9-5.4)" in str(entry)


@pytest.mark.parametrize("distribution", ["normal", "pareto", "uniform"])
def test_the_pictures_target_is_the_distribution_of_right_delays(distribution: str):
    link = but(CLOUD, distribution=distribution)
    source, offsets = random.Random(5), table(distribution)
    right = [0.03 + 15 + 3 * source.choice(offsets) / SCALE for _ in range(4000)]
    assert stats.ks_2samp(right, gate.drawn([link], 0.03, 0.001, 2)).pvalue > 0.001
    assert stats.ks_2samp(right, gate.drawn([link], 1, 0.001, 2)).pvalue < 1e-6
    both = gate.drawn([link, CLOUD], 0.03, 0.001, 2)
    assert float(np.mean(both)) == pytest.approx(30.03, abs=0.2)


def test_the_pictures_target_of_a_link_that_keeps_order_is_what_order_costs():
    ordered = but(CLOUD, reorder=False)
    drawn = gate.drawn([ordered], 0, 0, 2)
    expected = ordered.delay.expectation(1000, 2)
    assert float(np.median(drawn)) == pytest.approx(expected.median_ms, abs=2 * expected.median_half_ms)


@pytest.mark.parametrize(
    ("mbit", "formula_mbit", "stream_s", "words"),
    [
        (0.0, 9.6, 2, "TCP carried 0 Mbit/s, at least 0.096 expected"),
        (0.0, None, 2, "TCP carried 0 Mbit/s, at least 0.1 expected"),
        (0.2, 9.6, 2, None),
        (0.0, 9.6, 0.5, None),  # too short for so many round trips
    ],
)
def test_tcp_that_carries_next_to_nothing_over_a_link_that_probes_pass_is_off(
    mbit: float, formula_mbit: float | None, stream_s: float, words: str | None
):
    passed = measured(probes(15, 3))
    judged = gate.judge(
        but(CLOUD, loss_percent=0), None, passed, BASELINE, tcp=Tcp(mbit, formula_mbit), stream_s=stream_s
    )
    assert judged.problems == ((words,) if words else ())
    assert ("give the data interfaces and what is between them one MTU" in (judged.advice or "")) == bool(words)


def test_each_verdict_has_its_own_advice():
    assert verdict(EDGE, probes(1.25, 0.25)).advice is None
    dead = gate.judge(EDGE, None, measured([], 1000), BASELINE)
    assert "no probe of bs reached edge-1: see make preflight" in (dead.advice or "")
    starving = verdict(EDGE, probes(1.25, 0.25), starved=("its emulator had no room for 3 frames",))
    assert "bs got too little CPU time" in (starving.advice or "")
    assert "something else delays or drops packets" in (verdict(EDGE, probes(5, 0.25)).advice or "")

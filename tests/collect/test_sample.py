"""Two scenarios are compared as they were measured: in pairs, in rounds of blocks, or as independent samples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from collect.analysis import sample
from collect.analysis.quality import TEST_ACCURACY
from collect.analysis.repetitions import Repetition
from collect.analysis.sample import Sample

RANDOM = np.random.default_rng(11)
SPLITS = RANDOM.normal(0, 0.3, 20)
OURS = tuple(np.exp(SPLITS + RANDOM.normal(-0.5, 0.05, 20)).tolist())
THEIRS = tuple(np.exp(SPLITS + RANDOM.normal(0, 0.05, 20)).tolist())
PAIRS = Sample(OURS, THEIRS, tuple(range(20)))
BLOCKS = Sample(OURS, THEIRS, tuple(number // 5 for number in range(20)))
INDEPENDENT = Sample(OURS, THEIRS, None)


def repetition(scenario: str, number: int, block: int, response_s: float, accuracy: float | None = 0.9) -> Repetition:
    qualities = () if accuracy is None else ((TEST_ACCURACY, accuracy),)
    return Repetition(scenario, "bs", number, block, 1, response_s, qualities, None, (), None, 80, 20)


def test_pairs_that_alternate_are_each_a_round_and_blocks_share_one() -> None:
    ours, theirs = [[repetition(name, n, 2 * n + 1, 1) for n in range(6)] for name in ("edge", "cloud")]
    values = sample.sample(ours, theirs, lambda r: r.response_s, paired=True)
    assert (values.pairs, values.units, values.in_blocks) == (6, 6, False)
    ours, theirs = [[replace(r, block=r.block // 6) for r in side] for side in (ours, theirs)]
    values = sample.sample(ours, theirs, lambda r: r.response_s, paired=True)
    assert (values.pairs, values.units, values.in_blocks) == (6, 2, True)


def test_a_pair_of_which_one_lacks_the_metric_is_left_out() -> None:
    ours = [repetition("edge", n, 2 * n, 1, accuracy=None if n == 2 else 0.9) for n in range(6)]
    theirs = [repetition("cloud", n, 2 * n + 1, 2, accuracy=0.8) for n in range(6)]
    values = sample.sample(ours, theirs, lambda r: r.quality(TEST_ACCURACY), paired=True)
    assert values == Sample((0.9,) * 5, (0.8,) * 5, (0, 1, 2, 3, 4))
    apart = sample.sample(ours, theirs, lambda r: r.quality(TEST_ACCURACY), paired=False)
    assert apart == Sample((0.9,) * 5, (0.8,) * 6, None)


def test_the_pairing_makes_the_interval_of_the_ratio_narrower() -> None:
    pairs, apart = sample.ratio(PAIRS), sample.ratio(INDEPENDENT)
    assert pairs.low is not None
    assert pairs.high is not None
    assert apart.low is not None
    assert apart.high is not None
    assert pairs.low <= np.exp(-0.5) <= pairs.high
    assert np.log(pairs.high / pairs.low) < np.log(apart.high / apart.low) / 3
    assert (pairs.pairs, pairs.method) == (20, "Hodges-Lehmann, signed ranks, 20 pairs")
    assert (apart.pairs, apart.method) == (0, "Hodges-Lehmann, rank sums, samples independent")


def test_a_ratio_turns_round_with_its_scenarios() -> None:
    ratio, inverse = sample.ratio(PAIRS), sample.ratio(Sample(THEIRS, OURS, PAIRS.rounds))
    assert ratio.value is not None
    assert inverse.value == pytest.approx(1 / ratio.value)
    assert ratio.low is not None
    assert inverse.high == pytest.approx(1 / ratio.low)


def test_in_blocks_only_the_rounds_count() -> None:
    result = sample.ratio(BLOCKS)
    means = np.log(np.asarray(OURS) / np.asarray(THEIRS)).reshape(4, 5).mean(axis=1)
    expected = stats.ttest_1samp(means, 0).confidence_interval(0.95)
    assert [result.low, result.high] == pytest.approx([float(np.exp(end)) for end in (expected.low, expected.high)])
    assert result.method == "mean, Student, 4 rounds of blocks"


def test_two_rounds_of_blocks_have_no_interval() -> None:
    result = sample.ratio(Sample(OURS[:10], THEIRS[:10], BLOCKS.rounds[:10] if BLOCKS.rounds else None))
    assert result.value is not None
    assert result.low is None
    assert result.no_interval_because == "2 rounds of blocks, at least 3 required"


@pytest.mark.parametrize("values", [PAIRS, BLOCKS, INDEPENDENT])
def test_below_six_repetitions_nothing_has_an_interval(values: Sample) -> None:
    few = Sample(values.subject[:5], values.reference[:5], values.rounds[:5] if values.rounds else None)
    for estimate in (sample.ratio, sample.difference, sample.spread_ratio, sample.share_at_least):
        result = estimate(few)
        assert result.value is not None
        assert (result.low, result.high) == (None, None)
        assert result.no_interval_because == "5 repetitions, at least 6 required"


@pytest.mark.parametrize("n", [6, 7, 10])
def test_the_ratio_of_spreads_has_an_interval_from_six_repetitions_on(n: int) -> None:
    for seed in range(50):
        ours, theirs = (tuple(side.tolist()) for side in np.random.default_rng(seed).lognormal(0, 0.2, (2, n)))
        assert sample.spread_ratio(Sample(ours, theirs, tuple(range(n)))).low is not None


def test_a_reference_without_spread_has_no_ratio_of_spreads() -> None:
    result = sample.spread_ratio(Sample(OURS, (1.0,) * 20, PAIRS.rounds))
    assert (result.value, result.no_interval_because) == (None, "all values of the reference are the same")


def test_a_spread_that_hangs_on_one_repetition_has_no_interval() -> None:
    result = sample.spread_ratio(Sample((*(1.0,) * 19, 2.0), THEIRS, PAIRS.rounds))
    assert result.value is not None
    assert result.no_interval_because == "without one of the repetitions all values are the same"


def test_a_time_of_zero_has_no_ratio() -> None:
    result = sample.ratio(Sample((0.0, *OURS[1:]), THEIRS, PAIRS.rounds))
    assert (result.value, result.no_interval_because) == (None, "a value is zero")


def test_the_probability_of_as_long_or_longer_counts_pairs_or_combinations() -> None:
    ours, theirs = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0), (6.0, 5.0, 3.0, 2.0, 1.0, 0.5)
    pairs = sample.share_at_least(Sample(ours, theirs, tuple(range(6))))
    assert (pairs.value, pairs.method) == (4 / 6, "exact binomial, 6 pairs")
    apart = sample.share_at_least(Sample(ours, theirs, None))
    expected = stats.mannwhitneyu(ours, theirs).statistic + sum(a == b for a in ours for b in theirs) / 2
    assert apart.value == pytest.approx(expected / 36)


def test_in_blocks_a_round_counts_as_one_pair_in_the_interval_of_the_probability() -> None:
    blocks = sample.share_at_least(BLOCKS)
    expected = stats.binomtest(0, 4).proportion_ci(0.95, method="exact")
    assert [blocks.value, blocks.low, blocks.high] == pytest.approx([0, 0, expected.high])

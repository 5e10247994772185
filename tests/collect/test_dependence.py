"""Whether repetitions depend on each other, against scipy and worked examples, and how a run is warned of it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from collect.analysis import wording
from collect.analysis.dependence import dependence

# Shrout and Fleiss (1979), table 2: six targets, each rated by four judges; ICC(1) is 0.17.
RATINGS = [(9, 2, 5, 8), (6, 1, 3, 2), (8, 4, 6, 8), (7, 1, 2, 6), (10, 5, 6, 9), (6, 2, 4, 7)]


def test_the_correlation_within_blocks_is_the_published_one_of_shrout_and_fleiss() -> None:
    seen = dependence([float(v) for row in RATINGS for v in row], [place for place in range(6) for _ in range(4)])
    assert seen.icc == pytest.approx(0.166, abs=5e-4)
    assert seen.blocks == 6
    assert seen.blocks_p == pytest.approx(stats.kruskal(*RATINGS).pvalue)


def test_blocks_as_seen_on_a_real_run_make_the_interval_about_twice_too_narrow() -> None:
    noise = np.random.default_rng(3).normal(0, 0.15, 20)
    values = np.repeat([2.69, 3.61, 2.80, 3.01], 5) + noise
    seen = dependence(values.tolist(), np.repeat(range(4), 5).tolist())
    assert seen.icc is not None
    assert 0.7 < seen.icc < 1
    assert seen.too_narrow == pytest.approx(np.sqrt(1 + 4 * seen.icc), rel=0.3)
    sentence = wording.dependence("The response times of edge", seen, "the interval of their median")
    assert sentence.startswith(
        "The response times of edge depend on when they were measured (correlation within blocks"
    )
    assert "the interval of their median is too narrow, by a factor of about 2" in sentence


def test_a_drift_is_seen_where_every_repetition_is_a_block() -> None:
    values = np.linspace(1, 2, 20) + np.random.default_rng(4).normal(0, 0.05, 20)
    seen = dependence(values.tolist(), list(range(20)))
    assert (seen.icc, seen.blocks_p) == (None, None)
    assert seen.lag_1 is not None
    assert seen.lag_1 > 0.7
    assert seen.too_narrow == pytest.approx(np.sqrt((1 + seen.lag_1) / (1 - seen.lag_1)))


def test_of_a_hundred_sound_runs_few_are_warned_of() -> None:
    random = np.random.default_rng(5)
    blocks = np.repeat(range(4), 5).tolist()
    warned = sum(dependence(random.lognormal(0, 0.2, 20).tolist(), blocks).too_narrow > 1 for _ in range(500))
    assert warned <= 20


@pytest.mark.parametrize("values", [[1.0], [1.0] * 20, [1.0, 2.0, 3.0]])
def test_too_few_or_equal_values_show_nothing(values: list[float]) -> None:
    seen = dependence(values, list(range(len(values))))
    assert (seen.lag_1, seen.lag_1_p, seen.too_narrow) == (None, None, 1)

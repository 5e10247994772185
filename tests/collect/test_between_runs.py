"""The interval of the ratio over runs holds a further run's, on simulated runs that differ by a known amount."""

from __future__ import annotations

import numpy as np
import pytest

from collect.analysis.between_runs import hierarchical_bootstrap, student

SIMULATED = 1000


@pytest.mark.parametrize("differ", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("runs", [2, 3, 10])
def test_students_interval_holds_the_ratio_however_much_runs_differ(runs: int, differ: float) -> None:
    random = np.random.default_rng(1)
    values = differ * random.standard_normal((SIMULATED, runs, 1)) + random.standard_normal((SIMULATED, runs, 20))
    _, low, high = student(values.mean(axis=-1))
    # Twice the standard error of 95 % from so many is 1.4 %.
    assert np.mean((low <= 0) & (high >= 0)) == pytest.approx(0.95, abs=0.02)


def held(random: np.random.Generator, runs: int, differ: float) -> float:
    """How often the bootstrap's interval holds the truth."""
    count = 0
    for _ in range(200):
        drawn = differ * random.standard_normal((runs, 1)) + random.standard_normal((runs, 20))
        low, high = hierarchical_bootstrap(list(drawn), in_rounds=[True] * runs, resamples=999)
        count += low <= 0 <= high
    return count / 200


def test_the_bootstrap_holds_it_where_runs_are_alike_or_many_and_is_too_narrow_where_few_differ() -> None:
    random = np.random.default_rng(2)
    assert held(random, 3, 0.0) > 0.94
    assert held(random, 20, 0.5) > 0.91
    assert held(random, 2, 1.0) < 0.85


def test_the_same_seed_gives_the_same_interval_and_another_one_nearly_the_same() -> None:
    runs = [np.random.default_rng(number).normal(-0.3, 0.2, 20) for number in range(4)]
    first = hierarchical_bootstrap(runs, in_rounds=[False] * 4)
    assert first == hierarchical_bootstrap(runs, in_rounds=[False] * 4)
    other = hierarchical_bootstrap(runs, in_rounds=[False] * 4, seed=7)
    assert other != first
    assert other == pytest.approx(first, abs=0.02)


def test_of_long_runs_the_estimates_are_drawn_as_wide_as_those_that_are_resampled() -> None:
    random = np.random.default_rng(3)
    # The same values twice over: half of the variance.
    short = [of_run - np.median(of_run) for of_run in random.normal(0, 1, (2, 110))]
    long = [np.concatenate([of_run, of_run]) for of_run in short]
    narrow = np.subtract(*hierarchical_bootstrap(long, in_rounds=[False] * 2)[::-1])
    wide = np.subtract(*hierarchical_bootstrap(short, in_rounds=[False] * 2)[::-1])
    assert wide / narrow == pytest.approx(np.sqrt(2), rel=0.15)

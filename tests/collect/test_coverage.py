"""The intervals of the report hold what they promise on simulated runs; ``benchmarks.coverage`` has the whole table."""

from __future__ import annotations

import pytest

from benchmarks.coverage import CLAIM, MEASURES, SAME, Condition

RUNS = 2000
# Twice the standard error of 95 % from so many runs is 1 %.
LEAST, MOST = 94.0, 96.0


@pytest.mark.parametrize("time", [0, 0.85])
@pytest.mark.parametrize("distribution", ["lognormal", "bimodal", "heavy-tailed"])
def test_a_scenario_measured_in_turn_with_itself_is_found_to_differ_in_5_of_100_runs(
    distribution: str, time: float
) -> None:
    assert LEAST <= SAME.held(Condition(distribution, 0.5, time), 20, RUNS) <= MOST


def test_with_six_repetitions_only_97_percent_can_be_had() -> None:
    assert SAME.held(Condition("lognormal", 0.5, 0.5), 6, RUNS) == pytest.approx(100 * (1 - 2 / 64), abs=1)


@pytest.mark.parametrize("time", [0, 0.5, 0.85])
def test_however_alike_the_repetitions_of_a_block_are_its_run_finds_no_more(time: float) -> None:
    assert SAME.held(Condition("lognormal", 0, time, in_blocks=True), 20, RUNS) >= LEAST


def test_a_spread_1_9_times_as_large_is_rarely_called_at_least_twice() -> None:
    assert CLAIM.above(Condition("lognormal", 0.5, 0), 20, RUNS) <= 5


def test_the_ratio_of_spreads_holds_a_true_ratio_of_about_two() -> None:
    twice = next(measure for measure in MEASURES if measure.name == "ratio of IQRs, twice the log spread")
    assert LEAST <= twice.held(Condition("lognormal", 0.5, 0), 20, RUNS) <= 97

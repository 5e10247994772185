"""Whether the first repetitions are like the rest: what chance makes of it, what is found, and what a run says."""

from __future__ import annotations

import json
from itertools import permutations
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from generated_run import MS, RUN, all_records, write_run
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from collect.__main__ import main
from collect.analysis import beginning, steady
from collect.analysis.repetitions import gather
from collect.analysis.steady import FEWEST, steadiness
from collect.analysis.summary import analyse
from collect.records import ModelRecord, RequestRecord

if TYPE_CHECKING:
    from pathlib import Path

    from collect.records import Record

SIMULATED = 600
# Of so many cases at 1 % more than this is not chance (three standard errors).
MOST = 0.022


@pytest.mark.parametrize("distribution", ["lognormal", "heavy-tailed", "bimodal", "discrete"])
@pytest.mark.parametrize("n", [12, 20])
def test_independent_repetitions_are_found_unsteady_in_one_of_a_hundred_runs(n: int, distribution: str) -> None:
    random = np.random.default_rng(1)
    shape = (SIMULATED, n)
    drawn = {
        "lognormal": lambda: random.lognormal(0, 0.2, shape),
        "heavy-tailed": lambda: np.exp(0.1 * random.standard_t(2, shape)),
        "bimodal": lambda: random.lognormal(0, 0.06, shape) * np.where(random.random(shape) < 0.3, 1.6, 1),
        "discrete": lambda: np.round(random.lognormal(0, 0.2, shape), 1) + 0.1,
    }[distribution]()
    found = [not seen.steady for run in drawn if (seen := steadiness(run.tolist())) is not None]
    assert np.mean(found) <= MOST


def test_a_scenario_compared_with_itself_is_warned_of_in_fewer_than_five_of_a_hundred_runs() -> None:
    """Both scenarios and their ratio are tested, and share a part of each pair, as runs do."""
    random = np.random.default_rng(2)
    warned = 0
    for _ in range(SIMULATED):
        ours, theirs = random.lognormal(0, 0.2, (2, 20)) * random.lognormal(0, 0.2, 20)
        seen = [steadiness(values.tolist()) for values in (ours, theirs, ours / theirs)]
        warned += any(one is not None and not one.steady for one in seen)
    assert warned <= 0.05 * SIMULATED


@pytest.mark.parametrize("factor", [2.0, 0.5])
def test_a_beginning_of_five_that_is_twice_as_slow_or_fast_is_found_and_measured(factor: float) -> None:
    random = np.random.default_rng(3)
    firsts = []
    for _ in range(200):
        values = random.lognormal(0, 0.2, 20)
        values[:5] *= factor
        seen = steadiness(values.tolist())
        assert seen is not None
        if not seen.steady:
            assert (seen.median_first > seen.median_rest) is (factor > 1)
            firsts.append(seen.first)
    assert len(firsts) > 195
    assert np.median(firsts) == 5


def test_a_run_that_warms_up_gradually_is_found_in_most_cases() -> None:
    random = np.random.default_rng(4)
    slower = 1 + 0.8 * np.exp(-np.arange(50) / 3)
    seen = [steadiness((random.lognormal(0, 0.2, 50) * slower).tolist()) for _ in range(300)]
    assert sum(one is not None and not one.steady for one in seen) > 0.7 * 300


def test_the_p_value_is_that_of_all_orders() -> None:
    """Of twelve values those of the first three decide: all orders of these are listed."""
    scores = stats.norm.ppf(np.arange(1, 13) / 13)
    variance = (scores**2).sum() / 11

    def statistic(first: tuple[float, ...]) -> float:
        sums = np.cumsum(first)
        count = np.arange(1, 4)
        return float(np.max(np.abs(sums) / np.sqrt(variance * count * (12 - count) / 12)))

    every = np.asarray([statistic(first) for first in permutations(scores.tolist(), 3)])
    values = [9.0, 12.0, 10.0, *map(float, range(1, 9)), 11.0]
    seen = steadiness(values)
    assert seen is not None
    first = tuple(scores[int(value) - 1] for value in values[:3])
    assert seen.p == pytest.approx(np.mean(every >= statistic(first) - 1e-9), abs=0.006)


def test_the_distribution_of_long_runs_continues_that_of_short_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = steady._by_chance.__wrapped__(400)
    monkeypatch.setattr(steady, "DRAWN", 0)
    assert np.quantile(steady._by_chance.__wrapped__(400), 0.99) == pytest.approx(np.quantile(listed, 0.99), rel=0.03)


@settings(max_examples=30)
@given(st.lists(st.integers(1, 10_000), min_size=FEWEST, max_size=40))
def test_only_the_order_of_the_values_matters(values: list[int]) -> None:
    one, other = steadiness([float(value) for value in values]), steadiness([7.0 * value + 3 for value in values])
    assert (one is None) == (len(set(values)) == 1)
    if one is not None and other is not None:
        assert (one.first, one.p) == (other.first, other.p)
        assert 0 < one.p <= 1
        assert 1 <= one.first <= len(values) // 4


def test_equal_values_are_not_taken_for_different_ones() -> None:
    """Two of twenty differ and come first: 1 of 190 orders."""
    seen = steadiness([2.0] * 2 + [1.0] * 18)
    assert seen is not None
    assert seen.first == 2
    assert seen.p == pytest.approx(1 / 190, abs=0.003)


def test_of_few_or_equal_repetitions_nothing_is_said() -> None:
    assert steadiness([5.0] * 3 + [1.0] * (FEWEST - 4)) is None
    assert steadiness([1.0] * 20) is None
    least = steadiness([30.0, 29.0, 28.0, *map(float, range(FEWEST - 3))])
    assert least is not None
    assert not least.steady


def slowed(lines: list[Record], scenario: str, first: int, factor: float) -> list[Record]:
    """Return records in which the first repetitions of a scenario took so many times as long."""
    changed: list[Record] = []
    for one in lines:
        if one.scenario != scenario or not 1 <= one.repetition <= first:
            changed.append(one)
        elif isinstance(one, RequestRecord):
            sent = 10_000 * MS * one.repetition
            times = {
                name: sent + int((getattr(one, name) - sent) * factor)
                for name in ("sent_ns", "connected_ns", "uploaded_ns", "first_byte_ns", "last_byte_ns")
            }
            changed.append(msgspec.structs.replace(one, **times))
        elif isinstance(one, ModelRecord):
            of_end = [r.last_byte_ns or 0 for r in changed if isinstance(r, RequestRecord)][-(one.requests or 0) :]
            spent = (max(of_end) - 10_000 * MS * one.repetition) / MS
            changed.append(msgspec.structs.replace(one, response_time_ms=spent))
    return changed


def test_a_run_whose_first_repetitions_are_slower_says_so_and_drops_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_run(tmp_path, slowed(all_records(), "cloud", 4, 2.5))
    assert main(["analyse", RUN, "--results", str(tmp_path)]) == 0
    output = capsys.readouterr().out
    assert (
        "warning: The first 4 repetitions of cloud were slower than the rest (median 6.10 s against 2.23 s, p = "
        in output
    )
    assert "raise warmups in the scenario file by 4 or more." in output
    assert "warning: In the first 4 pairs the ratio of edge to cloud was 0.1" in output
    assert "Without the first 4 pairs the typical ratio of edge to cloud is 0.3" in output
    summary = json.loads((folder / "analysis" / "summary.json").read_text())
    (comparison,) = summary["comparisons"]
    assert comparison["response_pair_ratio"]["pairs"] == 20
    assert comparison["without_first"]["pairs"] == 16
    assert comparison["without_first"]["value"] > comparison["response_pair_ratio"]["value"]
    assert [scenario["steadiness"]["first"] for scenario in summary["scenarios"]][1] == 4


def test_a_beginning_that_both_scenarios_share_leaves_the_ratio_as_it_was() -> None:
    lines = all_records()
    for scenario in ("edge", "cloud"):
        lines = slowed(lines, scenario, 5, 3)
    analysis = analyse(RUN, gather(lines))
    (comparison,) = analysis.comparisons
    assert comparison.steadiness is not None
    assert comparison.steadiness.steady
    assert comparison.without_first is not None
    assert comparison.without_first.pairs == 15
    unsteady = [warning for warning in analysis.warnings if "not in a steady state" in warning]
    assert len(unsteady) == 2
    assert analysis.warnings[-1].startswith("Without the first 5 pairs the typical ratio of edge to cloud is 0.")


def test_a_sound_run_is_not_warned_of() -> None:
    analysis = analyse(RUN, gather(all_records()))
    assert analysis.warnings == ()
    assert analysis.comparisons[0].without_first is None


def test_blocks_and_several_base_stations_are_not_tested() -> None:
    lines = slowed(all_records(), "cloud", 4, 2.5)
    in_blocks = [msgspec.structs.replace(one, block=one.repetition // 5) for one in lines]
    assert all(scenario.steadiness is None for scenario in analyse(RUN, gather(in_blocks)).scenarios)
    two = [msgspec.structs.replace(one, base_station=f"bs-{one.repetition % 2}") for one in lines]
    assert all(scenario.steadiness is None for scenario in analyse(RUN, gather(two)).scenarios)
    assert beginning.steadiness([]) is None


def test_the_order_is_that_of_time_not_of_numbers() -> None:
    lines = slowed(all_records(), "cloud", 4, 2.5)
    # Repetitions 1 to 4 were measured last.
    later = [
        msgspec.structs.replace(one, started_at="2026-11-24T05:00:00+00:00")
        if isinstance(one, RequestRecord) and 1 <= one.repetition <= 4
        else one
        for one in lines
    ]
    seen = analyse(RUN, gather(later)).scenarios[1].steadiness
    assert seen is not None
    assert seen.steady
    assert any(isinstance(one, ModelRecord) for one in later)

"""Which records become data points, and which are listed as failures."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from generated_run import MS, all_records, model, repetition, request
from hypothesis import given
from hypothesis import strategies as st

from collect.analysis import repetitions
from collect.analysis.repetitions import gather


def test_a_run_of_two_scenarios_has_twenty_data_points_each_and_no_warm_up_among_them() -> None:
    measurements = gather(all_records())
    assert {name: len(of_scenario) for name, of_scenario in measurements.scenarios.items()} == {"edge": 20, "cloud": 20}
    assert measurements.warmups == 2
    assert measurements.failures == ()


@given(st.randoms(use_true_random=False))
def test_the_order_of_the_lines_does_not_matter(random: Random) -> None:
    shuffled = all_records(repetitions=4)
    random.shuffle(shuffled)
    assert gather(shuffled) == gather(all_records(repetitions=4))


def test_the_newest_attempt_counts_and_the_failed_one_is_listed_as_measured_again() -> None:
    measurements = gather(
        [
            request(error="timed out", status=None, last_byte_ns=None),
            model(error="a request failed", response_time_ms=None),
            request(attempt=2),
            model(attempt=2),
        ]
    )
    (counted,) = measurements.scenarios["edge"]
    assert (counted.attempt, counted.response_s) == (2, 0.5)
    (failure,) = measurements.failures
    assert failure.measured_again
    assert failure.error == "a request failed; request 0: timed out"


def test_a_newer_failure_takes_the_place_of_an_older_success() -> None:
    measurements = gather([request(), model(), request(attempt=2), model(attempt=2, error="no reply")])
    assert measurements.scenarios["edge"] == ()
    (failure,) = measurements.failures
    assert not failure.measured_again


def test_a_repetition_without_its_model_line_was_interrupted_and_is_no_data_point() -> None:
    measurements = gather([request()])
    assert measurements.scenarios["edge"] == ()
    assert "interrupted" in measurements.failures[0].error


def test_a_repetition_with_neither_time_nor_error_is_no_data_point() -> None:
    measurements = gather([request(), model(response_time_ms=None)])
    assert measurements.scenarios["edge"] == ()
    assert "neither" in measurements.failures[0].error


def test_a_failed_warm_up_is_listed_and_not_counted_as_a_warm_up() -> None:
    measurements = gather([model(warmup=True, repetition=0, error="no reply")])
    assert measurements.warmups == 0
    assert measurements.failures[0].warmup


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_line_that_is_there_twice_costs_its_repetition_and_no_other(place: int) -> None:
    drawn = [r for r in all_records(("edge",), repetitions=3) if not r.warmup]
    measurements = gather([*drawn, drawn[place]])
    assert [one.repetition for one in measurements.scenarios["edge"]] == [2, 3]
    assert "on record twice" in measurements.failures[0].error


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"last_byte_ns": 1440 * MS}, "request 0: last_byte_ns 1440000000 before first_byte_ns 1450000000"),
        ({"sent_ns": -1}, "request 0: a negative time"),
        ({"last_byte_ns": 1600 * MS}, "recorded as 500.000 ms, its requests took 600.000 ms"),
        ({"accuracy_validation": 7.0}, "validation accuracy 7: expected 0 to 1"),
        ({"accuracy_function": -0.1}, "accuracy of the function -0.1: expected 0 to 1"),
        ({"phases_ms": {"fit": -3.0}}, "phase fit took -3.000 ms"),
        ({"status": 503}, "status 503 without an error"),
        ({"last_byte_ns": None}, "neither all its times nor an error"),
        ({"request": 1}, "requests 1 are on record, expected are 1"),
        ({"block": 9}, "different blocks"),
    ],
)
def test_a_repetition_whose_requests_cannot_be_true_is_no_data_point(changes: dict[str, Any], message: str) -> None:
    measurements = gather([request(**changes), model()])
    assert measurements.scenarios["edge"] == ()
    assert message in measurements.failures[0].error


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"response_time_ms": -1.0}, "recorded as -1.000 ms"),
        ({"accuracy_test": 1.01}, "test accuracy 1.01: expected 0 to 1"),
        ({"requests": 2}, "requests 0 are on record, expected are 2"),
        ({"chosen_request": 1}, "it chose request 1 of 1"),
        ({"fit_ms": -1.0}, "the fit took -1.000 ms"),
    ],
)
def test_a_repetition_whose_end_cannot_be_true_is_no_data_point(changes: dict[str, Any], message: str) -> None:
    measurements = gather([request(), model(**changes)])
    assert measurements.scenarios["edge"] == ()
    assert message in measurements.failures[0].error


def test_where_half_of_a_scenario_failed_only_whole_pairs_count() -> None:
    kept = [r for r in all_records(repetitions=8) if r.scenario == "edge" or r.warmup or r.repetition > 4]
    measurements = gather(kept)
    assert {name: [r.repetition for r in of] for name, of in measurements.scenarios.items()} == {
        "edge": [5, 6, 7, 8],
        "cloud": [5, 6, 7, 8],
    }
    assert [(r.scenario, r.repetition) for r in measurements.unpaired] == [("edge", n) for n in (1, 2, 3, 4)]


def test_two_base_stations_are_two_data_points_of_one_repetition() -> None:
    random = Random(1)
    both = [
        record
        for station in ("bs-1", "bs-2")
        for record in repetition("edge", 1, random, accuracy=0.9, base_station=station)
    ]
    assert [measured.pair for measured in gather(both).scenarios["edge"]] == [("bs-1", 1), ("bs-2", 1)]


def test_pairs_are_those_that_both_scenarios_have() -> None:
    measurements = gather(
        [r for r in all_records(repetitions=5) if (r.scenario, r.repetition) not in {("edge", 2), ("cloud", 4)}]
    )
    ours, theirs = repetitions.paired(measurements.scenarios["edge"], measurements.scenarios["cloud"])
    assert [one.repetition for one in ours] == [one.repetition for one in theirs] == [1, 3, 5]


def test_the_papers_scenarios_come_first() -> None:
    assert repetitions.ordered(["zebra", "cloud", "bbr", "edge"]) == ["edge", "cloud", "bbr", "zebra"]

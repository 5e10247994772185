"""What several base stations measured at one time is one data point, and each one's part stands beside it."""

from __future__ import annotations

import csv
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from generated_run import MS, PLAN, RUN, repetition, write_run
from msgspec.structs import replace

from collect import records
from collect.__main__ import main
from collect.analysis.quality import TEST_ACCURACY
from collect.analysis.repetitions import gather
from collect.analysis.summary import analyse
from collect.records import ModelRecord, NetworkRecord, RequestRecord

if TYPE_CHECKING:
    from pathlib import Path

STATIONS = ("bs-1", "bs-2", "bs-3")


def network(scenario: str, number: int, **changes: Any) -> NetworkRecord:
    values: dict[str, Any] = {
        "run": RUN, "plan": PLAN, "scenario": scenario, "base_station": "bs-1", "block": 1, "repetition": number,
        "attempt": 1, "warmup": False, "attempts": dict.fromkeys(STATIONS, 1), "chosen_base_station": "bs-2",
        "chosen_request": 0, "parameters": {"C": 0.1}, "accuracy_test": 0.95, "fit_ms": 30.0, "training_texts": 7560,
        "test_texts": 630, "error": None,
    }  # fmt: skip
    return NetworkRecord(**{**values, **changes})


def of_all(scenario: str, number: int, random: Random, **changes: Any) -> list[records.Record]:
    """The records of a repetition of three base stations, each of which began 2 ms after the one before."""
    drawn: list[records.Record] = []
    for place, name in enumerate(STATIONS):
        for record in repetition(scenario, number, random, accuracy=0.9 + place / 100, base_station=name):
            if isinstance(record, RequestRecord):
                later = {
                    key: (getattr(record, key) or 0) + 2 * MS * place
                    for key in ("sent_ns", "connected_ns", "uploaded_ns", "first_byte_ns", "last_byte_ns")
                }
                drawn.append(replace(record, clock_error_ms=0.05, **later))
            else:
                drawn.append(record)
    return [*drawn, network(scenario, number, **changes)]


def run_of(repetitions: int, **changes: Any) -> list[records.Record]:
    random = Random(1)
    return [
        record
        for number in range(1, repetitions + 1)
        for scenario in ("edge", "cloud")
        for record in of_all(scenario, number, random, **changes)
    ]


def test_a_repetition_lasts_from_the_first_request_of_any_to_the_last_reply_to_any() -> None:
    (one,) = gather(of_all("edge", 1, Random(1))).scenarios["edge"]
    assert one.base_station == "3 base stations"
    assert [part.base_station for part in one.parts] == list(STATIONS)
    times = [(request.sent_ns or 0, request.last_byte_ns or 0) for request in one.requests]
    assert len(times) == 6
    assert one.response_s == pytest.approx((max(end for _, end in times) - min(start for start, _ in times)) / 1e9)
    assert one.quality(TEST_ACCURACY) == 0.95
    assert [one.is_chosen(request) for request in one.requests] == [False, False, True, False, False, False]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"error": "bs-2: no"}, "bs-2: no"),
        ({"accuracy_test": 1.5}, "its records cannot be true: test accuracy 1.5: expected 0 to 1"),
        ({"chosen_base_station": "bs-9"}, "its records cannot be true: it chose a request of bs-9"),
        ({"chosen_request": 2}, "its records cannot be true: it chose request 2 of 2"),
        ({"attempts": {"bs-1": 1, "bs-2": 1, "bs-4": 1}}, "nothing of bs-4 is on record"),
        ({"attempts": {"bs-2": 1, "bs-3": 1}}, "its records cannot be true: bs-1 is none of its base stations"),
    ],
)
def test_what_cannot_be_true_of_all_is_no_data_point(changes: dict[str, Any], reason: str) -> None:
    measurements = gather(of_all("edge", 1, Random(1), **changes))
    assert measurements.scenarios["edge"] == ()
    assert reason in [failure.error for failure in measurements.failures]


def test_without_what_came_of_all_nothing_of_a_repetition_counts() -> None:
    measurements = gather(of_all("edge", 1, Random(1))[:-1])
    assert measurements.scenarios["edge"] == ()
    (failure,) = measurements.failures
    assert failure.attempts == dict.fromkeys(STATIONS, 1)
    assert "interrupted" in failure.error


def test_a_repetition_that_was_interrupted_twice_is_one_failure() -> None:
    first = of_all("edge", 1, Random(1))[:-1]
    again = [replace(record, attempt=2) for record in first if isinstance(record, RequestRecord | ModelRecord)]
    measurements = gather([*first, *again])
    assert [(one.attempt, one.measured_again) for one in measurements.failures] == [(1, True), (2, False)]
    assert measurements.failed("edge") == 1


def test_the_numbers_are_those_of_repetitions_and_each_base_station_stands_beside_them() -> None:
    analysis = analyse(RUN, gather(run_of(8)))
    edge = next(scenario for scenario in analysis.scenarios if scenario.name == "edge")
    assert edge.repetitions == edge.response_s.n == 8
    assert edge.together is not None
    assert [(one.base_station, one.response_s.n) for one in edge.together.base_stations] == [(n, 8) for n in STATIONS]
    assert [one.qualities[0].summary.median for one in edge.together.base_stations] == [0.9, 0.91, 0.92]
    assert edge.together.start_skew_ms.median == 4
    assert edge.together.clock_error_ms == 0.05
    (comparison,) = analysis.comparisons
    assert comparison.pairs == 8
    assert comparison.claims == ()
    assert "A repetition is what 3 base stations measured at the same time" in analysis.headline


def test_the_report_has_a_table_and_a_picture_of_the_base_stations(tmp_path: Path) -> None:
    folder = write_run(tmp_path, [])
    (folder / "raw" / "samples.jsonl").unlink()
    for name in STATIONS:
        (folder / "raw" / name).mkdir()
        own = [record for record in run_of(8) if record.base_station == name]
        records.append(folder / "raw" / name / "samples.jsonl", own)
    assert main(["report", "--results", str(tmp_path)]) == 0
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "edge by base station" in page
    assert "The last one began 4.00 ms after the first" in page
    assert "from one base station, and here there are several" in page
    assert (folder / "figures" / "base-stations-edge.svg").exists()
    assert main(["export", "--results", str(tmp_path)]) == 0
    with next(folder.rglob("repetitions.csv")).open() as file:
        assert {row["state"] for row in csv.DictReader(file)} == {"data point"}
    with next(folder.rglob("networks.csv")).open() as file:
        assert {row["chosen_base_station"] for row in csv.DictReader(file)} == {"bs-2"}

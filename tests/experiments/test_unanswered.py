"""Requests that fail while events take nodes or links away are results, counted and told; other failures are not."""

from __future__ import annotations

import json
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from driven import TEXTS, counted, drawn, loaded, reported
from loopback import Reply, Request, function

from collect import records
from collect.records import ModelRecord, RequestRecord
from experiments.base_station.driver import Driver

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from experiments.spec import Experiment

COUNT = 10
OPEN = {"arrivals": "constant", "rate_per_s": 50, "count": COUNT, "max_late_ms": 1000}
CLOSED = {"arrivals": "closed", "clients": 1, "count": COUNT}
LEAVES = [{"at_s": 0.1, "nodes": [{"group": "edge", "away": 1}]}]
REFUSED = Reply(b"no replica is left", 503)


def churning(folder: Path, traffic: dict[str, Any] = OPEN, **changes: Any) -> Experiment:
    more = {"requests": {}, "data": {"test_share": 0.2, "training_shares": [0.2]}, "warmups": 0, "repetitions": 1}
    return loaded(folder, **{"traffic": traffic, "events": LEAVES, **more, **changes})


def measured(
    folder: Path, experiment: Experiment, respond: Callable[[int, Request], Reply]
) -> tuple[list[RequestRecord], ModelRecord]:
    """What a driver puts on record whose events no node carries out: the function does what would come of them."""
    (folder / "raw").mkdir()
    dataset, samples = folder / "dataset.json", folder / "raw" / "samples.jsonl"
    dataset.write_text(json.dumps({"x": TEXTS.x, "y": TEXTS.y}), encoding="utf-8")
    with function(respond) as served:
        plan = msgspec.structs.replace(drawn(experiment, served.url), changing={})
        Driver(plan, dataset, samples, "bs").run(lambda _: None)
    read = list(records.read(samples))
    (model,) = [record for record in read if isinstance(record, ModelRecord)]
    return [record for record in read if isinstance(record, RequestRecord)], model


def without(*numbers: int) -> Callable[[int, Request], Reply]:
    return lambda number, request: REFUSED if number in numbers else counted(number, request)


def test_requests_that_are_not_answered_are_counted_and_times_are_of_the_others(tmp_path: Path) -> None:
    requests, model = measured(tmp_path, churning(tmp_path), without(3, 4))
    failed = [one for one in requests if one.error]
    assert [one.status for one in failed] == [503, 503]
    assert (model.error, model.requests, model.failed_requests) == (None, COUNT, 2)
    took_ms = [(one.last_byte_ns - one.intended_ns) / 1e6 for one in requests if not one.error and one.last_byte_ns]
    assert model.response_time_ms == pytest.approx(median(took_ms))


def test_the_report_tells_how_many_were_not_answered_and_why(tmp_path: Path) -> None:
    run, experiment = tmp_path / "trial", churning(tmp_path)
    run.mkdir()
    measured(run, experiment, without(3, 4))
    printed, page = reported(run, experiment)
    for text in (printed, page):
        assert "2 of 10 requests of words were not answered, as events had taken nodes or links away" in text
    assert "answered 503: no replica is left" in page


def test_a_repetition_in_which_no_request_is_answered_fails(tmp_path: Path) -> None:
    _, model = measured(tmp_path, churning(tmp_path), lambda *_: REFUSED)
    assert str(model.error).startswith("no request was answered, the first one: http://")
    assert (model.response_time_ms, model.failed_requests) == (None, COUNT)


def test_a_wrong_reply_fails_its_repetition_whatever_events_do(tmp_path: Path) -> None:
    measures = {"words": {"path": "$.words.text", "better": "higher"}}
    workload = {"name": "http", "share": ["texts"], "reply": {"measures": measures}}
    _, model = measured(tmp_path, churning(tmp_path, workload=workload), lambda *_: Reply(b"not JSON"))
    assert "it answered: not JSON" in str(model.error)
    assert model.failed_requests == 0


@pytest.mark.parametrize(
    "events", [[], [{"at_s": 0.1, "links": [{"between": "all", "delay_ms": 2}]}]], ids=["none", "values only"]
)
def test_without_an_event_that_takes_something_away_a_failure_fails_the_repetition(
    tmp_path: Path, events: list[dict[str, Any]]
) -> None:
    _, model = measured(tmp_path, churning(tmp_path, events=events), without(3))
    assert "answered 503" in str(model.error)
    assert model.failed_requests == 0


def test_clients_that_wait_send_again_after_a_failure(tmp_path: Path) -> None:
    requests, model = measured(tmp_path, churning(tmp_path, CLOSED), without(0, 4))
    assert len(requests) == COUNT
    assert (model.error, model.failed_requests) == (None, 2)
    times_ns = [one.intended_ns for one in requests]
    pauses_s = [(after - before) / 1e9 for before, after in pairwise(times_ns)]
    assert pauses_s[0] > 0.1
    assert pauses_s[4] > 0.1


def test_without_a_connection_it_is_on_record_when_a_request_failed(tmp_path: Path) -> None:
    def hangs_up(number: int, request: Request) -> Reply:
        return Reply(b"half of it", broken=True) if number == 2 else counted(number, request)

    requests, _ = measured(tmp_path, churning(tmp_path), hangs_up)
    (failed,) = [one for one in requests if one.error]
    assert failed.failed_ns is not None
    assert failed.sent_ns is not None
    assert failed.failed_ns > failed.sent_ns
    assert failed.last_byte_ns is None

"""Traffic: requests that arrive by a process of their own are sent at their times, and their times are told truly."""

from __future__ import annotations

import json
import random
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from driven import SCENARIO, TEXTS, counted, drawn, loaded, measured
from loopback import Reply, Request, function
from msgspec.structs import replace
from scipy import stats

from collect import records
from collect.analysis.repetitions import gather
from collect.records import ModelRecord, RequestRecord, median_request_ms
from experiments import spec
from experiments.base_station.arrivals import Closed, Constant, Due, Poisson, Trace
from experiments.base_station.driver import Driver
from experiments.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from experiments.spec import Experiment

OPEN = {"requests": {}, "repetitions": 1, "warmups": 0}
# Whether requests are late is another test's; here the machine may be busy.
NEVER_LATE = {"max_late_ms": 60_000}


def arriving(folder: Path, traffic: dict[str, Any], **changes: Any) -> Experiment:
    return loaded(folder, **{**OPEN, "traffic": {**NEVER_LATE, **traffic}, **changes})


def offsets(arrivals: Poisson | Constant | Trace, seed: int = 1) -> list[float]:
    return [due.offset_s for due in arrivals.due(random.Random(seed))]


def test_poisson_arrivals_have_exponential_gaps_of_their_rate_and_come_from_the_seed() -> None:
    drawn_s = offsets(Poisson(rate_per_s=50, count=5000))
    gaps = [after - before for before, after in zip([0.0, *drawn_s], drawn_s, strict=False)]
    assert stats.kstest(gaps, "expon", args=(0, 1 / 50)).pvalue > 0.01
    assert drawn_s == offsets(Poisson(rate_per_s=50, count=5000))
    assert drawn_s != offsets(Poisson(rate_per_s=50, count=5000), seed=2)


def test_a_duration_ends_arrivals_and_leaves_one_at_least() -> None:
    drawn_s = offsets(Poisson(rate_per_s=100, duration_s=10))
    assert max(drawn_s) <= 10
    # Of a Poisson distribution with mean 1000, all but 2 in 10,000 lie so near.
    assert abs(len(drawn_s) - 1000) < 4 * 1000**0.5
    assert all(offsets(Poisson(rate_per_s=0.1, duration_s=1), seed) for seed in range(50))
    assert offsets(Constant(rate_per_s=10, duration_s=0.3)) == [0, 0.1, 0.2]
    assert offsets(Constant(rate_per_s=2, count=3)) == [0, 0.5, 1]


def test_requests_are_sent_at_their_times_though_none_is_answered(tmp_path: Path) -> None:
    experiment = arriving(tmp_path, {"arrivals": "constant", "rate_per_s": 200, "count": 40})
    (tmp_path / "raw").mkdir()
    dataset = tmp_path / "dataset.json"
    dataset.write_text(json.dumps({"x": TEXTS.x, "y": TEXTS.y}), encoding="utf-8")
    samples = tmp_path / "raw" / "samples.jsonl"
    with function(counted) as served:
        served.hold_from(0)
        driver = Driver(drawn(experiment, served.url), dataset, samples, "bs")
        measuring = threading.Thread(target=driver.run, args=(lambda _: None,))
        measuring.start()
        served.wait_for(40)  # all have come, and no reply has gone
        released_ns = time.monotonic_ns()
        served.release()
        measuring.join()
    read = list(records.read(samples))
    requests = [one for one in read if isinstance(one, RequestRecord)]
    first_ns = requests[0].intended_ns
    assert [round((one.intended_ns - first_ns) / 1e6) for one in requests] == [5 * number for number in range(40)]
    assert all((one.sent_ns or 0) >= one.intended_ns for one in requests)
    (model,) = (one for one in read if isinstance(one, ModelRecord))
    assert (model.arrivals, model.requests, model.error) == ("constant", 40, None)
    assert model.response_time_ms == median_request_ms(requests)
    # None is left out of what had to wait.
    assert all((one.last_byte_ns or 0) > released_ns for one in requests)
    assert (model.response_time_ms or 0) > (released_ns - requests[20].intended_ns) / 1e6
    assert len(gather(read).scenarios["words"]) == 1


def test_clients_of_a_closed_loop_wait_for_the_reply_and_think(tmp_path: Path) -> None:
    under_way, most = set[int](), 0
    lock = threading.Lock()

    def respond(number: int, request: Request) -> Reply:
        nonlocal most
        with lock:
            under_way.add(number)
            most = max(most, len(under_way))
        reply = counted(number, request)
        with lock:
            under_way.remove(number)
        return reply

    experiment = arriving(tmp_path, {"arrivals": "closed", "clients": 3, "think_s": 0.02, "count": 20})
    requests, (model,), _ = measured(tmp_path, experiment, respond)
    assert (len(requests), model.requests, model.error, model.arrivals) == (20, 20, None, "closed")
    assert [one.request for one in requests] == list(range(20))
    assert 1 <= most <= 3
    began_ns = min(one.intended_ns for one in requests)
    ends = {one.last_byte_ns for one in requests}
    assert sum(one.intended_ns == began_ns for one in requests) == 3
    later = [one for one in requests if one.intended_ns > began_ns]
    assert all(one.intended_ns - 20_000_000 in ends for one in later)


def test_a_closed_loop_of_a_duration_begins_no_request_after_it_and_ends_with_a_failure(tmp_path: Path) -> None:
    experiment = arriving(tmp_path, {"arrivals": "closed", "clients": 2, "think_s": 0.01, "duration_s": 0.3})
    requests, (model,), _ = measured(tmp_path, experiment, counted)
    began_ns = requests[0].intended_ns
    assert model.error is None
    assert max(one.intended_ns for one in requests) - began_ns < 0.3e9
    (tmp_path / "fails").mkdir()
    refused, (failed,), _ = measured(tmp_path / "fails", experiment, lambda *_: Reply(b"busy", status=503))
    assert failed.error is not None
    assert "answered 503: busy" in failed.error
    assert len(refused) <= 2


def test_a_late_base_station_fails_the_repetition_by_that_name(tmp_path: Path) -> None:
    experiment = loaded(
        tmp_path, **OPEN, traffic={"arrivals": "constant", "rate_per_s": 100, "count": 10, "max_late_ms": 1e-6}
    )
    requests, (model,), _ = measured(tmp_path, experiment, counted)
    assert model.error is not None
    assert model.error.startswith("the base station was late: one request in a hundred was sent ")
    assert (
        "ms or more after it was due, 1e-06 ms are allowed; lower the rate, or raise traffic.max_late_ms" in model.error
    )
    (failure,) = gather([*requests, model]).failures
    assert failure.error.startswith("the base station was late")


def test_scenarios_with_the_same_traffic_meet_the_same_arrivals_and_repetitions_other_ones(tmp_path: Path) -> None:
    traffic = {**NEVER_LATE, "arrivals": "poisson", "rate_per_s": 100, "count": 8}
    both = {"scenarios": ["words.yaml", {"extends": "words.yaml", "name": "again"}], "repetitions": 2, "warmups": 0}
    (tmp_path / "words.yaml").write_text(yaml.safe_dump({**SCENARIO, **OPEN, "traffic": traffic}), encoding="utf-8")
    (tmp_path / "both.yaml").write_text(yaml.safe_dump(both), encoding="utf-8")
    requests, models, _ = measured(tmp_path, spec.load(str(tmp_path / "both.yaml")), counted)
    assert {model.error for model in models} == {None}

    def intervals(scenario: str, repetition: int) -> list[int]:
        own = [one for one in requests if (one.scenario, one.repetition) == (scenario, repetition)]
        return [one.intended_ns - own[0].intended_ns for one in own]

    assert intervals("words", 0) == intervals("again", 0) != intervals("words", 1) == intervals("again", 1)


def test_requests_take_the_training_shares_in_turn(tmp_path: Path) -> None:
    experiment = arriving(
        tmp_path,
        {"arrivals": "constant", "rate_per_s": 200, "count": 5},
        data={"test_share": 0.5, "training_shares": [0.1, 0.25]},
    )
    requests, _, asked = measured(tmp_path, experiment, counted)
    assert [one.texts for one in requests] == [4, 10, 4, 10, 4]
    assert sorted(len(one.order["texts"]) for one in asked) == [4, 4, 4, 10, 10]
    # Without shares of its own there is one for each replica.
    own = arriving(tmp_path, {"arrivals": "constant", "rate_per_s": 200, "count": 5})
    assert own.scenarios[0].data.training_shares == (0.4, 0.4)


KINDS = {"name": "http", "kinds": {"small": {"body": '"s"', "weight": 3}, "large": {"body": '"large"'}}}


def test_kinds_are_drawn_by_their_weights(tmp_path: Path) -> None:
    experiment = arriving(tmp_path, {"arrivals": "constant", "rate_per_s": 500, "count": 200}, workload=KINDS)
    requests, (model,), asked = measured(tmp_path, experiment, counted)
    assert model.error is None
    small = sum(one.request_kind == "small" for one in requests)
    assert sorted(one.order for one in asked) == ["large"] * (200 - small) + ["s"] * small
    assert stats.binomtest(small, 200, 0.75).pvalue > 0.001


def test_a_trace_sends_kinds_and_sizes_at_its_times(tmp_path: Path) -> None:
    (tmp_path / "trace.csv").write_text("offset_s,kind,bytes\n0,small,\n0.01,,1000\n0.05,large,\n", encoding="utf-8")
    experiment = arriving(tmp_path, {"arrivals": "trace", "file": "trace.csv"}, workload=KINDS)
    requests, (model,), asked = measured(tmp_path, experiment, counted)
    assert (model.arrivals, model.error) == ("trace", None)
    assert [(one.intended_ns - requests[0].intended_ns) / 1e6 for one in requests] == [0, 10, 50]
    assert (requests[0].request_kind, requests[2].request_kind) == ("small", "large")
    assert requests[1].request_bytes == 1000
    assert sorted(len(one.order) for one in asked) == [1, 5, 998]


def test_a_part_of_a_repetition_on_record_is_measured_again(tmp_path: Path) -> None:
    experiment = arriving(tmp_path, {"arrivals": "constant", "rate_per_s": 200, "count": 4})
    requests, _, _ = measured(tmp_path, experiment, counted)
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "raw").mkdir()
    samples = tmp_path / "again" / "raw" / "samples.jsonl"
    with function(counted) as served:
        plan = drawn(experiment, served.url)
        torn = [replace(one, plan=plan.hash) for one in requests[:3]]
        records.append(samples, torn)
        Driver(plan, tmp_path / "dataset.json", samples, "bs").run(lambda _: None)
    read = list(records.read(samples))
    assert [one.attempt for one in read] == [0, 0, 0, 1, 1, 1, 1, 1]


REFUSED = [
    ({"arrivals": "poisson", "count": 3}, "traffic: rate_per_s: needed with arrivals poisson"),
    ({"arrivals": "poisson", "rate_per_s": 5}, "traffic: count or duration_s is needed, and only one of them"),
    ({"arrivals": "constant", "rate_per_s": 5, "count": 3, "duration_s": 3}, "traffic: count or duration_s is needed"),
    ({"arrivals": "closed", "clients": 2, "rate_per_s": 5, "count": 3}, "traffic: rate_per_s: not a key of arrivals"),
    (
        {"arrivals": "constant", "rate_per_s": 5000, "count": 3},
        "traffic.rate_per_s: Input should be less than or equal to",
    ),
    (
        {"arrivals": "poisson", "rate_per_s": 1000, "duration_s": 3600},
        "1000 requests per second for 3600 s are more than the 100000 that a repetition can have",
    ),
    ({"arrivals": "bursts"}, "traffic.arrivals: Input should be"),
    ({"arrivals": "trace"}, "traffic: file: needed with arrivals trace"),
    ({"arrivals": "trace", "file": "none.csv"}, "traffic.file: "),
    ({"arrivals": "trace", "file": "back.csv"}, "line 3: offset_s 1 after 2: a trace does not go backwards; sort it"),
    ({"arrivals": "trace", "file": "words.csv"}, "line 2: offset_s 'soon': expected a number from 0 to 86400"),
    ({"arrivals": "trace", "file": "short.csv"}, "line 2: expected 2 values (offset_s,kind)"),
    ({"arrivals": "trace", "file": "head.csv"}, "line 1: expected a heading with offset_s"),
    ({"arrivals": "trace", "file": "empty.csv"}, "it has no requests"),
    ({"arrivals": "trace", "file": "kind.csv"}, "request 1 of the trace is of kind 'big'; the workload has no kinds"),
]
TRACES = {
    "back.csv": "offset_s\n2\n1\n",
    "words.csv": "offset_s\nsoon\n",
    "short.csv": "offset_s,kind\n1\n",
    "head.csv": "time\n1\n",
    "empty.csv": "offset_s\n",
    "kind.csv": "offset_s,kind\n1,big\n",
}


@pytest.mark.parametrize(("traffic", "sentence"), REFUSED, ids=lambda value: str(value)[:40])
def test_traffic_that_cannot_be_is_refused_in_a_sentence(
    traffic: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    for name, content in TRACES.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(SpecError) as refused:
        loaded(tmp_path, **OPEN, traffic=traffic)
    assert sentence in str(refused.value)
    assert str(tmp_path / "words.yaml") in str(refused.value)


def test_requests_together_need_their_number_and_others_have_none(tmp_path: Path) -> None:
    with pytest.raises(
        SpecError, match=r"requests\.parallel: needed, unless traffic sets other arrivals than together"
    ):
        loaded(tmp_path, requests={})
    with pytest.raises(SpecError, match=r"requests\.parallel: not used with arrivals constant, which tell when each"):
        loaded(tmp_path, traffic={"arrivals": "constant", "rate_per_s": 1, "count": 1})
    with pytest.raises(SpecError, match="the bodies of the workload training are its data"):
        loaded(tmp_path, **OPEN, workload="training", traffic={"arrivals": "trace", "trace": "offset_s,bytes\n0,5\n"})


def members(folder: Path, *entries: Any) -> Iterator[Any]:
    loaded(folder)
    path = folder / "list.yaml"
    path.write_text(yaml.safe_dump({"scenarios": list(entries), "repetitions": 1}), encoding="utf-8")
    return iter(spec.load(str(path)).scenarios)


def test_a_scenario_of_a_list_extends_another_by_the_keys_that_it_names(tmp_path: Path) -> None:
    changes = {
        "extends": "words.yaml",
        "name": "polled",
        "requests": {"parallel": None, "timeout_s": 5},
        "traffic": {"arrivals": "closed", "clients": 2, "count": 4},
    }
    plain, polled = members(tmp_path, "words.yaml", changes)
    assert (plain.name, plain.requests.parallel) == ("words", 2)
    assert (polled.name, polled.requests.parallel, polled.requests.timeout_s) == ("polled", None, 5)
    assert (polled.links, polled.function, polled.title) == (plain.links, plain.function, plain.title)
    assert polled.arrivals == Closed(clients=2, count=4)


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"name": "alone"}, "scenarios.0.extends: needed: the scenario that these keys change"),
        ({"extends": "words.yaml", "repetitions": 3}, "scenarios.0.repetitions: belongs to the whole file"),
        ({"extends": "nowhere"}, "unknown scenario 'nowhere'"),
        ({"extends": "words.yaml", "speed": 3}, "list.yaml: speed: unknown key"),
        (7, "scenarios: must be a list of scenario names"),
    ],
)
def test_an_entry_that_extends_nothing_known_is_refused(entry: Any, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError) as refused:
        list(members(tmp_path, entry))
    assert sentence in str(refused.value)


def test_a_trace_is_read_by_its_heading() -> None:
    assert list(Trace(trace="kind,offset_s\nsmall,0.5\n").due(random.Random())) == [Due(0.5, "small")]

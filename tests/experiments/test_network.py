"""Several base stations share the data, start together, and make one repetition of what all of them measured."""

from __future__ import annotations

import json
import random
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from driven import TEXTS, loaded
from loopback import Reply, Request, answer, function
from measured import free_port
from msgspec.structs import replace
from trial_nodes import aimed, inventory

from collect import records
from collect.analysis.repetitions import gather
from collect.records import ModelRecord, NetworkRecord, RequestRecord
from experiments.base_station.driver import Driver
from experiments.base_station.errors import DriverError
from experiments.base_station.network import GoneError, Hello, meet
from experiments.data.dataset import DatasetError, load
from experiments.errors import SpecError
from experiments.leakage import leakage
from experiments.placement import place
from experiments.plan import draw
from experiments.workloads.data import Division

if TYPE_CHECKING:
    from pathlib import Path

    from experiments.base_station.plan import Plan

STATIONS = {"bs-1": "127.0.0.1", "bs-2": "127.0.0.2", "bs-3": "127.0.0.3"}
NODES = inventory({"base_stations": tuple(STATIONS), "edge": ("edge-1", "edge-2"), "cloud": ("cloud-1",)})
TRAINING: dict[str, Any] = {"workload": "training", "data": {"test_share": 0.2, "training_shares": [0.4, 0.4]}}


def planned(folder: Path, url: str, **changes: Any) -> Plan:
    experiment = loaded(folder, **changes)
    plan = draw(experiment, place(experiment, NODES), run="trial", texts=len(TEXTS.x), dataset="d", seed=1)
    return aimed(replace(plan, base_stations=STATIONS), url)


def measure(folder: Path, plan: Plan, port: int) -> dict[str, Exception | None]:
    """Let all base stations measure at once; return by name how each one ended."""
    dataset = folder / "dataset.json"
    dataset.write_text(json.dumps({"x": TEXTS.x, "y": TEXTS.y}), encoding="utf-8")

    def one(name: str) -> Exception | None:
        (folder / name).mkdir(exist_ok=True)
        driver = Driver(plan, dataset, samples(folder, name), name, source=STATIONS[name], port=port)
        try:
            driver.run(lambda _: None)
        except DriverError as error:
            return error
        return None

    with ThreadPoolExecutor(len(STATIONS)) as pool:
        return dict(zip(STATIONS, pool.map(one, STATIONS), strict=True))


def samples(folder: Path, name: str) -> Path:
    return folder / name / "samples.jsonl"


def read(folder: Path) -> list[records.Record]:
    return list(chain.from_iterable(records.read(samples(folder, name)) for name in STATIONS))


def counted(_: int, request: Request) -> Reply:
    return Reply(json.dumps({"words": len(request.order), "replica": "edge-1/0", "node": "edge-1"}).encode())


def test_all_start_at_one_time_with_their_own_data_and_the_best_reply_of_all_counts(tmp_path: Path) -> None:
    with function(answer) as served:
        plan = planned(tmp_path, served.url, **TRAINING, repetitions=2)
        assert measure(tmp_path, plan, free_port()) == dict.fromkeys(STATIONS)
        sent = [set(request.order["x_dict"].values()) for request in served.requests]
    found = read(tmp_path)
    requests = [record for record in found if isinstance(record, RequestRecord)]
    networks = [record for record in found if isinstance(record, NetworkRecord)]
    assert len(plan.order) == len(networks)
    for network in networks:
        own = [one for one in requests if (one.repetition, one.warmup) == (network.repetition, network.warmup)]
        assert Counter(one.base_station for one in own) == dict.fromkeys(STATIONS, 2)
        assert len({one.intended_ns for one in own}) == 1, "one time by one clock"
        assert min(one.sent_ns or 0 for one in own) >= own[0].intended_ns
        best = max(own, key=lambda one: one.accuracy_validation or 0)
        assert (network.chosen_base_station, network.chosen_request) == (best.base_station, best.request)
        assert network.accuracy_test is not None
        assert network.training_texts == sum(one.texts for one in own) == round(0.8 * len(TEXTS.x))
        assert network.attempts == dict.fromkeys(STATIONS, 0)
    # No text was sent by two, and those of a repetition were all sent.
    first = sent[: 2 * len(STATIONS)]
    assert sum(map(len, first)) == len(set().union(*first)) == round(0.8 * len(TEXTS.x))
    models = [record for record in found if isinstance(record, ModelRecord)]
    assert {model.test_texts for model in models} == {round(0.2 * len(TEXTS.x))}
    (repetitions,) = gather(found).scenarios.values()
    assert [one.base_station for one in repetitions] == ["3 base stations"] * 2
    assert [[part.base_station for part in one.parts] for one in repetitions] == [list(STATIONS)] * 2
    for one in repetitions:
        assert one.response_s >= max(part.response_s for part in one.parts)


def test_what_not_all_have_to_its_end_is_measured_again_by_all_and_nothing_else(tmp_path: Path) -> None:
    with function(counted) as served:
        plan, port = planned(tmp_path, served.url, repetitions=3, warmups=0), free_port()
        assert measure(tmp_path, plan, port) == dict.fromkeys(STATIONS)
        before = len(served.requests)
        cut = samples(tmp_path, "bs-2")
        cut.write_bytes(b"".join(cut.read_bytes().splitlines(keepends=True)[:-1]))
        assert measure(tmp_path, plan, port) == dict.fromkeys(STATIONS)
        assert len(served.requests) == before + 2 * len(STATIONS)
    measurements = gather(read(tmp_path))
    assert [one.attempts for one in measurements.scenarios["words"]] == [
        dict.fromkeys(STATIONS, 0), dict.fromkeys(STATIONS, 0), {"bs-1": 1, "bs-2": 1, "bs-3": 1},
    ]  # fmt: skip
    assert [(one.repetition, one.attempts, one.measured_again) for one in measurements.failures] == [
        (2, dict.fromkeys(STATIONS, 0), True)
    ]


def test_what_all_replies_came_to_counts_for_its_own_attempt_only(tmp_path: Path) -> None:
    with function(counted) as served:
        plan, port = planned(tmp_path, served.url, repetitions=1, warmups=0), free_port()
        assert measure(tmp_path, plan, port) == dict.fromkeys(STATIONS)
        first = samples(tmp_path, "bs-1")
        # A second attempt that was cut off before the first one had finished what all measured.
        again = [replace(record, attempt=1) for record in records.read(first) if not isinstance(record, NetworkRecord)]
        records.append(first, again)
        before = len(served.requests)
        assert measure(tmp_path, plan, port) == dict.fromkeys(STATIONS)
        assert len(served.requests) == before + 2 * len(STATIONS)
    (repetition,) = gather(read(tmp_path)).scenarios["words"]
    assert repetition.attempts == {"bs-1": 2, "bs-2": 1, "bs-3": 1}


def test_a_request_that_another_site_serves_is_misplaced(tmp_path: Path) -> None:
    function_ = {"sites": {"edge": 1, "cloud": 1}}
    data = {"test_share": 0.2, "training_shares": [0.4, 0.4]}
    with function(counted) as served:  # every reply says edge-1
        plan = planned(tmp_path, served.url, function=function_, data=data, repetitions=1, warmups=0)
        assert measure(tmp_path, plan, free_port()) == dict.fromkeys(STATIONS)
    errors = [record.error for record in read(tmp_path) if isinstance(record, ModelRecord)]
    assert len(errors) == len(STATIONS)
    assert all("was served by edge-1/0 on edge-1, where no replica of its site should be" in str(e) for e in errors)


def test_a_request_that_fails_at_one_base_station_fails_the_repetition_of_all(tmp_path: Path) -> None:
    def respond(number: int, request: Request) -> Reply:
        return Reply(counted(number, request).body, 500 if number == 2 else 200)

    with function(respond) as served:
        plan = planned(tmp_path, served.url, repetitions=2, warmups=0)
        assert measure(tmp_path, plan, free_port()) == dict.fromkeys(STATIONS)
    measurements = gather(read(tmp_path))
    assert [one.repetition for one in measurements.scenarios["words"]] == [1]
    (failure,) = measurements.failures
    assert (failure.base_station, failure.repetition, failure.measured_again) == ("3 base stations", 0, False)
    assert "answered 500" in failure.error
    assert failure.error.startswith("bs-")


def test_one_that_ends_tells_the_others_why_and_they_end(tmp_path: Path) -> None:
    with function(counted) as served:
        plan = planned(tmp_path, served.url, repetitions=2)
        other = replace(plan, seed=2)
        ends: dict[str, Exception] = {}

        def one(name: str) -> None:
            try:
                with meet(other if name == "bs-3" else plan, name, port) as network:
                    network.to_do([])
                    network.start(0)
            except DriverError as error:
                ends[name] = error

        port = free_port()
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(one, STATIONS))
    assert str(ends["bs-1"]).startswith("bs-3 measures another plan than bs-1: begin a new run")
    assert isinstance(ends["bs-2"], GoneError)
    assert isinstance(ends["bs-3"], GoneError)


def test_a_stranger_is_not_heard(tmp_path: Path) -> None:
    plan, port = planned(tmp_path, "http://127.0.0.1:1/"), free_port()
    plan = replace(plan, base_stations={"bs-1": "127.0.0.1", "bs-2": "127.0.0.2"})

    def first() -> list[int]:
        with meet(plan, "bs-1", port) as network:
            return list(network.to_do([0]) or ())

    def second() -> list[int]:
        with meet(plan, "bs-2", port) as network:
            return list(network.to_do([0, 1]) or ())

    with ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(first)
        with connected(port, "127.0.0.9") as stranger:
            stranger.sendall(msgspec.json.encode(Hello("trial", plan.hash, "bs-2", [])) + b"\n")
            missing = pool.submit(second).result()
            assert missing == waiting.result() == list(range(1, len(plan.order)))
            with suppress(ConnectionResetError):  # what it said was not read
                assert stranger.recv(100) == b"", "it is told nothing"


def connected(port: int, source: str) -> socket.socket:
    while True:  # bounded by the test's own deadline: the first one listens soon
        try:
            return socket.create_connection(("127.0.0.1", port), 60, source_address=(source, 0))
        except ConnectionRefusedError:
            continue


@pytest.mark.parametrize(
    ("weights", "expected"), [((1, 1, 1), [200, 200, 200]), ((4, 1, 1), [400, 100, 100]), ((1, 2), [200, 400])]
)
def test_data_are_divided_by_weights_in_every_part_of_them(weights: tuple[float, ...], expected: list[int]) -> None:
    labels = ["a" if row % 3 else "b" for row in range(600)]
    split = list(range(600))
    random.Random(1).shuffle(split)
    owners = Division(weights).owners(split, labels, random.Random(2))
    assert [Counter(owners)[one] for one in range(len(weights))] == expected
    tenth = Counter(owners[row] for row in split[60:120])
    assert all(abs(tenth[one] - count / 10) < 2 for one, count in enumerate(expected))


def test_a_small_alpha_sets_labels_apart_and_a_large_one_does_not() -> None:
    labels = ["a" if row % 2 else "b" for row in range(2000)]
    shares: dict[float, list[float]] = {0.1: [], 1000: []}
    for alpha, seen in shares.items():
        for seed in range(20):
            owners = Division((1.0, 1.0, 1.0), alpha).owners(range(2000), labels, random.Random(seed))
            of_a = Counter(owner for owner, label in zip(owners, labels, strict=True) if label == "a")
            seen.append(max(of_a.values()) / 1000)
    assert min(shares[0.1]) > 0.4
    assert sum(shares[0.1]) / 20 > 0.75
    assert max(shares[1000]) < 0.4
    again = Division((1.0, 1.0, 1.0), 0.1).owners(range(2000), labels, random.Random(5))
    assert again == Division((1.0, 1.0, 1.0), 0.1).owners(range(2000), labels, random.Random(5))


def test_a_base_station_that_is_left_without_a_label_is_named_before_anything_begins(tmp_path: Path) -> None:
    data = load("synthetic", texts=200, seed=1)
    experiment = loaded(tmp_path, **TRAINING, base_stations={"division": "dirichlet", "alpha": 0.02}, repetitions=9)
    plan = draw(experiment, place(experiment, NODES), run="trial", texts=200, dataset=data.sha256, seed=1)
    with pytest.raises(
        DatasetError, match=r"scenario words, repetition \d, bs-\d: none of its texts is labelled '\w+'; raise base_st"
    ):
        leakage(plan, data)


NEAR_AND_FAR = [
    {"between": ["west", "west"], "delay_ms": 1},
    {"between": ["east", "east"], "delay_ms": 1},
    {"between": ["west", "east"], "delay_ms": 5},
]


SITED: dict[str, Any] = {
    "function": {"sites": {"west_cell": 2, "east_cell": 2}},
    "data": {"test_share": 0.2, "training_shares": [0.4, 0.4]},
    "links": NEAR_AND_FAR,
}
CELLS = inventory(
    {
        "base_stations": ("bs-1", "bs-2"), "west_cell": ("a", "b"), "east_cell": ("c", "d"),
        "west": ("bs-1", "a", "b"), "east": ("bs-2", "c", "d"),
    }
)  # fmt: skip


@pytest.mark.parametrize(
    ("send_to", "routes"),
    [
        ("all", {"bs-1": {"west_cell": 1, "east_cell": 1}, "bs-2": {"west_cell": 1, "east_cell": 1}}),
        ("nearest", {"bs-1": {"west_cell": 1}, "bs-2": {"east_cell": 1}}),
        ({"east_cell": 3}, {"bs-1": {"east_cell": 3}, "bs-2": {"east_cell": 3}}),
    ],
)
def test_requests_go_to_the_sites_that_a_scenario_names(tmp_path: Path, send_to: Any, routes: Any) -> None:
    placed = place(loaded(tmp_path, **SITED, base_stations={"send_to": send_to}), CELLS)
    assert placed.routes == {"words": routes}
    assert [(one.name, one.nodes, one.gateway) for one in placed.services["words"]] == [
        ("words-east-cell", ("c", "d"), "c"),
        ("words-west-cell", ("a", "b"), "a"),
    ]
    assert len({one.gateway_port for one in placed.services["words"]}) == 2


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"links": [{"delay_ms": 1}]}, "east_cell and west_cell are equally near to bs-1, 2 ms there and back: give"),
        (
            {"function": {"sites": {"moon": 1}}},
            "site moon needs 1 node, inventory trial has 0 in a group of this name",
        ),
        (
            {"base_stations": {"send_to": "nearest", "division": "weights", "weights": [1]}},
            "weights has 1, the base stations of",
        ),
    ],
)
def test_what_an_inventory_has_not_is_named(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    experiment = loaded(tmp_path, **{**SITED, "base_stations": {"send_to": "nearest"}, **change})
    with pytest.raises(SpecError, match=sentence):
        place(experiment, CELLS)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"base_stations": {"send_to": "nearest"}}, "base_stations.send_to: needs function.sites"),
        ({"base_stations": {"division": "dirichlet"}}, "alpha: needed with division dirichlet"),
        ({"base_stations": {"alpha": 1}}, "alpha: not used with division even; set division: dirichlet"),
        ({"function": {"nodes": ["edge"], "sites": {"edge": 1}}}, "nodes: not used with sites"),
        ({"function": {"replicas": 1}}, "nodes: needed, unless sites are set"),
        (
            {"function": {"sites": {"edge": 1}}, "base_stations": {"send_to": {"cloud": 1}}},
            "send_to: cloud is none of function.sites",
        ),
    ],
)
def test_keys_that_do_not_go_together_are_refused(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SpecError, match=sentence):
        loaded(tmp_path, **change)

"""Events of a scenario: which links, nodes and load change, when, to what; and the sentence where they cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml
from trial_nodes import inventory

from experiments.base_station.plan import Entry
from experiments.errors import SpecError
from experiments.placement import place
from experiments.plan import as_json, draw
from experiments.spec import Experiment, load

if TYPE_CHECKING:
    from pathlib import Path

    from experiments.base_station.plan import Plan

NEAR: dict[str, Any] = {
    "name": "near",
    "title": "Two nodes",
    "links": [{"between": "all", "delay_ms": 4, "jitter_ms": 0.5, "loss_percent": 0.1, "seed": 7}],
    "function": {"nodes": ["edge"], "replicas": 2},
    "traffic": {"arrivals": "constant", "rate_per_s": 10, "duration_s": 8},
    "requests": {},
    "data": {"test_share": 0.2, "training_shares": [0.1]},
    "repetitions": 4,
}
TO_EDGE: dict[str, Any] = {"between": ["base_stations", "edge"]}


def with_events(folder: Path, *events: dict[str, Any], **changes: Any) -> Experiment:
    path = folder / "near.yaml"
    path.write_text(yaml.safe_dump({**NEAR, **changes, "events": list(events)}, sort_keys=False), encoding="utf-8")
    return load(str(path))


def planned(experiment: Experiment) -> Plan:
    return draw(experiment, place(experiment, inventory()), run="run", texts=100, dataset="0" * 64, seed=1)


def at(at_s: float, **change: Any) -> dict[str, Any]:
    return {"at_s": at_s, "links": [{**TO_EDGE, **change}]}


def before(repetition: int, **change: Any) -> dict[str, Any]:
    return {"before_repetition": repetition, "links": [{**TO_EDGE, **change}]}


def away(at_s: float, count: int, group: str = "edge", **more: Any) -> dict[str, Any]:
    return {"at_s": at_s, "nodes": [{"group": group, "away": count, **more}]}


def test_what_an_event_does_not_name_is_as_in_links(tmp_path: Path) -> None:
    plan = planned(with_events(tmp_path, at(2, delay_ms=20), at(3, down=True), at(4)))
    far, down, back = plan.scenarios["near"].events
    assert [(one.source, one.target) for one in far.links] == [
        ("bs", "edge-1"), ("bs", "edge-2"), ("edge-1", "bs"), ("edge-2", "bs"),
    ]  # fmt: skip
    applied = {(one["source"], one["target"]): one for one in place(with_events(tmp_path), inventory()).links}
    for link in far.links:
        first = applied[link.source, link.target]
        assert {"source": link.source, "target": link.target, **link.values} == {**first, "delay_ms": 20}
    assert all(one.shape.startswith("20 ms ± 0.5 ms, 0.1 % loss") for one in far.links)
    assert {(one.shape, one.values["loss_percent"], one.values["delay_ms"]) for one in down.links} == {("down", 100, 4)}
    assert all(one.values["delay_ms"] == 4 and one.values["loss_percent"] == 0.1 for one in back.links)
    assert plan.changing == {name: inventory().address(name) for name in ("bs", "edge-1", "edge-2")}


def test_a_change_before_a_repetition_holds_for_all_that_follow_and_no_warmup(tmp_path: Path) -> None:
    scenario = planned(with_events(tmp_path, before(3, delay_ms=9), at(1, delay_ms=5))).scenarios["near"]

    def numbers(repetition: int, *, warmup: bool = False) -> list[int]:
        return [number for number, _ in scenario.changes(Entry("near", 0, repetition, warmup))]

    assert [numbers(repetition) for repetition in range(4)] == [[1], [1], [0, 1], [0, 1]]
    assert numbers(3, warmup=True) == [1]


def test_a_link_that_becomes_shorter_lowers_what_round_trips_are_held_against(tmp_path: Path) -> None:
    scenario = planned(with_events(tmp_path, at(1, delay_ms=20), at(2, delay_ms=2.5))).scenarios["near"]
    assert scenario.faster_ms("bs", "edge-1") == pytest.approx(1.5)
    assert scenario.faster_ms("edge-1", "edge-2") == 0


def test_a_scenario_without_events_has_the_plan_that_it_had_before_there_were_any(tmp_path: Path) -> None:
    plan = planned(with_events(tmp_path))
    assert "netem_changes_from" not in place(with_events(tmp_path), inventory()).variables()
    assert plan.changing == {}
    assert not {"changing", "events"} & {*as_json(plan), *as_json(plan)["scenarios"]["near"]}


@pytest.mark.parametrize(
    ("events", "sentence"),
    [
        ([at(9, delay_ms=5)], "at_s 9 is after the last request of a repetition begins (8 s, by traffic)"),
        ([at(-1, delay_ms=5)], "events.0.at_s: Input should be greater than or equal to 0"),
        ([at(1, delay_ms=5), at(1.1)], "events: at_s 1 and 1.1 overlap, 0.2 s apart are needed"),
        ([before(2, delay_ms=5), before(2)], "events: two have before_repetition 2"),
        ([before(5, delay_ms=5)], "before_repetition 5 is never reached, there are 4 repetitions"),
        ([at(1, down=True, delay_ms=5)], "down: a link that is down has no delay_ms: take away one of them"),
        ([{"links": [TO_EDGE]}], "at_s or before_repetition is needed, and only one of them"),
        ([{**at(1), "before_repetition": 1}], "at_s or before_repetition is needed, and only one of them"),
        ([{"at_s": 1, "links": []}], "events.0: links, nodes, load or background: expected at least one entry"),
        ([{"at_s": 1, "nodes": [{"group": "edge"}] * 2}], "nodes: edge is named by two entries; keep one of them"),
        ([{"at_s": 1, "load": [{"group": "edge"}] * 2}], "load: edge is named by two entries; keep one of them"),
        ([away(1, 1, how="killed")], "events.0.nodes.0.how: Input should be 'drained' or 'cut'"),
        ([{"at_s": 1, "load": [{"group": "edge", "processes": 65}]}], "Input should be less than or equal to 64"),
        ([{"at_s": 1, "background": [{"mbit_per_s": 501}]}], "Input should be less than or equal to 500"),
        ([at(1, delay=5)], "events.0.links.0.delay: unknown key; did you mean delay_ms?"),
    ],
)
def test_events_that_cannot_be_are_one_sentence(tmp_path: Path, events: list[dict[str, Any]], sentence: str) -> None:
    with pytest.raises(SpecError) as raised:
        with_events(tmp_path, *events)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("links", "sentence"),
    [
        ([{"between": ["base_stations", "moon"]}], "at_s 1: links between base_stations and moon: there are none"),
        ([TO_EDGE, {"between": "all"}], "at_s 1: the link bs -> edge-1 is named by two entries; keep one of them"),
        ([{**TO_EDGE, "jitter_ms": 2}], "at_s 1: the link bs -> edge-1: jitter_ms is 2, too large"),
    ],
)
def test_events_that_do_not_fit_the_nodes_are_one_sentence(
    tmp_path: Path, links: list[dict[str, Any]], sentence: str
) -> None:
    experiment = with_events(tmp_path, {"at_s": 1, "links": links})
    with pytest.raises(SpecError, match=f"scenario near: events: {sentence}"):
        place(experiment, inventory())


def test_a_link_that_is_not_shaped_cannot_change(tmp_path: Path) -> None:
    experiment = with_events(
        tmp_path, {"at_s": 1, "links": [{"between": ["edge", "edge"]}]}, links=[{**TO_EDGE, "delay_ms": 4}]
    )
    with pytest.raises(SpecError, match="the link edge-1 -> edge-2 is none of links, so it cannot change"):
        place(experiment, inventory())


def test_the_last_nodes_leave_first_and_join_again(tmp_path: Path) -> None:
    plan = planned(with_events(tmp_path, away(2, 1), away(3, 0)))
    leaves, joins = plan.scenarios["near"].events
    assert [(one.node, one.asked, one.state) for one in (*leaves.nodes, *joins.nodes)] == [
        ("edge-2", "edge-2", "drained"),
        ("edge-2", "edge-2", "there"),
    ]
    assert leaves.links == joins.links == ()
    assert plan.changing == {"edge-2": inventory().address("edge-2")}
    assert plan.scenarios["near"].loses_requests


def test_on_a_cluster_the_first_server_has_nodes_leave_unless_it_is_somebody_elses(tmp_path: Path) -> None:
    experiment = with_events(tmp_path, away(2, 1), links=[{"between": "all", "delay_ms": 4}])
    nodes = inventory()
    for node in nodes.hosts("compute"):
        nodes.variables[node]["function_platform"] = "knative"
    (leaves,) = place(experiment, nodes).events["near"]
    assert [(one.node, one.asked) for one in leaves.nodes] == [("edge-2", "edge-1")]
    nodes.variables["edge-2"]["kubeconfig"] = "/etc/theirs.yaml"
    with pytest.raises(SpecError, match=r"edge-2 belongs to a cluster that is somebody else's \(kubeconfig\)"):
        place(experiment, nodes)


def test_a_node_that_is_cut_has_its_links_down_until_it_is_back_as_they_were(tmp_path: Path) -> None:
    events = (away(2, 1, how="cut"), at(3, delay_ms=20), away(4, 0))
    cut, far, back = planned(with_events(tmp_path, *events)).scenarios["near"].events
    of_node = [("bs", "edge-2"), ("edge-1", "edge-2"), ("edge-2", "bs"), ("edge-2", "edge-1")]
    assert sorted((one.source, one.target) for one in cut.links) == of_node
    assert {(one.shape, one.values["loss_percent"]) for one in cut.links} == {("down", 100)}
    # Who is away stays so, and has what it was given meanwhile when it is back.
    shapes = {(one.source, one.target): one.shape.partition(" ±")[0] for one in far.links}
    assert shapes == {
        ("bs", "edge-1"): "20 ms", ("edge-1", "bs"): "20 ms", ("bs", "edge-2"): "down", ("edge-2", "bs"): "down",
    }  # fmt: skip
    delays = {(one.source, one.target): one.values["delay_ms"] for one in back.links}
    assert delays == dict(zip(of_node, (20, 4, 20, 4), strict=True))
    assert [one.state for one in (*cut.nodes, *back.nodes)] == ["cut", "there"]


def test_load_is_of_each_node_of_a_group(tmp_path: Path) -> None:
    event = {"at_s": 1, "load": [{"group": "edge", "processes": 2}]}
    plan = planned(with_events(tmp_path, event))
    (busy,) = plan.scenarios["near"].events
    assert [(one.node, one.processes) for one in busy.load] == [("edge-1", 2), ("edge-2", 2)]
    assert list(plan.changing) == ["edge-1", "edge-2"]
    assert not plan.scenarios["near"].loses_requests


def test_what_is_sent_beside_the_requests_is_of_each_link(tmp_path: Path) -> None:
    event = {"at_s": 1, "background": [{**TO_EDGE, "mbit_per_s": 20}]}
    (sent,) = planned(with_events(tmp_path, event)).scenarios["near"].events
    assert [(one.source, one.target, one.mbit_per_s) for one in sent.background] == [
        ("bs", "edge-1", 20), ("bs", "edge-2", 20), ("edge-1", "bs", 20), ("edge-2", "bs", 20),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("events", "changes", "sentence"),
    [
        ([away(1, 2)], {}, "at_s 1: nodes: 2 of edge-1, edge-2 cannot be away: requests come in through edge-1, which"),
        ([away(1, 1, "moon")], {}, "at_s 1: nodes: no replica of this scenario runs on a node of a group moon"),
        ([away(1, 1, "cloud")], {}, "at_s 1: nodes: no replica of this scenario runs on a node of a group cloud"),
        (
            [away(1, 1, how="cut")],
            {"links": [{**TO_EDGE, "delay_ms": 4}]},
            "at_s 1: nodes: edge-2 cannot be cut, as edge-1 -> edge-2 is none of links",
        ),
        (
            [away(1, 1)],
            {"links": []},
            "at_s 1: edge-2 would have to carry it out, and no link of the scenario leaves it",
        ),
        (
            [{"at_s": 1, "load": [{"group": "moon"}]}],
            {},
            "at_s 1: load: none of the scenario's nodes is in a group moon",
        ),
        ([away(1, 1, how="cut"), before(2, delay_ms=5)], {}, "nodes are cut, and some events have at_s, others"),
    ],
)
def test_nodes_that_cannot_leave_are_one_sentence(
    tmp_path: Path, events: list[dict[str, Any]], changes: dict[str, Any], sentence: str
) -> None:
    experiment = with_events(tmp_path, *events, **changes)
    with pytest.raises(SpecError) as raised:
        place(experiment, inventory())
    assert f"scenario near: events: {sentence}" in str(raised.value)


def test_nodes_leave_only_where_no_request_needs_each_of_them(tmp_path: Path) -> None:
    burst = {"traffic": {}, "requests": {"parallel": 2}, "data": {"test_share": 0.2, "training_shares": [0.1, 0.1]}}
    with pytest.raises(SpecError, match="events: nodes leave, and arrivals are together"):
        with_events(tmp_path, away(1, 1), **burst)

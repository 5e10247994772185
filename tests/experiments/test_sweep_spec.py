"""A sweep in a scenario file becomes plain scenarios of one run, or one sentence that says what is wrong with it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml
from trial_nodes import inventory

from experiments import manifest, outlook, plan, resume, spec
from experiments.data import dataset
from experiments.errors import SpecError
from experiments.placement import place
from experiments.spec import Experiment, load, schema
from nodes.playbooks import read_inventory

if TYPE_CHECKING:
    from pathlib import Path

DELAYS = {"links.0.delay_ms": [1, 5.5, 15]}
NEAR: dict[str, Any] = {
    "name": "near",
    "title": "One node",
    "links": [
        {"between": ["base_stations", "edge"], "delay_ms": 5, "jitter_ms": 0.25},
        {"between": ["edge", "edge"], "delay_ms": 1},
    ],
    "function": {"nodes": ["edge"], "replicas": 1},
    "requests": {"parallel": 1},
    "data": {"test_share": 0.2, "training_shares": [0.4]},
    "repetitions": 4,
}


def file_of(folder: Path, sweep: Any, **changes: Any) -> str:
    path = folder / "near.yaml"
    path.write_text(yaml.safe_dump({**NEAR, **changes, "sweep": sweep}, sort_keys=False), encoding="utf-8")
    return str(path)


def swept(folder: Path, sweep: Any, **changes: Any) -> Experiment:
    return load(file_of(folder, sweep, **changes))


def listing(folder: Path, sweep: Any) -> str:
    path = folder / "both.yaml"
    content = {"scenarios": ["edge", "cloud"], "repetitions": 4, "sweep": sweep}
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return str(path)


def test_the_cross_product_is_scenarios_with_names_that_tell_their_values(tmp_path: Path) -> None:
    experiment = swept(tmp_path, {**DELAYS, "share": {"data.training_shares.0": [0.1, 0.4]}})
    assert [scenario.name for scenario in experiment.scenarios] == [
        "near-d1-s0p1", "near-d1-s0p4", "near-d5p5-s0p1", "near-d5p5-s0p4", "near-d15-s0p1", "near-d15-s0p4",
    ]  # fmt: skip
    third = experiment.scenarios[2]
    assert (third.links[0].delay_ms, third.links[1].delay_ms, third.data.training_shares) == (5.5, 1, (0.1,))
    assert third.title == "One node, links.0.delay_ms 5.5, share 0.1"
    assert experiment.sweep is not None
    assert experiment.sweep.points["near-d5p5-s0p1"].values == {"links.0.delay_ms": 5.5, "share": 0.1}
    assert experiment.name == "near"


def test_keys_of_one_axis_move_together_and_a_key_may_belong_to_one_scenario(tmp_path: Path) -> None:
    experiment = load(
        listing(
            tmp_path,
            {
                "delay_ms": {"cloud.links.0.delay_ms": [10, 30], "cloud.links.0.jitter_ms": [1, 3]},
                "share": {
                    "cloud.data.training_shares.0": [0.4, 0.8],
                    "edge.data.training_shares": [[0.2, 0.2], [0.4, 0.4]],
                },
            },
        )
    )
    seen = {
        scenario.name: (scenario.links[0].delay_ms, scenario.links[0].jitter_ms, sum(scenario.data.training_shares))
        for scenario in experiment.scenarios
    }
    assert seen == {
        "edge-s0p4": (1.25, 0.25, 0.4),
        "edge-s0p8": (1.25, 0.25, 0.8),
        "cloud-d10-s0p4": (10, 1, 0.4),
        "cloud-d10-s0p8": (10, 1, 0.8),
        "cloud-d30-s0p4": (30, 3, 0.4),
        "cloud-d30-s0p8": (30, 3, 0.8),
    }


def test_a_scenario_that_no_axis_changes_stays_one_with_its_name(tmp_path: Path) -> None:
    experiment = load(listing(tmp_path, {"cloud.links.0.delay_ms": [12, 30]}))
    assert [scenario.name for scenario in experiment.scenarios] == ["edge", "cloud-d12", "cloud-d30"]


def test_a_key_without_a_scenarios_name_belongs_to_all_and_may_not_be_set_yet(tmp_path: Path) -> None:
    experiment = load(listing(tmp_path, {"requests.timeout_s": [60, 90], "function.options.folds": [2, 3]}))
    assert len(experiment.scenarios) == 8
    assert {scenario.settings["options"]["folds"] for scenario in experiment.scenarios} == {2, 3}
    assert {scenario.requests.timeout_s for scenario in experiment.scenarios} == {60, 90}


def test_values_that_make_no_names_are_numbered_and_stand_on_record(tmp_path: Path) -> None:
    long = [f"a_{'very_' * 6}long_name.{end}" for end in ("one", "two")]
    alike = ["app.words", "app_words"]
    for values in (long, alike):
        experiment = swept(tmp_path, {"function.module": values})
        assert [scenario.name for scenario in experiment.scenarios] == ["near-1", "near-2"]
        assert experiment.sweep is not None
        assert [point.values["function.module"] for point in experiment.sweep.points.values()] == values


def test_axes_that_begin_alike_have_longer_beginnings(tmp_path: Path) -> None:
    experiment = swept(
        tmp_path, {"links.0.delay_ms": [1, 5], "links.0.loss_percent": [0, 1], "links.1.limit_packets": [10, 20]}
    )
    assert experiment.scenarios[0].name == "near-d1-lo0-li10"


def test_what_a_run_writes_down_is_what_it_reads_again(tmp_path: Path) -> None:
    experiment = swept(tmp_path, DELAYS)
    (tmp_path / "scenario.yaml").write_text(resume.as_yaml(experiment), encoding="utf-8")
    assert spec.resolved(tmp_path / "scenario.yaml") == experiment
    kept = json.loads(json.dumps(manifest.sweep(experiment)))["sweep"]
    assert kept["axes"] == [{"name": "links.0.delay_ms", "values": [1, 5.5, 15]}]
    assert manifest.sweep(load("paper")) == {}


@pytest.mark.parametrize(
    ("sweep", "sentence"),
    [
        ({"links.0.delay": [1, 2]}, "sweep: links.0.delay: no such key: links.0.delay; did you mean links.0.delay_ms?"),
        ({"delay_ms": [1, 2]}, "sweep: delay_ms: no such key: delay_ms; did you mean links.0.delay_ms?"),
        ({"fuction.replicas": [1, 2]}, "sweep: fuction.replicas: no such key: .*; did you mean function.replicas?"),
        ({"links.2.delay_ms": [1, 2]}, "links has no entry 2: expected a position from 0 to 1; did you mean links.0.delay_ms?"),
        ({"links.0.delay_ms.x": [1, 2]}, "no such key: links.0.delay_ms.x"),
        ({"name": ["a", "b"]}, "sweep: name: name cannot be swept: it tells scenarios apart"),
        ({"repetitions": [1, 2]}, "sweep: repetitions: repetitions cannot be swept: it belongs to the whole run"),
        ({"links.0.delay_ms": []}, "sweep: links.0.delay_ms: no values: name at least two, or set the key in the scenario"),
        ({"links.0.delay_ms": [5]}, "sweep: links.0.delay_ms: one value, which is no sweep: name at least two"),
        ({"links.0.delay_ms": [5, 1, 5]}, "sweep: links.0.delay_ms: 5 stands twice; name each value once"),
        ({"links.0.delay_ms": 5}, "sweep: links.0.delay_ms: expected a list of values"),
        ({"data.training_shares": [[0.1], [0.2]]}, r"\[0.1\] names no point: .* have to be numbers or text"),
        ({"links.0.delay_ms": [1, float("nan")]}, "nan names no point"),
        ({}, "sweep: expected a mapping of keys to lists of values"),
        ([1, 2], "sweep: expected a mapping of keys to lists of values"),
        ({"delay": {}}, "sweep: delay: expected keys with lists of values"),
        (
            {"delay": {"links.0.delay_ms": [1, 2], "links.1.delay_ms": [1, 2, 3]}},
            "sweep: delay: links.1.delay_ms: 3 values, but links.0.delay_ms has 2: keys of one axis move together",
        ),
        ({"links.0.delay_ms": [1, 2], "again": {"links.0.delay_ms": [3, 4]}}, "again: links.0.delay_ms of scenario near is set twice"),
        ({"links.0.delay_ms": [1, 2], "all": {"links": [1, 2]}}, "all: links of scenario near is set twice"),
        ({"links.0.delay_ms": [5, -1]}, r"sweep: near at links.0.delay_ms -1: links.0.delay_ms: Input should be greater"),
        ({"links.0.delay_ms": [5, 0.5]}, "sweep: near at links.0.delay_ms 0.5: links.0: .*jitter"),
        ({"function.model": ["pac", "nosuch"]}, "sweep: near at function.model nosuch: .*nosuch"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_sentence_that_names_the_key(tmp_path: Path, sweep: Any, sentence: str) -> None:
    with pytest.raises(SpecError, match=sentence) as caught:
        swept(tmp_path, sweep)
    assert str(caught.value).startswith(f"{tmp_path / 'near.yaml'}: ")
    assert "\n" not in str(caught.value)


def test_a_million_points_are_refused_with_their_number_and_how_long_they_would_take(tmp_path: Path) -> None:
    thousand = list(range(1, 1001))
    with pytest.raises(
        SpecError, match=r"1,000,000 points, each measured 5 times, are 5,000,000 repetitions"
    ) as caught:
        swept(tmp_path, {"links.0.delay_ms": thousand, "links.1.delay_ms": thousand})
    assert "1,388.9 hours if each took a second; a run has 256 points at most" in str(caught.value)


def test_a_sweep_belongs_to_the_file_that_is_run(tmp_path: Path) -> None:
    file_of(tmp_path, DELAYS)
    path = tmp_path / "list.yaml"
    path.write_text(yaml.safe_dump({"scenarios": ["near.yaml"], "repetitions": 2}), encoding="utf-8")
    with pytest.raises(SpecError, match=r"near.yaml: sweep: belongs to a whole run; name it in .*list.yaml"):
        load(str(path))


def test_what_a_sweep_does_not_compare_cannot_be_expected_of_it(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"expect.max_time_ratio: not judged in a sweep"):
        swept(tmp_path, DELAYS, expect={"max_time_ratio": {"near-d1": 0.9}})
    swept(tmp_path, DELAYS, expect={"min_accuracy": {"near-d1": 0.5}})


def test_points_whose_links_differ_stand_on_other_nodes_and_alike_ones_share_a_service(tmp_path: Path) -> None:
    nodes = inventory({"base_stations": ("bs",), "edge": ("e1", "e2", "e3")})
    experiment = swept(tmp_path, {**DELAYS, "share": {"data.training_shares.0": [0.1, 0.4]}}, links=[NEAR["links"][0]])
    placed = place(experiment, nodes)
    assert {name: service.nodes for name, service in placed.services.items()} == {
        "near-d1-s0p1": ("e1",), "near-d1-s0p4": ("e1",), "near-d5p5-s0p1": ("e2",), "near-d5p5-s0p4": ("e2",),
        "near-d15-s0p1": ("e3",), "near-d15-s0p4": ("e3",),
    }  # fmt: skip
    assert [service["name"] for service in placed.variables()["function_services"]] == [
        "near-d1-s0p1", "near-d5p5-s0p1", "near-d15-s0p1",
    ]  # fmt: skip
    assert len({service["port"] for service in placed.variables()["function_services"]}) == 3
    assert {(link["source"], link["target"]): link["delay_ms"] for link in placed.links if link["source"] == "bs"} == {
        ("bs", "e1"): 1, ("bs", "e2"): 5.5, ("bs", "e3"): 15,
    }  # fmt: skip
    few = inventory({"base_stations": ("bs",), "edge": ("e1", "e2")})
    with pytest.raises(
        SpecError, match=r"shape the link bs -> e1 differently .* no other node for scenario near-d15-s0p1;"
    ):
        place(experiment, few)


def test_points_take_turns_as_scenarios_do(tmp_path: Path) -> None:
    experiment = swept(tmp_path, {"share": {"data.training_shares.0": [0.1, 0.2, 0.4]}})
    drawn = plan.draw(experiment, place(experiment, inventory()), run="trial", texts=40, dataset="0" * 64, seed=1)
    measured = [entry for entry in drawn.order if not entry.warmup]
    for start in range(0, len(measured), 3):
        taken = measured[start : start + 3]
        assert {entry.scenario for entry in taken} == set(experiment.sweep.points)  # type: ignore[union-attr]
        assert len({entry.repetition for entry in taken}) == 1


def test_check_tells_how_many_points_and_repetitions_there_are_and_where(tmp_path: Path) -> None:
    experiment = swept(tmp_path, {"share": {"data.training_shares.0": [0.1, 0.2, 0.4]}})
    data = dataset.load("synthetic", texts=60, seed=1)
    told = list(outlook.outlook(experiment, place(experiment, inventory()), data, 1))
    assert told[0] == "near: 3 scenarios, each 4 times and 1 warm-up before; from each of bs 15 repetitions in all"
    assert told[1] == "  axis share: 0.1, 0.2, 0.4"
    assert told[2].startswith("  3 points: 3 points of near; 0.25 minutes for each second that a repetition takes")
    assert told[3].startswith("  2 links, each shaped once and verified before and after")
    assert sum(line.startswith("near-s0p") for line in told) == 3
    assert any(
        line.startswith("near-s0p4: One node, share 0.4: 1 request, ") and line.endswith("; on edge-1") for line in told
    )


def test_the_shipped_sweep_stands_on_its_nodes_and_not_on_fewer() -> None:
    experiment = load("crossover")
    placed = place(experiment, read_inventory("crossover"))
    assert {len(service.nodes) for service in placed.services.values()} == {1, 2}
    with pytest.raises(
        SpecError,
        match="scenario cloud-d2-s0p025 needs 2 nodes in one of the groups cloud; inventory local has too few",
    ):
        place(experiment, read_inventory("local"))


def test_the_schema_knows_a_sweep(tmp_path: Path) -> None:
    for sweep in (DELAYS, {"delay": {"links.0.delay_ms": [1, 2]}}):
        jsonschema.validate({**NEAR, "sweep": sweep}, schema.schema())
    refused: list[Any] = [{"links.0.delay_ms": [1]}, {"links.0.delay_ms": 1}, {}, []]
    for wrong in refused:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**NEAR, "sweep": wrong}, schema.schema())

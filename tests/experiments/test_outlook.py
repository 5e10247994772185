"""What an experiment will do is said beforehand, and the JSON Schema knows the same keys as the checks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml
from driven import SCENARIO, counted, loaded, measured
from trial_nodes import inventory

from experiments import outlook, spec
from experiments.__main__ import main
from experiments.data import dataset
from experiments.errors import SpecError
from experiments.placement import place
from experiments.spec import schema

if TYPE_CHECKING:
    from collections.abc import Callable

Capture = pytest.CaptureFixture[str]
FILES = sorted(spec.SCENARIOS.glob("*.yaml"))
SCHEMA = Path(__file__).resolve().parents[2] / "experiments" / "scenario.schema.json"


def lines(capsys: Capture, *arguments: str) -> list[str]:
    assert main(["check", "--scenario", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def test_the_papers_experiment_is_told_with_its_bytes_by_link(capsys: Capture) -> None:
    told = lines(capsys, "paper")
    assert told[0] == ("paper: 2 scenarios, each 20 times and 1 warm-up before; from each of bs 42 repetitions in all")
    assert "  2 replicas on edge-1, edge-2, reached through edge-1 at http://198.19.0.11:31080/" in told
    data = dataset.load("synthetic", texts=dataset.TEXTS, seed=1)
    texts_mb = 0.8 * sum(len(text.encode()) for text in data.texts) / 1e6
    (edge,) = (float(line.split()[3]) for line in told if line.startswith("  bs -> edge-1: "))
    # The labels, the quotes and the positions are a few in a hundred.
    assert texts_mb < edge < 1.05 * texts_mb
    (forwarded,) = (float(line.split()[3]) for line in told if line.startswith("  edge-1 -> edge-2: "))
    assert forwarded == pytest.approx(edge / 2, rel=0.01)


def test_what_is_told_of_arrivals_is_what_the_base_station_then_does(tmp_path: Path, capsys: Capture) -> None:
    traffic = {"arrivals": "poisson", "rate_per_s": 100, "duration_s": 0.5, "max_late_ms": 60_000}
    experiment = loaded(
        tmp_path, requests={}, traffic=traffic, repetitions=1, warmups=0, workload={"name": "http", "body": '"four"'}
    )
    told = lines(capsys, str(tmp_path / "words.yaml"))
    requests, (model,), _ = measured(tmp_path, experiment, counted)
    assert model.error is None
    offsets = [(one.intended_ns - requests[0].intended_ns) / 1e9 for one in requests]
    (line,) = (line for line in told if line.startswith("  poisson, 100 a second: "))
    assert line.startswith(f"  poisson, 100 a second: {len(requests)} requests of 6 bytes, the first after ")
    first, last = (float(part.split()[0]) for part in line.split("after ")[1:])
    assert last - first == pytest.approx(offsets[-1], abs=0.001)
    assert (
        "  each repetition takes as long as its replies do, and 0.5 s at least: 0.00833 minutes or more for all 1"
        in told
    )


def test_an_inventory_that_lacks_nodes_is_named_and_a_file_is_checked(tmp_path: Path, capsys: Capture) -> None:
    assert main(["check", "--scenario", "cold", "--inventory", "local"]) == 2
    assert "scales to zero, which the platform process of inventory local cannot do" in capsys.readouterr().err
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump({**SCENARIO, "trafic": {}}), encoding="utf-8")
    assert main(["check", "--scenario", str(path)]) == 2
    assert capsys.readouterr().err == f"error: {path}: trafic: unknown key; did you mean traffic?\n"


def test_clients_that_end_after_a_while_are_told_without_a_number_of_requests(tmp_path: Path) -> None:
    experiment = loaded(tmp_path, requests={}, traffic={"arrivals": "closed", "clients": 3, "duration_s": 60})
    data = dataset.load("synthetic", texts=60, seed=1)
    told = list(outlook.outlook(experiment, place(experiment, inventory()), data, 1))
    assert any(
        line.startswith("  3 clients that wait for the reply and think 0 s, for 60 s; each request") for line in told
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_schema_takes_every_scenario_that_ships(path: Path) -> None:
    jsonschema.validate(yaml.safe_load(path.read_text("utf-8")), json.loads(SCHEMA.read_text("utf-8")))


def without_links(content: dict[str, Any]) -> None:
    del content["links"]


def misspelt(content: dict[str, Any]) -> None:
    content["function"]["replica"] = 2


def of_another_kind(content: dict[str, Any]) -> None:
    content["traffic"] = {"arrivals": "bursts"}


@pytest.mark.parametrize("damage", [without_links, misspelt, of_another_kind])
def test_the_schema_refuses_what_the_checks_refuse(damage: Callable[[dict[str, Any]], None], tmp_path: Path) -> None:
    content = yaml.safe_load((spec.SCENARIOS / "edge.yaml").read_text("utf-8"))
    damage(content)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, schema.schema())
    path = tmp_path / "damaged.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(SpecError):
        spec.load(str(path))


def test_the_schema_is_one_of_its_draft_and_as_it_is_printed(capsys: Capture) -> None:
    assert main(["schema"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(SCHEMA.read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(printed)

"""Recorded links: a table of values that becomes events, or one sentence that names the line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml
from test_events import NEAR, TO_EDGE, planned, with_events

from experiments.errors import SpecError
from experiments.spec import Experiment, load

if TYPE_CHECKING:
    from pathlib import Path


def recorded(folder: Path, table: str, **entry: Any) -> Experiment:
    (folder / "drive.csv").write_text(table, "utf-8")
    return with_events(folder, {"file": "drive.csv", "links": [TO_EDGE], **entry})


def test_each_line_is_an_event_with_its_values(tmp_path: Path) -> None:
    table = "at_s,delay_ms,loss_percent,down\n0.5,5,,\n1,7.5,0.2,false\n1.5,,,true\n2,,,\n"
    events = planned(recorded(tmp_path, table)).scenarios["near"].events
    assert [event.at_s for event in events] == [0.5, 1, 1.5, 2]
    told = [{(link.values["delay_ms"], link.values["loss_percent"]) for link in event.links} for event in events]
    assert told == [{(5, 0.1)}, {(7.5, 0.2)}, {(4, 100)}, {(4, 0.1)}]
    assert {link.shape for link in events[2].links} == {"down"}
    assert {(link.source, link.target) for link in events[0].links} == {
        ("bs", "edge-1"), ("bs", "edge-2"), ("edge-1", "bs"), ("edge-2", "bs"),
    }  # fmt: skip


def test_a_run_has_in_its_own_scenario_all_that_the_table_said(tmp_path: Path) -> None:
    experiment = recorded(tmp_path, "at_s,delay_ms\n1,5\n2,6\n")
    kept = Experiment.model_validate(experiment.model_dump(mode="json"))
    assert planned(kept) == planned(experiment)


@pytest.mark.parametrize(
    ("table", "entry", "sentence"),
    [
        ("at_s,delay_ms\n1,5\n1,6\n", {}, "drive.csv, line 3: at_s 1 after 1: a trace goes forward; sort it"),
        ("at_s,delay\n1,5\n", {}, "drive.csv, line 1: unknown column 'delay'; did you mean delay_ms?"),
        ("delay_ms\n5\n", {}, "drive.csv, line 1: expected a heading with at_s and values of links"),
        ("at_s,delay_ms\n", {}, "drive.csv, it has no lines but its heading"),
        ("at_s,delay_ms\n1\n", {}, "drive.csv, line 2: expected 2 values (at_s,delay_ms)"),
        ("at_s,delay_ms\nsoon,5\n", {}, "drive.csv, line 2: at_s 'soon': expected a number of seconds from 0 on"),
        ("at_s,delay_ms\n1,-5\n", {}, "drive.csv, line 2: delay_ms: Input should be greater than or equal to 0"),
        ("at_s,down\n1,maybe\n", {}, "drive.csv, line 2: down 'maybe': expected true or false"),
        ("at_s,down,delay_ms\n1,true,5\n", {}, "drive.csv, line 2: down: a link that is down has no delay_ms"),
        ("at_s,delay_ms\n1,5\n", {"at_s": 1}, "drive.csv, at_s: not used beside file"),
        ("at_s,delay_ms\n1,5\n", {"links": [{"delay_ms": 1}]}, "drive.csv, links: expected which ones it is about"),
        ("at_s,delay_ms\n1,5\n1.1,6\n", {}, "events: at_s 1 and 1.1 overlap, 0.2 s apart are needed"),
        ("at_s,delay_ms\n9,5\n", {}, "at_s 9 is after the last request of a repetition begins"),
    ],
)
def test_tables_that_are_none_are_one_sentence(
    tmp_path: Path, table: str, entry: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(SpecError) as raised:
        recorded(tmp_path, table, **entry)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "near.yaml"
    path.write_text(yaml.safe_dump({**NEAR, "events": [{"file": "gone.csv", "links": [TO_EDGE]}]}), "utf-8")
    with pytest.raises(SpecError, match=r"near.yaml: events\.0\.file: .*gone\.csv cannot be read"):
        load(str(path))

"""A run that is resumed keeps what was measured before and after each of its parts."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playbook_record import Recorded
from rich.console import Console
from test_resources import with_resources
from trial_nodes import inventory

from collect.folder import RunFolder, begin_part, earlier_parts, read_json, write_json
from experiments import proofs, steps
from experiments.progress import Reporter

if TYPE_CHECKING:
    from nodes.answers import Answers


class Measuring(Recorded):
    """Its verifications and calibrations say how often either was done."""

    def run(self, playbook: str, **variables: Any) -> Answers:
        number = self.names.count(playbook) + 1
        if playbook == "verify":
            write_json(Path(variables["netem_report_file"]), {"links": [{"number": number}]})
        elif playbook == "calibrate":
            replica = {"service": "edge", "cpus": 0.5, "share": round(0.5 + number / 1000, 3)}
            self._answers["function_calibration"] = {"edge-1": [replica]}
        return super().run(playbook, **variables)


@pytest.fixture
def context(tmp_path: Path) -> steps.Context:
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    playbooks = Measuring(netem_verification={}, driver_check={}, node_facts={})
    reporter = Reporter(Console(file=io.StringIO()))
    experiment = with_resources({"edge": {"cpus": 0.5}})
    return steps.Context(folder, experiment, inventory(), playbooks, reporter, "synthetic", 1)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_each_part_of_a_resumed_run_keeps_its_own_before_and_after(context: steps.Context) -> None:
    for is_cut_off in (True, False, False):
        steps.verify_links(context)
        steps.deploy_function(context)
        if not is_cut_off:
            steps.verify_links_again(context)
    for of, numbers in ((context.run.links, (1, 2, 3, 4, 5)), (context.run.resources, (1, 2, 3, 4, 5))):
        kept = earlier_parts(of)
        assert {number: list(moments) for number, moments in kept.items()} == {1: ["before"], 2: ["before", "after"]}
        in_order = [kept[1]["before"], kept[2]["before"], kept[2]["after"], of("before"), of("after")]
        assert [number_in(path) for path in in_order] == list(numbers)


def number_in(path: Path) -> int:
    """The verification or calibration that a file is of."""
    match read_json(path):
        case {"links": [{"number": int(number)}]}:
            return number
        case {"nodes": {"edge-1": [{"share": float(share)}]}}:
            return round((share - 0.5) * 1000)
    raise AssertionError(path.read_text())


def test_a_verification_after_an_earlier_part_does_not_stand_for_the_last_one(context: steps.Context) -> None:
    steps.verify_links(context)
    steps.verify_links_again(context)
    assert proofs.verified_afterwards(context.run)
    steps.verify_links(context)
    assert not proofs.verified_afterwards(context.run)


def test_nothing_that_is_kept_is_replaced(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for name in ("before", "after", "after-1", "before-2", "before-x", "before-0"):
        write_json(run.links(name), name)
    begin_part(run.links)
    assert names(run.links("before").parent) == [
        "after-1.json", "after-3.json", "before-0.json", "before-2.json", "before-3.json", "before-x.json"
    ]  # fmt: skip
    assert {number: list(moments) for number, moments in earlier_parts(run.links).items()} == {
        1: ["after"],
        2: ["before"],
        3: ["before", "after"],
    }
    assert json.loads(run.links("after-3").read_text()) == "after"
    begin_part(run.links)  # nothing was measured since
    assert len(names(run.links("before").parent)) == 6

"""The gate of replicas that have less than their node: what they have is measured, written down and judged."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from playbook_record import Recorded

from experiments import gate
from experiments.errors import RunError

if TYPE_CHECKING:
    from pathlib import Path


def answer(**shares: float) -> dict[str, list[dict[str, Any]]]:
    counters = {"periods": 30, "throttled": 29, "throttled_us": 1_400_000}
    return {
        node.replace("_", "-"): [{"service": "slow", "cpus": 0.5, "share": share, "begin": counters, "end": counters}]
        for node, share in shares.items()
    }


def test_what_each_replica_has_is_said_and_kept(tmp_path: Path) -> None:
    nodes = answer(edge_1=0.513, edge_2=0.46)
    sentences = gate.calibrate(Recorded(function_calibration=nodes), {}, tmp_path / "before.json")
    assert sentences == [
        "edge-1: slow has 0.513 CPUs, 0.5 expected",
        "edge-2: slow has 0.460 CPUs, 0.5 expected",
    ]
    assert json.loads((tmp_path / "before.json").read_text()) == {"schema": 1, "tolerance_percent": 10, "nodes": nodes}


@pytest.mark.parametrize("share", [0.44, 0.56])
def test_one_that_is_off_ends_the_run_by_name_and_stays_on_record(share: float, tmp_path: Path) -> None:
    nodes = answer(edge_1=0.5, edge_2=share)
    with pytest.raises(RunError, match=rf"^edge-2: slow has {share:.3f} CPUs, 0.5 expected: more than 10 % off; "):
        gate.calibrate(Recorded(function_calibration=nodes), {}, tmp_path / "after.json")
    assert json.loads((tmp_path / "after.json").read_text())["nodes"] == nodes


def test_a_replica_that_is_limited_in_memory_only_is_counted_and_not_judged(tmp_path: Path) -> None:
    counters = {"oom_kills": 0}
    one = {"service": "small", "cpus": None, "memory_mib": 512, "share": None, "begin": counters, "end": counters}
    nodes = {"edge-1": [one]}
    assert gate.calibrate(Recorded(function_calibration=nodes), {}, tmp_path / "before.json") == []
    assert json.loads((tmp_path / "before.json").read_text())["nodes"] == nodes

"""The project's own playbooks answer what the experiment asks for; run by real Ansible, on this machine as the node."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from typing import TYPE_CHECKING, Any

import pytest
from listener import Heard

from nodes.errors import PlaybookError
from nodes.playbooks import Playbooks

if TYPE_CHECKING:
    from pathlib import Path

HOSTS = """
nodes:
  children:
    base_stations: {hosts: {bs: {}}}
    compute: {hosts: COMPUTE}
  vars:
    ansible_connection: local
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
    data_interface: lo
    data_address: 127.0.0.1
"""
# Prints the next of the outputs in a file, and the last one from then on.
DRIVER = """
import json, pathlib, sys
file = pathlib.Path(sys.argv[1])
outputs = json.loads(file.read_text())
file.write_text(json.dumps(outputs[1:] or outputs))
print(json.dumps(outputs[0]))
"""
needs_tc = pytest.mark.skipif(shutil.which("tc") is None, reason="the playbook asks tc (Debian package iproute2)")


class Trial:
    """This machine as the base station, with a driver that prints what a test says."""

    def __init__(self, folder: Path, *outputs: dict[str, Any], compute: str = "{}") -> None:
        (folder / "hosts.yml").write_text(HOSTS.replace("COMPUTE", compute))
        (folder / "driver.py").write_text(DRIVER)
        (folder / "outputs.json").write_text(json.dumps(outputs))
        self.heard = Heard()
        self.playbooks = Playbooks(folder / "hosts.yml", self.heard)
        self.variables = {
            "faasbed_state_dir": str(folder / "state"),
            "driver_run": "trial",
            "driver_results": str(folder),
            "driver_code_dir": str(folder),
            "driver_command": [sys.executable, str(folder / "driver.py"), str(folder / "outputs.json")],
        }


def status(state: str, finished: int, error: str | None = None) -> dict[str, Any]:
    return {"state": state, "finished": finished, "total": 3, "last": None, "error": error, "lost": []}


@needs_tc
def test_facts_answers_with_the_facts_of_each_node(tmp_path: Path) -> None:
    facts = Trial(tmp_path).playbooks.run("facts")["node_facts"]["bs"]
    assert facts["kernel"] == platform.release()
    assert facts["usable_cores"] == len(os.sched_getaffinity(0))
    assert facts["iproute2"].startswith("tc utility")
    assert facts["data_address"] == "127.0.0.1"
    assert set(facts) == {
        "architecture", "cpu", "data_address", "default_congestion_control", "distribution", "distribution_version",
        "iproute2", "kernel", "memory_mib", "python", "tc", "usable_cores",
    }  # fmt: skip


@needs_tc
def test_facts_answers_with_the_cluster_by_the_one_host_that_described_it(tmp_path: Path) -> None:
    listings: tuple[dict[str, Any], ...] = ({"items": [{"metadata": {"name": "edge-1"}}]}, {"items": []})
    trial = Trial(tmp_path, *listings, compute="{edge-1: {}, edge-2: {}}")
    kubectl = {"function_kubectl": trial.variables["driver_command"], "function_kubectl_host": "edge-2"}
    answers = trial.playbooks.run("facts", function_platform="knative", **kubectl)
    assert answers["cluster"] == {"edge-1": {"nodes": [{"metadata": {"name": "edge-1"}}], "pods": []}}
    assert set(answers["node_facts"]) == {"bs", "edge-1", "edge-2"}


def test_a_measurement_tells_each_status_and_answers_with_the_last(tmp_path: Path) -> None:
    statuses = [status("starting", 0), status("running", 1), status("done", 3)]
    trial = Trial(tmp_path, *statuses)
    answers = trial.playbooks.run("measure-follow", **trial.variables)
    assert trial.heard.steps == [("bs", one) for one in statuses]
    assert answers["driver_status"] == {"bs": statuses[-1]}


def test_following_ends_in_time_with_the_measurement_still_going_on(tmp_path: Path) -> None:
    trial = Trial(tmp_path, status("running", 1))
    answers = trial.playbooks.run("measure-follow", driver_follow_s=0.1, **trial.variables)
    assert answers["driver_status"]["bs"]["state"] == "running"


def test_a_driver_that_ended_early_is_an_error_with_its_reason(tmp_path: Path) -> None:
    trial = Trial(tmp_path, status("failed", 1, "the disk is full"))
    with pytest.raises(PlaybookError, match="driver on bs ended after 1 of 3 repetitions: the disk is full"):
        trial.playbooks.run("measure-follow", **trial.variables)


def test_a_driver_that_cannot_be_asked_is_an_error_at_once(tmp_path: Path) -> None:
    trial = Trial(tmp_path)
    with pytest.raises(PlaybookError, match=r"the driver's status cannot be read .*IndexError"):
        trial.playbooks.run("measure-follow", **trial.variables)


def test_a_check_answers_with_the_node_of_each_replica(tmp_path: Path) -> None:
    replicas = {"edge": {"replica-1": "edge-1", "replica-2": "edge-2"}}
    trial = Trial(tmp_path, replicas)
    for name in ("plan.json", "dataset.json"):
        (tmp_path / name).write_text("{}")
    assert trial.playbooks.run("measure-check", **trial.variables)["driver_check"] == {"bs": replicas}

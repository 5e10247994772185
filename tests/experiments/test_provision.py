"""What a run's manifest says of the nodes that were made for it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from playbook_record import Recorded
from rich.console import Console
from trial_nodes import inventory, only

from collect.folder import RunFolder, read_json, write_json
from experiments import steps
from experiments.progress import Reporter

if TYPE_CHECKING:
    from pathlib import Path


def test_the_manifest_tells_which_artifacts_a_cluster_is_made_of_and_how_they_were_verified(tmp_path: Path) -> None:
    nodes = inventory()
    for host in nodes.variables:
        nodes.variables[host] |= {"function_platform": "knative", "lab_kind": "own"}
    run = RunFolder(tmp_path / "trial")
    run.path.mkdir()
    artifacts = {"k3s": {"sha256": "0" * 64, "origin": "put here by hand", "verified": "site's pins"}}
    playbooks = Recorded(artifacts={"localhost": artifacts})
    reporter = Reporter(Console(file=io.StringIO()))
    steps.provision(steps.Context(run, only("edge", 2), nodes, playbooks, reporter, "synthetic", 1))
    assert playbooks.names == ["lab", "platform"]
    assert read_json(run.manifest)["artifacts"] == artifacts


def test_somebody_elses_cluster_is_made_of_no_artifacts(tmp_path: Path) -> None:
    nodes = inventory()
    for host in nodes.variables:
        nodes.variables[host] |= {"function_platform": "kubernetes", "lab_kind": "own"}
    run = RunFolder(tmp_path / "trial")
    run.path.mkdir()
    steps.provision(
        steps.Context(run, only("edge", 2), nodes, Recorded(), Reporter(Console(file=io.StringIO())), "synthetic", 1)
    )
    assert "artifacts" not in read_json(run.manifest)


def test_the_warning_of_too_few_cores_tells_what_else_runs_on_the_first_node(tmp_path: Path) -> None:
    warning = "2 cores for 4 busy parts: edge-1 and cloud-1 share core 0; parts that are busy slow each other down."
    (tmp_path / "lab").mkdir()
    write_json(tmp_path / "lab" / "nodes.json", {"warning": warning})
    nodes = inventory()
    for host in nodes.variables:
        nodes.variables[host] |= {
            "function_platform": "knative",
            "lab_kind": "containers",
            "lab_dir": str(tmp_path / "lab"),
        }
    told = {}
    for platform in ("knative", "kubernetes", "process"):
        for host in nodes.variables:
            nodes.variables[host]["function_platform"] = platform
        run = RunFolder(tmp_path / platform)
        run.path.mkdir()
        output = io.StringIO()
        reporter = Reporter(Console(file=output, width=500))
        playbooks = Recorded(artifacts={"localhost": {}})
        playbooks.warnings = [f"edge-1: {warning}", "edge-2: another one"]
        steps.provision(steps.Context(run, only("edge", 2), nodes, playbooks, reporter, "synthetic", 1))
        told[platform] = output.getvalue()
        own, *others = read_json(run.manifest)["warnings"]
        assert others == ["edge-2: another one"]
        assert own.startswith(warning)
    assert f"{warning} edge-1 also runs the k3s server, Knative and its activator." in told["knative"]
    assert f"{warning} edge-1 also runs the k3s server.\n" in told["kubernetes"]
    assert told["process"] == ""

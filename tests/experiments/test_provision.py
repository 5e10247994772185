"""What a run's manifest says of the nodes that were made for it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from playbook_record import Recorded
from rich.console import Console
from trial_nodes import inventory, only

from collect.folder import RunFolder, read_json
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

"""What a manifest keeps of what playbooks returned."""

from __future__ import annotations

import json

from experiments.manifest import cluster


def returned(items: list[dict[str, object]]) -> dict[str, dict[str, object]]:
    return {"edge-1": {"stdout": json.dumps({"items": items})}}


def test_of_a_cluster_the_manifest_keeps_versions_and_where_each_image_runs() -> None:
    info = {
        "kubeletVersion": "v1.34.3+k3s1",
        "containerRuntimeVersion": "containerd://2.1.5",
        "kernelVersion": "6.1",
        "osImage": "Debian",
        "bootID": "changes with every start",
    }
    pod = {
        "metadata": {"namespace": "faasbed", "name": "edge-1", "labels": {}},
        "spec": {"nodeName": "edge-2", "containers": [{"image": "dev.local/function@sha256:0"}]},
    }
    found = cluster(
        {
            "List the cluster's nodes": returned([{"metadata": {"name": "edge-1"}, "status": {"nodeInfo": info}}]),
            "List the cluster's pods": returned([pod]),
        }
    )
    assert found["nodes"]["edge-1"]["kubeletVersion"] == "v1.34.3+k3s1"
    assert "bootID" not in found["nodes"]["edge-1"]
    assert found["pods"]["faasbed/edge-1"] == {
        "node": "edge-2",
        "images": ["dev.local/function@sha256:0"],
        "version": None,
    }


def test_without_a_cluster_there_is_nothing_to_keep() -> None:
    assert cluster({"Gathering Facts": {"edge-1": {}}}) == {}

"""What a manifest keeps of a cluster."""

from __future__ import annotations

from experiments.manifest import cluster


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
    nodes = [{"metadata": {"name": "edge-1"}, "status": {"nodeInfo": info}}]
    kept = cluster({"edge-1": {"nodes": nodes, "pods": [pod]}})
    assert kept["nodes"]["edge-1"]["kubeletVersion"] == "v1.34.3+k3s1"
    assert "bootID" not in kept["nodes"]["edge-1"]
    assert kept["pods"]["faasbed/edge-1"] == {
        "node": "edge-2",
        "images": ["dev.local/function@sha256:0"],
        "version": None,
    }

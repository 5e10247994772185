"""The function as plain Deployments on a real cluster: pinned, spread, behind a gateway that takes its replicas in turn."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

import pytest
from cluster import NODES, SERVER, Cluster
from deployed import CONNECT, Deployed
from testbed import changed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from image import BuiltImage

pytestmark = pytest.mark.lab(judges_links=False)

NOTHING = dict.fromkeys(NODES, 0)
SERVICES = [
    {"name": "edge", "nodes": ["edge-1", "edge-2"], "gateway": "edge-1", "port": 31080},
    {"name": "cloud", "nodes": ["cloud-1"], "gateway": "cloud-1", "port": 31081},
]
PAIRS = 50


def listed(cluster: Cluster) -> set[str]:
    """What a cluster has of what the role makes."""
    kinds = "namespaces,deployments,services,configmaps,networkpolicies"
    return set(cluster.kubectl("get", kinds, "--all-namespaces", "--output", "name").split())


@pytest.fixture(scope="module")
def deployed(cluster: Cluster, function_image: BuiltImage) -> Iterator[Deployed]:
    """Both of the paper's services; afterwards the cluster has what it had before."""
    before = listed(cluster)
    function = Deployed(cluster, function_image, "kubernetes", SERVICES)
    assert changed(function.play())[SERVER] > 0
    yield function
    assert changed(function.play(function_action="remove"))[SERVER] > 0
    assert listed(cluster) == before
    assert changed(function.play(function_action="remove")) == NOTHING


def test_a_second_run_and_a_dry_one_change_nothing(deployed: Deployed) -> None:
    assert changed(deployed.play()) == NOTHING
    assert changed(deployed.play("--check", "--diff")) == NOTHING


def test_replicas_and_gateways_run_by_their_digests_on_their_nodes_as_nobody(deployed: Deployed) -> None:
    for role, expected in (
        ("replica", [("cloud", "cloud-1"), ("edge", "edge-1"), ("edge", "edge-2")]),
        ("gateway", [("cloud", "cloud-1"), ("edge", "edge-1")]),
    ):
        pods = deployed.pods(role)
        places = [(pod["metadata"]["labels"]["faasbed.io/service"], pod["spec"]["nodeName"]) for pod in pods]
        assert sorted(places) == expected
        for pod in pods:
            (container,) = pod["spec"]["containers"]
            assert "@sha256:" in container["image"]
            assert role == "gateway" or container["image"].endswith(f"@{deployed.digest}")
            assert container["securityContext"]["readOnlyRootFilesystem"]
            assert pod["spec"]["securityContext"]["runAsNonRoot"]


def test_parallel_requests_are_served_by_separate_replicas_each_time(deployed: Deployed) -> None:
    met = [sorted(reply["node"] for reply in deployed.ask("edge-1", "any", 2)) for _ in range(PAIRS)]
    assert met == [["edge-1", "edge-2"]] * PAIRS
    assert [reply["node"] for reply in deployed.ask("cloud-1", "any", 1)] == ["cloud-1"]


def test_a_gateway_listens_on_its_own_node_and_replicas_answer_nobody_else(deployed: Deployed) -> None:
    lab = deployed.cluster.lab
    address = {node: lab.data_address(place) for place, node in enumerate(("bs", *NODES))}
    doors = [f"{address[node]}:{port}" for node in NODES for port in (31080, 31081)]
    replicas = {pod["status"]["podIP"]: pod["spec"]["nodeName"] for pod in deployed.pods()}
    routes = [f"{replica} via {address[node]}" for replica, node in replicas.items()]
    lab.ssh("bs", "; ".join(f"ip route replace {route}" for route in routes)).check_returncode()
    try:
        words = ["python3", "-c", CONNECT, *doors, *(f"{replica}:8080" for replica in replicas)]
        taken = json.loads(lab.ssh("bs", shlex.join(words)).stdout)
        assert taken == [f"{address['edge-1']}:31080", f"{address['cloud-1']}:31081"]
    finally:
        lab.ssh("bs", "; ".join(f"ip route delete {route}" for route in routes)).check_returncode()


def test_the_congestion_control_of_live_connections_is_checked(deployed: Deployed) -> None:
    deployed.ask("edge-1", "any", 2)
    deployed.ask("cloud-1", "any", 1)
    assert changed(deployed.play(function_action="check")) == NOTHING
    other = [service | {"congestion_control": "reno"} for service in deployed.variables["function_services"]]
    refused = deployed.play(function_action="check", function_services=other)
    assert refused.returncode != 0
    assert "edge: the gateway's connections to its replicas do not use reno" in " ".join(refused.stdout.split())


def test_a_replica_that_was_killed_is_replaced_and_the_gateway_finds_it(deployed: Deployed) -> None:
    victim = next(pod["metadata"]["name"] for pod in deployed.pods() if pod["spec"]["nodeName"] == "edge-2")
    deployed.cluster.kubectl("delete", "pod", victim, "--namespace", "faasbed", "--grace-period=0", "--force")
    assert changed(deployed.play()) == NOTHING  # waits until the gateway reaches each replica, and no other
    assert victim not in [pod["metadata"]["name"] for pod in deployed.pods()]
    assert sorted(reply["node"] for reply in deployed.ask("edge-1", "any", 2)) == ["edge-1", "edge-2"]


def test_gpus_are_refused_by_name_where_there_are_none_and_scheduled_where_there_are(deployed: Deployed) -> None:
    kubectl, resource = deployed.cluster.kubectl, "example.com/gpu"
    services = [service | {"gpus": 1} for service in deployed.variables["function_services"]]
    settings = {"function_services": services, "function_gpu_resource": resource}

    def offer(count: int | None, *nodes: str) -> None:
        for node in nodes:
            patch = json.dumps(
                {"status": {name: {resource: count and str(count)} for name in ("capacity", "allocatable")}}
            )
            kubectl("patch", "node", node, "--subresource=status", "--type=merge", "--patch", shlex.quote(patch))

    offer(1, "edge-1", "cloud-1")
    try:
        refused = deployed.play(**settings)
        assert refused.returncode != 0
        sentence = f"edge needs 1 {resource} on each of its nodes, which edge-2 cannot give"
        assert sentence in " ".join(refused.stdout.split())
        offer(1, "edge-2")
        assert changed(deployed.play(**settings))[SERVER] > 0
        for pod in deployed.pods():
            (container,) = pod["spec"]["containers"]
            assert container["resources"]["limits"][resource] == "1"
        assert sorted(reply["node"] for reply in deployed.ask("edge-1", "any", 2)) == ["edge-1", "edge-2"]
    finally:
        offer(None, "edge-1", "edge-2", "cloud-1")
    assert changed(deployed.play())[SERVER] > 0


def test_a_service_that_is_gone_is_removed(deployed: Deployed) -> None:
    edge = [service for service in deployed.variables["function_services"] if service["name"] == "edge"]
    foretold = deployed.play("--check", function_services=edge)
    assert changed(foretold)[SERVER] == 1
    assert {pod["metadata"]["labels"]["faasbed.io/service"] for pod in deployed.pods()} == {"edge", "cloud"}
    assert changed(deployed.play(function_services=edge))[SERVER] == 1
    assert {pod["metadata"]["labels"]["faasbed.io/service"] for pod in deployed.pods()} == {"edge"}
    assert changed(deployed.play())[SERVER] > 0

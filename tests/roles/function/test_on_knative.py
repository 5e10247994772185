"""The function on a real cluster: by its digest, one replica a node, each parallel request at a replica of its own."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Any

import pytest
from cluster import NODES, SERVER, Cluster, artifacts
from deployed import CONNECT, Deployed
from replica import eventually
from testbed import ROOT, changed, run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from image import BuiltImage

pytestmark = pytest.mark.lab(judges_links=False)

NOTHING = dict.fromkeys(NODES, 0)
SERVICES = [
    {"name": "edge", "nodes": ["edge-1", "edge-2"], "gateway": "edge-1", "port": 31080},
    {"name": "cloud", "nodes": ["cloud-1"], "gateway": "cloud-1", "port": 31080},
]
# Of a replica: queue-proxy's for requests (HTTP/1, HTTP/2, TLS), its own (admin, two of metrics), and the function's.
PORTS = (8012, 8013, 8112, 8022, 9090, 9091, 8080)


@pytest.fixture(scope="module")
def deployed(cluster: Cluster, function_image: BuiltImage) -> Iterator[Deployed]:
    """Both of the paper's services, on a cluster that has Knative for as long."""
    if not (artifacts() / "serving-core.yaml").exists():
        pytest.skip(f"Knative needs {artifacts()}/serving-core.yaml (make artifacts)")
    changed(cluster.lab.playbook("playbooks/knative.yml"))
    function = Deployed(cluster, function_image, "knative", SERVICES)
    assert changed(function.play())[SERVER] > 0
    yield function
    assert changed(function.play(function_action="remove"))[SERVER] > 0
    assert changed(function.play(function_action="remove")) == NOTHING
    changed(cluster.lab.playbook("playbooks/knative.yml", "-e", "knative_action=remove"))


def test_a_second_run_and_a_dry_one_change_nothing(deployed: Deployed) -> None:
    assert changed(deployed.play()) == NOTHING
    assert changed(deployed.play("--check", "--diff")) == NOTHING


def test_a_dry_run_shows_what_another_setting_would_change(deployed: Deployed) -> None:
    foretold = deployed.play("--check", "--diff", function_resources={"requests": {"cpu": "50m"}})
    assert changed(foretold)[SERVER] == 1
    assert "50m" in foretold.stdout


def test_every_replica_runs_the_image_that_was_built_on_its_node_as_nobody(deployed: Deployed) -> None:
    pods = deployed.pods()
    where = sorted((pod["metadata"]["labels"]["serving.knative.dev/service"], pod["spec"]["nodeName"]) for pod in pods)
    assert where == [("cloud", "cloud-1"), ("edge", "edge-1"), ("edge", "edge-2")]
    for pod in pods:
        (container,) = (one for one in pod["spec"]["containers"] if one["name"] == "function")
        assert container["image"].endswith(f"@{deployed.digest}")
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert pod["spec"]["securityContext"]["runAsNonRoot"]


def test_parallel_requests_meet_a_replica_each_and_the_clouds_one_stays_on_its_node(deployed: Deployed) -> None:
    for _ in range(3):
        replies = deployed.ask("edge-1", "edge.faasbed.local", 2)
        assert sorted(reply["node"] for reply in replies) == ["edge-1", "edge-2"]
    assert [reply["node"] for reply in deployed.ask("cloud-1", "cloud.faasbed.local", 1)] == ["cloud-1"]


def test_replicas_answer_the_gateway_and_no_other_pod_or_node(deployed: Deployed) -> None:
    lab, kubectl = deployed.cluster.lab, deployed.cluster.kubectl
    pods = deployed.pods()
    node_of = {pod["status"]["podIP"]: pod["spec"]["nodeName"] for pod in pods}
    gateways = json.loads(kubectl("get", "pods", "--namespace", "kourier-system", "--output", "json"))["items"]
    way_of = {pod["status"]["podIP"]: pod["spec"]["nodeName"] for pod in gateways} | node_of
    control = f"{next(address for address in way_of if address not in node_of)}:8080"  # nothing guards a gateway
    doors = [f"{address}:{port}" for address in node_of for port in PORTS]
    (image,) = {one["image"] for pod in pods for one in pod["spec"]["containers"] if one["name"] == "function"}

    # a pod of another namespace, on each node
    kubectl("create", "namespace", "elsewhere")
    try:
        for node in NODES:
            pod = {"spec": {"nodeName": node, "tolerations": [{"operator": "Exists"}]}}
            words = ["python3", "-c", CONNECT, *doors, control]
            about = [
                f"--image={image}",
                "--image-pull-policy=Never",
                "--restart=Never",
                f"--overrides={json.dumps(pod)}",
            ]
            command = ["k3s", "kubectl", "--namespace=elsewhere", "run", node, *about, "--command", "--", *words]
            lab.ssh(SERVER, shlex.join(command)).check_returncode()
        kubectl(
            "--namespace=elsewhere",
            "wait",
            "pods",
            "--all",
            "--for=jsonpath={.status.phase}=Succeeded",
            "--timeout=180s",
        )
        assert {node: json.loads(kubectl("--namespace=elsewhere", "logs", node)) for node in NODES} == {
            node: [control] for node in NODES
        }
    finally:
        kubectl("delete", "namespace", "elsewhere")

    # the nodes themselves: a replica's own node has to reach it, as its kubelet asks whether it is ready
    for node in NODES:
        taken = json.loads(lab.ssh(node, shlex.join(["python3", "-c", CONNECT, *doors, control])).stdout)
        assert {node_of[door.rpartition(":")[0]] for door in taken if door != control} == {node} & set(node_of.values())
        assert control in taken

    # a node of the data network that is no part of the cluster, and knows the way to its pods
    routes = [f"{address} via {lab.data_address(('bs', *NODES).index(node))}" for address, node in way_of.items()]
    lab.ssh("bs", "; ".join(f"ip route replace {route}" for route in routes)).check_returncode()
    try:
        taken = json.loads(lab.ssh("bs", shlex.join(["python3", "-c", CONNECT, *doors, control])).stdout)
        assert taken == [control]
    finally:
        lab.ssh("bs", "; ".join(f"ip route delete {route}" for route in routes)).check_returncode()
    assert len(deployed.ask("edge-1", "edge.faasbed.local", 2)) == 2


def test_what_listens_is_what_the_security_page_lists(deployed: Deployed) -> None:
    listed = {
        (protocol, port) for port, protocol in re.findall(r"(\d+)/(tcp|udp)", (ROOT / "SECURITY.md").read_text("utf-8"))
    }
    for node in ("bs", *NODES):
        for line in deployed.cluster.lab.ssh(node, "ss", "-Hltun").stdout.splitlines():
            protocol, _, _, _, local, *_ = line.split()
            address, _, port = local.rpartition(":")
            if not address.startswith(("127.", "[::1]")):
                assert (protocol, port) in listed, f"{node}: {line}"


def test_a_replica_that_was_killed_is_replaced_on_its_node(deployed: Deployed) -> None:
    victim = next(pod["metadata"]["name"] for pod in deployed.pods() if pod["spec"]["nodeName"] == "edge-2")
    deployed.cluster.kubectl("delete", "pod", victim, "--namespace", "faasbed", "--grace-period=0", "--force")
    assert changed(deployed.play()) == NOTHING  # waits until the service is ready and each replica on its node
    assert victim not in [pod["metadata"]["name"] for pod in deployed.pods()]

    def met() -> list[str]:
        return sorted(reply["node"] for reply in deployed.ask("edge-1", "edge.faasbed.local", 2))

    # The activator hears of a replica that is ready a moment after the cluster.
    eventually(lambda: met() == ["edge-1", "edge-2"], "a request at each replica")


def test_a_node_that_dies_costs_errors_but_no_hang_and_serves_again_when_it_is_back(deployed: Deployed) -> None:
    lab = deployed.cluster.lab
    assert run(["podman", "kill", lab.namespace("edge-2")]).returncode == 0
    try:
        # Each is answered within the client's two minutes: by the replica that is left, or with a gateway's error.
        replies = deployed.send("edge-1", "edge.faasbed.local", 2)
        assert len(replies) == 2
        assert {status for status, _ in replies} <= {200, 502, 503, 504}
        assert {json.loads(text)["node"] for status, text in replies if status == 200} <= {"edge-1"}
    finally:
        assert lab.make().returncode == 0
    changed(deployed.cluster.provision())
    changed(deployed.play())  # waits until the service is ready and each replica on its node
    assert sorted(reply["node"] for reply in deployed.ask("edge-1", "edge.faasbed.local", 2)) == ["edge-1", "edge-2"]


def test_what_cannot_run_is_refused_in_a_sentence(deployed: Deployed) -> None:
    def refusal(**variables: Any) -> str:
        done = deployed.play(**variables)
        assert done.returncode != 0
        return " ".join(done.stdout.split())

    slow = [{**service, "timeout_s": 601} for service in deployed.variables["function_services"]]
    assert "timeout_s may be at most 600 (the limit of Knative), it is more in edge, cloud" in refusal(
        function_services=slow
    )
    assert "No image of the function at /nowhere.tar: build it with `make image`" in refusal(
        function_image_archive="/nowhere.tar"
    )
    assert "function_image registry/name:latest has no digest" in refusal(
        function_image_archive="", function_image="registry/name:latest"
    )

"""What the role asks a cluster for on the platform kubernetes, and how it waits for a gateway; kubectl is one that writes down."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from itertools import cycle
from typing import TYPE_CHECKING, Any

import function_reached
import pytest
import yaml
from loopback import serving
from testbed import BIN, ROOT, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DIGEST = f"sha256:{'7' * 64}"
SERVICES: list[dict[str, Any]] = [
    {"name": "edge", "nodes": ["edge-1", "edge-2"], "gateway": "edge-1", "port": 31080, "congestion_control": "cubic"},
    {"name": "cloud", "nodes": ["cloud-1"], "gateway": "cloud-1", "port": 31081, "congestion_control": "reno"},
]
# As kubelet writes it for a pod.
RESOLVER = "search faasbed.svc.cluster.local svc.cluster.local cluster.local\nnameserver 127.0.0.1\noptions ndots:5\n"
# Answers as a cluster that has nothing yet, and keeps what is applied.
KUBECTL = """#!/bin/sh
echo "$@" >> "$0.asked"
case "$*" in
  *diff*) cat > /dev/null; exit 1 ;;
  *apply*) cat > "$0.applied" ;;
  *"get services"*) cat "$0.services" ;;
  *"get nodes"*) cat "$0.nodes" ;;
  *"rollout status"*) [ ! -e "$0.unready" ] ;;
  *"get pods"*) [ ! -e "$0.unready" ] || cat "$0.unready" ;;
esac
"""


class Asked:
    """The role on three hosts that are this machine, with such a kubectl."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kubectl = folder / "kubectl"
        self._kubectl.write_text(KUBECTL, "utf-8")
        self._kubectl.chmod(0o755)
        self.exposed()
        here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        hosts = {name: here | {"data_address": f"192.0.2.{11 + place}"} for place, name in enumerate(self.nodes)}
        groups: dict[str, Any] = {
            "edge": {"hosts": {"edge-1": {}, "edge-2": {}}},
            "cloud": {"hosts": {"cloud-1": {}}},
        }
        inventory = {"all": {"hosts": hosts, "children": {"compute": {"children": groups}}}}
        (folder / "hosts.yml").write_text(yaml.safe_dump(inventory), "utf-8")

    nodes = ("edge-1", "edge-2", "cloud-1")

    def exposed(self, *ports: int) -> None:
        """Have a service of somebody else's with these ports on the nodes."""
        service = {
            "metadata": {"namespace": "kourier-system", "name": "kourier"},
            "spec": {"ports": [{"port": 80, "nodePort": port} for port in ports]},
        }
        headless = {"metadata": {"namespace": "other", "name": "headless"}, "spec": {"clusterIP": "None"}}
        self._kubectl.with_name("kubectl.services").write_text(json.dumps({"items": [service, headless]}), "utf-8")

    def unready(self, *pods: str) -> None:
        """Have services that become not ready, as the cluster says of these pods."""
        self._kubectl.with_name("kubectl.unready").write_text("".join(f"{pod}\n" for pod in pods), "utf-8")

    def offers(self, **gpus: int) -> None:
        """Have the cluster's nodes offer so many of example.com/gpu."""
        nodes = [
            {"metadata": {"name": name}, "status": {"allocatable": {"cpu": "2", "example.com/gpu": str(count)}}}
            for name, count in gpus.items()
        ]
        bare = {"metadata": {"name": "cloud-1"}, "status": {"allocatable": {"cpu": "2"}}}
        self._kubectl.with_name("kubectl.nodes").write_text(json.dumps({"items": [*nodes, bare]}), "utf-8")

    def services(self, **variables: Any) -> subprocess.CompletedProcess[str]:
        """Take the role's tasks that apply the services, with what its tasks/kubernetes/deploy.yml gives them."""
        deploy = yaml.safe_load((ROOT / "roles/function/tasks/kubernetes/deploy.yml").read_text("utf-8"))
        (given,) = (task["vars"] for task in deploy if task["ansible.builtin.include_tasks"] == "services.yml")
        return self._take({"tasks_from": "kubernetes/services"}, given, variables)

    def deployed(self, **variables: Any) -> subprocess.CompletedProcess[str]:
        """Take all that deploys."""
        return self._take({}, {"function_platform": "kubernetes"}, variables)

    def _take(
        self, tasks: dict[str, str], given: dict[str, Any], variables: dict[str, Any]
    ) -> subprocess.CompletedProcess[str]:
        task = {"ansible.builtin.include_role": {"name": "function"} | tasks, "vars": given}
        playbook = self._folder / "play.yml"
        playbook.write_text(yaml.safe_dump([{"hosts": "compute", "gather_facts": False, "tasks": [task]}]), "utf-8")
        settings = {
            "function_kubectl": [str(self._kubectl)],
            "function_services": [service | {"timeout_s": 300} for service in SERVICES],
            "function_image_archive": "",
            "function_image": f"registry.example/function@{DIGEST}",
            "function_gateway_image": f"registry.example/envoy@{DIGEST}",
            "function_dir": str(self._folder / "function"),
            # This cluster has no replicas: who waits for them waits as long as it may.
            "function_ready_timeout_s": 3,
        }
        command = [str(BIN / "ansible-playbook"), "-i", str(self._folder / "hosts.yml"), str(playbook)]
        return run([*command, "-e", json.dumps(settings | variables)], cwd=ROOT)

    def applied(self, **variables: Any) -> dict[tuple[str, str], dict[str, Any]]:
        """What the cluster is asked to have, by kind and name."""
        done = self.services(**variables)
        assert done.returncode == 0, done.stdout
        objects = list(yaml.safe_load_all(self._kubectl.with_name("kubectl.applied").read_text("utf-8")))
        return {(one["kind"], one["metadata"]["name"]): one for one in objects}

    def calls(self) -> list[str]:
        return self._kubectl.with_name("kubectl.asked").read_text("utf-8").splitlines()


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    return Asked(tmp_path)


def test_replicas_are_pinned_to_their_nodes_one_each_and_answer_the_gateway_only(asked: Asked) -> None:
    objects = asked.applied()
    assert {kind for kind, _ in objects} == {"Namespace", "NetworkPolicy", "Deployment", "Service", "ConfigMap"}
    for service in SERVICES:
        labels = {"faasbed.io/service": service["name"], "faasbed.io/role": "replica"}
        deployment = objects["Deployment", str(service["name"])]["spec"]
        pod = deployment["template"]
        assert deployment["replicas"] == len(service["nodes"])
        assert deployment["selector"]["matchLabels"] == pod["metadata"]["labels"] == labels
        affinity = pod["spec"]["affinity"]
        (term,) = affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
        assert term["matchExpressions"][0]["values"] == service["nodes"]
        (apart,) = affinity["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert apart == {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": labels}}
        (container,) = pod["spec"]["containers"]
        assert container["image"] == f"registry.example/function@{DIGEST}"
        assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": 8080}
        found = objects["Service", f"{service['name']}-replicas"]["spec"]
        assert (found["clusterIP"], found["selector"]) == ("None", labels)
    policy = objects["NetworkPolicy", "replicas"]["spec"]
    assert policy["podSelector"]["matchLabels"] == {"faasbed.io/role": "replica"}
    assert policy["ingress"] == [
        {
            "from": [{"podSelector": {"matchLabels": {"faasbed.io/role": "gateway"}}}],
            "ports": [{"port": 8080, "protocol": "TCP"}],
        }
    ]


def test_a_gateway_has_its_nodes_address_and_a_configuration_that_envoy_takes(asked: Asked, tmp_path: Path) -> None:
    objects = asked.applied()
    for service in SERVICES:
        name = f"{service['name']}-gateway"
        pod = objects["Deployment", name]["spec"]["template"]
        (term,) = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
            "nodeSelectorTerms"
        ]
        assert term["matchExpressions"][0]["values"] == [service["gateway"]]
        (container,) = pod["spec"]["containers"]
        assert container["image"] == f"registry.example/envoy@{DIGEST}"
        exposed = objects["Service", str(service["name"])]["spec"]
        assert (exposed["type"], exposed["externalTrafficPolicy"]) == ("NodePort", "Local")
        assert exposed["ports"][0]["nodePort"] == service["port"]
        assert exposed["selector"] == pod["metadata"]["labels"]
        configuration = objects["ConfigMap", name]["data"]["envoy.yaml"]
        (tmp_path / "envoy.yaml").write_text(configuration, "utf-8")
        command = [str(BIN / "envoy"), "--mode", "validate", "--config-path", str(tmp_path / "envoy.yaml")]
        checked = subprocess.run(command, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr
        (cluster,) = yaml.safe_load(configuration)["static_resources"]["clusters"]
        assert cluster["lb_policy"] == "ROUND_ROBIN"
        assert cluster["circuit_breakers"]["per_host_thresholds"] == [{"max_connections": 1}]
        (endpoints,) = cluster["load_assignment"]["endpoints"]
        (endpoint,) = endpoints["lb_endpoints"]
        assert endpoint["endpoint"]["address"]["socket_address"]["address"] == f"{service['name']}-replicas"


@pytest.mark.lab(judges_links=False)
def test_a_gateway_finds_replicas_by_name_also_later_ones_and_parallel_requests_meet_one_each(
    asked: Asked, tmp_path: Path
) -> None:
    if os.geteuid() != 0:
        pytest.skip("a network namespace needs root")
    configuration = asked.applied()["ConfigMap", "edge-gateway"]["data"]["envoy.yaml"]
    of_the_pod, here = '"0.0.0.0", port_value: 8080', '"0.0.0.0", port_value: 8081'  # the replicas have 8080 here
    assert of_the_pod in configuration
    (tmp_path / "envoy.yaml").write_text(configuration.replace(of_the_pod, here), "utf-8")
    (tmp_path / "resolv.conf").write_text(RESOLVER, "utf-8")
    program = "ip link set lo up && mount --bind $0 /etc/resolv.conf && exec $@"
    command = ["unshare", "--net", "--mount", "sh", "-c", program, str(tmp_path / "resolv.conf"), sys.executable]
    script = ROOT / "tests" / "roles" / "function" / "found_by_name.py"
    done = run([*command, str(script), str(BIN / "envoy"), str(tmp_path / "envoy.yaml")])
    assert done.returncode == 0, done.stderr
    met = json.loads(done.stdout)
    assert met["pairs"] == [["127.0.0.2", "127.0.0.3"]] * len(met["pairs"])
    assert met["named"] is None  # what is measured has no header more


def test_another_configuration_is_another_gateway(asked: Asked) -> None:
    def annotation(**variables: Any) -> str:
        pod = asked.applied(**variables)["Deployment", "edge-gateway"]["spec"]["template"]
        return str(pod["metadata"]["annotations"]["faasbed.io/configuration"])

    assert annotation() == annotation()
    slower = [service | {"timeout_s": 400} for service in SERVICES]
    assert annotation(function_services=slower) != annotation()


def test_services_that_are_gone_are_removed_and_each_deployment_is_waited_for(asked: Asked) -> None:
    asked.applied()
    assert any(
        "delete deployments,services,configmaps --selector=faasbed.io/service,faasbed.io/service notin (edge,cloud)"
        in call
        for call in asked.calls()
    )
    assert any(
        "rollout status deployments --selector=faasbed.io/service --timeout=3s" in call for call in asked.calls()
    )


def test_what_cannot_run_is_refused_in_a_sentence(asked: Asked) -> None:
    def refusal(**variables: Any) -> str:
        done = asked.deployed(**variables)
        assert done.returncode != 0, done.stdout
        return " ".join(done.stdout.split())

    same = [service | {"port": 31080, "timeout_s": 300} for service in SERVICES]
    assert "two services have the same port" in refusal(function_services=same)
    sentence = "function_gateway_image registry.example/envoy:v1 has no digest: run `make artifacts`"
    assert sentence in refusal(function_gateway_image="registry.example/envoy:v1")
    unknown = [service | {"congestion_control": "nosuch", "timeout_s": 300} for service in SERVICES]
    assert "edge-1 does not let pods use nosuch" in refusal(function_services=unknown)
    asked.exposed(31080, 31443)
    assert "kourier-system/kourier of this cluster has a port of function_services (31080, 31081)" in refusal()


def test_services_whose_nodes_lack_gpus_are_refused_by_name_and_others_have_them(asked: Asked) -> None:
    services = [service | {"gpus": 2, "timeout_s": 300} for service in SERVICES]
    settings = {"function_services": services, "function_gpu_resource": "example.com/gpu"}
    asked.offers(**{"edge-1": 2, "edge-2": 1})
    done = asked.deployed(**settings)
    assert done.returncode != 0
    printed = " ".join(done.stdout.split())
    assert "edge needs 2 example.com/gpu on each of its nodes, which edge-2 cannot give" in printed
    assert "cloud needs 2 example.com/gpu on each of its nodes, which cloud-1 cannot give" in printed
    assert not any("apply" in call for call in asked.calls())
    (container,) = asked.applied(**settings)["Deployment", "edge"]["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"] == {"memory": "2Gi", "example.com/gpu": 2}


def test_replicas_with_less_than_their_node_have_it_as_limits_and_reserve_no_more_than_others(asked: Asked) -> None:
    edge, cloud = (service | {"timeout_s": 300} for service in SERVICES)
    applied = asked.applied(function_services=[edge | {"cpus": 0.5, "memory_mib": 1024}, cloud])
    limited, whole = (
        applied["Deployment", name]["spec"]["template"]["spec"]["containers"][0]["resources"]
        for name in ("edge", "cloud")
    )
    assert limited == {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"cpu": "500m", "memory": "1024Mi"}}
    assert whole == {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}}


def test_why_services_are_not_ready_is_what_the_cluster_says_of_their_replicas(asked: Asked) -> None:
    asked.unready(
        "edge-1a2b:   ", "edge-3c4d: 0/3 nodes are available: 2 Insufficient cpu. ", "cloud-5e6f:  ImagePullBackOff"
    )
    done = asked.services()
    assert done.returncode == 2
    expected = (
        "not ready after 3 s. edge-3c4d: 0/3 nodes are available: 2 Insufficient cpu.; cloud-5e6f:  ImagePullBackOff"
    )
    assert expected in done.stdout


@contextmanager
def gateway(*replicas: str, status: int = 200, header: str = function_reached.HEADER) -> Iterator[int]:
    """A gateway that asks its replicas in turn; its port."""
    turn = cycle(replicas)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header(header, f"{next(turn)}:8080")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            """Leave the test's output alone."""

    with serving(Handler) as port:
        yield port


@pytest.mark.parametrize(
    ("behind", "reason"),
    [
        (("10.42.0.7", "10.42.1.4"), None),
        (("10.42.0.7",), "it reaches 10.42.0.7"),
        (("10.42.0.7", "10.42.1.4", "10.42.1.3"), "it reaches 10.42.0.7, 10.42.1.3, 10.42.1.4"),
        (("somewhere",), "it does not say which replica it asked (x-faasbed-replica)"),
    ],
)
def test_a_gateway_reaches_its_replicas_when_each_of_them_and_no_other_answers(
    behind: tuple[str, ...], reason: str | None
) -> None:
    with gateway(*behind) as port:
        assert function_reached.unreached("127.0.0.1", port, ["10.42.0.7", "10.42.1.4"]) == reason


def test_a_gateway_that_asks_a_replica_that_is_gone_is_not_there_yet() -> None:
    with gateway("10.42.0.7", status=503) as port:
        assert function_reached.unreached("127.0.0.1", port, ["10.42.0.7"]) == "it answers 503: "


def test_replicas_are_compared_as_addresses() -> None:
    with gateway("[fd00:42::7]") as port:
        assert function_reached.unreached("127.0.0.1", port, ["fd00:42:0::7"]) is None

"""The role on a real cluster: it serves the first time, stays as it is, says what is wrong, and goes."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from cluster import NODES, SERVER, Cluster, artifacts, binary
from testbed import changed

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.lab(judges_links=False)

PLAYBOOK = "playbooks/knative.yml"
KINDS = "namespaces,customresourcedefinitions,clusterroles,clusterrolebindings,mutatingwebhookconfigurations"
NOTHING = dict.fromkeys(NODES, 0)


def install(cluster: Cluster, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the playbook, as a user would."""
    return cluster.lab.playbook(PLAYBOOK, *arguments)


def refusal(finished: subprocess.CompletedProcess[str]) -> str:
    """The output of a run that had to fail, in one line."""
    assert finished.returncode != 0, finished.stdout
    return " ".join((finished.stdout + finished.stderr).split())


def everything(cluster: Cluster) -> set[str]:
    """The names of what Knative adds to a cluster, and of what was there."""
    return set(cluster.kubectl("get", KINDS, "--output", "name").split())


def nodes_of(cluster: Cluster, namespace: str) -> dict[str, str]:
    """The node of each running pod of a namespace."""
    pods = json.loads(cluster.kubectl("get", "pods", "-n", namespace, "-o", "json"))["items"]
    return {
        pod["metadata"]["name"]: pod["spec"]["nodeName"] for pod in pods if "deletionTimestamp" not in pod["metadata"]
    }


def answer(cluster: Cluster, node: str) -> str:
    """The status that a node's address answers a request of the base station with, as curl-like text."""
    asked = f"http://{json.loads(cluster.kubectl('get', 'node', node, '-o', 'json'))['status']['addresses'][0]['address']}:31080/"
    program = (
        "import sys, urllib.request, urllib.error\n"
        "try: print(urllib.request.urlopen(sys.argv[1], timeout=3).status)\n"
        "except urllib.error.HTTPError as error: print(error.code)\n"
        "except OSError as error: print(type(error).__name__)\n"
    )
    done = cluster.lab.ssh("bs", f"python3 -c '{program}' {asked}")
    return done.stdout.strip()


@pytest.fixture(scope="module")
def knative(cluster: Cluster) -> Iterator[Cluster]:
    """The session's cluster with Knative on it, which was not there before and is not after."""
    if not (artifacts() / "serving-core.yaml").exists():
        pytest.skip(f"Knative needs {artifacts()}/serving-core.yaml (make artifacts)")
    before = everything(cluster)
    installed = install(cluster)
    assert changed(installed)[SERVER] == 1
    assert "TASK [knative : Ask every gateway for the service]" in installed.stdout
    yield cluster
    assert changed(install(cluster, "-e", "knative_action=remove"))[SERVER] == 1
    assert everything(cluster) == before
    assert changed(install(cluster, "-e", "knative_action=remove")) == NOTHING


def test_a_second_run_and_a_dry_one_change_nothing(knative: Cluster) -> None:
    assert changed(install(knative)) == NOTHING
    assert changed(install(knative, "--check", "--diff")) == NOTHING


def test_a_dry_run_shows_what_another_setting_would_change_and_changes_nothing(knative: Cluster) -> None:
    foretold = install(knative, "--check", "--diff", "-e", "knative_domain=another.local")
    assert changed(foretold)[SERVER] == 1
    assert "ConfigMap knative-serving/config-domain" in foretold.stdout
    assert changed(install(knative)) == NOTHING


def test_gateways_stand_where_requests_arrive_and_all_else_on_the_server(knative: Cluster) -> None:
    assert sorted(nodes_of(knative, "kourier-system").values()) == ["cloud-1", "edge-1"]
    for namespace in ("knative-serving", "kube-system"):
        assert set(nodes_of(knative, namespace).values()) == {SERVER}


def test_a_gateways_node_answers_and_another_one_does_not(knative: Cluster) -> None:
    assert [answer(knative, node) for node in ("edge-1", "cloud-1")] == ["404", "404"]
    assert answer(knative, "edge-2") not in ("404", "200", "503")


def test_an_image_that_cannot_be_had_is_named_with_pod_and_node(knative: Cluster) -> None:
    message = refusal(install(knative, "-e", f"knative_envoy_sha256={'0' * 64}", "-e", "knative_wait_s=90"))
    assert "kourier-system/3scale-kourier-gateway: " in message
    assert "docker.io/envoyproxy/envoy@sha256:0000" in message
    assert changed(install(knative))[SERVER] == 1
    assert changed(install(knative)) == NOTHING


def test_a_node_that_the_cluster_does_not_have_is_named(knative: Cluster) -> None:
    message = refusal(install(knative, "-e", json.dumps({"knative_gateway_nodes": ["edge-9"]})))
    assert "The cluster has no node edge-9, it has cloud-1, edge-1, edge-2." in message


def test_a_cluster_that_kubeconfig_names_is_used_as_it_is(
    knative: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # k3s is kubectl if it is called kubectl.
    (tmp_path / "kubectl").symlink_to(binary())
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("K3S_DATA_DIR", str(tmp_path / "data"))
    done = knative.lab.playbook(
        "playbooks/platform.yml", "-e", "function_platform=knative", "-e", f"kubeconfig={knative.kubeconfig}"
    )
    assert changed(done) == NOTHING
    assert "roles/k3s/tasks" not in done.stdout
    assert "roles/knative/tasks/ready.yml" in done.stdout


def test_release_files_that_are_missing_are_named(cluster: Cluster, tmp_path: Path) -> None:
    message = refusal(install(cluster, "-e", f"knative_artifacts_dir={tmp_path}"))
    assert f"{tmp_path} lacks serving-crds.yaml, serving-core.yaml, kourier.yaml; run `make artifacts`" in message

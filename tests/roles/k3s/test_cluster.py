"""The role on real nodes: a cluster that comes up, stays, changes one node at a time, and says what is wrong."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from cluster import AGENTS, NODES, SERVER, Cluster, adopt, adopted, binary
from testbed import changed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.lab(judges_links=False)

UNIT = "faasbed-k3s"


def message_of(finished: subprocess.CompletedProcess[str]) -> str:
    """The output of a run that had to fail, in one line."""
    assert finished.returncode != 0, finished.stdout
    return " ".join((finished.stdout + finished.stderr).split())


@pytest.fixture(scope="module")
def absent(cluster: Cluster) -> Iterator[str]:
    """An agent that was taken out of the cluster for the last tests here, and joins again after them."""
    node = "edge-2"
    changed(cluster.remove("--limit", node))
    yield node
    joined = cluster.provision()
    assert changed(joined)[node] > 0
    assert set(cluster.nodes()) == set(NODES)


# Being a cluster


def test_every_compute_node_is_ready_and_labelled_by_its_place(cluster: Cluster) -> None:
    nodes = cluster.nodes()
    assert set(nodes) == set(NODES)
    for name, node in nodes.items():
        ready = [one["status"] for one in node["status"]["conditions"] if one["type"] == "Ready"]
        assert ready == ["True"]
        labels = node["metadata"]["labels"]
        assert labels["faasbed.io/group"] == ("cloud" if name == "cloud-1" else "edge")
        assert labels["faasbed.io/host"] == name


def test_a_second_run_changes_nothing_and_a_dry_one_says_so(cluster: Cluster) -> None:
    assert changed(cluster.provision()) == dict.fromkeys(NODES, 0)
    assert changed(cluster.provision("--check", "--diff")) == dict.fromkeys(NODES, 0)
    changing = ("-e", json.dumps({"k3s_agent_config": {"kubelet-arg": ["max-pods=99"]}}))
    foretold = cluster.provision("--check", "--diff", *changing)
    assert changed(foretold)[SERVER] == 0
    assert "+- max-pods=99" in foretold.stdout
    assert changed(cluster.provision()) == dict.fromkeys(NODES, 0)


def test_the_token_is_a_secret_of_files(cluster: Cluster) -> None:
    token = cluster.token_file.read_text("utf-8")
    assert len(token) >= 32
    assert token not in cluster.output
    for path in (cluster.token_file, cluster.kubeconfig):
        assert path.stat().st_mode & 0o777 == 0o600
    for node in NODES:
        assert cluster.lab.ssh(node, "stat", "-c", "%a", "/etc/rancher/k3s/token").stdout == "600\n"
        told = cluster.lab.ssh(
            node, f"journalctl --unit {UNIT} --no-pager; cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ"
        )
        assert UNIT in told.stdout
        assert token not in told.stdout


def test_the_kubeconfig_names_the_server_where_it_is_reached(cluster: Cluster) -> None:
    assert f"https://{cluster.lab.management_address(1)}:6443" in cluster.kubeconfig.read_text("utf-8")
    names = cluster.lab.ssh(
        SERVER,
        f"openssl s_client -connect {cluster.lab.management_address(1)}:6443 < /dev/null 2> /dev/null"
        " | openssl x509 -noout -ext subjectAltName",
    ).stdout
    assert f"IP Address:{cluster.lab.management_address(1)}" in names


def started(cluster: Cluster) -> dict[str, float]:
    """When each node's k3s was started, in seconds since 1970."""
    show = f"systemctl show {UNIT} --timestamp=unix -P ExecMainStartTimestamp"
    return {node: float(cluster.lab.ssh(node, show).stdout.strip().lstrip("@")) for node in NODES}


def test_another_binary_and_setting_restart_one_node_at_a_time(cluster: Cluster, tmp_path: Path) -> None:
    first = started(cluster)
    folder = adopted(cluster.artifacts, tmp_path / "artifacts")
    # Zeros behind an ELF file's end make another file of it, which does the same.
    name = binary().name
    content = (folder / name).read_bytes() + bytes(4)
    (folder / name).unlink()
    (folder / name).write_bytes(content)
    adopt(folder)
    settings = {
        "k3s_artifacts_dir": str(folder),
        "k3s_server_config": {"kubelet-arg": ["max-pods=99"]},
        "k3s_agent_config": {"kubelet-arg": ["max-pods=98"]},
    }
    assert all(changed(cluster.provision("-e", json.dumps(settings))).values())
    second = started(cluster)
    assert all(second[node] > first[node] for node in NODES)
    assert min(second.values()) == second[SERVER]
    assert len(set(second.values())) == len(NODES)
    pods = {name: node["status"]["capacity"]["pods"] for name, node in cluster.nodes().items()}
    assert pods == {SERVER: "99"} | dict.fromkeys(AGENTS, "98")
    assert all(changed(cluster.provision()).values())
    assert changed(cluster.provision()) == dict.fromkeys(NODES, 0)


def test_a_node_whose_k3s_stopped_is_started(cluster: Cluster) -> None:
    cluster.lab.ssh("cloud-1", "systemctl", "stop", UNIT)
    assert changed(cluster.provision()) == dict.fromkeys(NODES, 0) | {"cloud-1": 1}


# Leaving it


def test_a_node_that_leaves_is_as_before_and_forgotten(cluster: Cluster) -> None:
    foretold = cluster.remove("--limit", "edge-2", "--check", "--diff")
    assert "+stop faasbed-k3s" in foretold.stdout
    assert set(cluster.nodes()) == set(NODES)
    try:
        changed(cluster.remove("--limit", "edge-2"))
        assert set(cluster.nodes()) == set(NODES) - {"edge-2"}
        assert cluster.snapshot("edge-2") - cluster.before["edge-2"] == set()
        assert cluster.before["edge-2"] - cluster.snapshot("edge-2") == set()
        assert changed(cluster.remove("--limit", "edge-2"))["edge-2"] == 0
    finally:
        assert changed(cluster.provision())["edge-2"] > 0


def test_a_node_that_was_made_anew_joins_under_its_old_name(cluster: Cluster, tmp_path: Path) -> None:
    # The server hears nothing of it: the node is told that it is a cluster of its own.
    alone = {
        "k3s_servers": ["edge-2"],
        "k3s_kubeconfig": str(tmp_path / "kubeconfig"),
        "k3s_token_file": str(tmp_path / "token"),
    }
    changed(cluster.remove("--limit", "edge-2", "-e", json.dumps(alone)))
    assert "edge-2" in cluster.nodes()
    assert changed(cluster.provision())["edge-2"] > 0
    assert changed(cluster.provision()) == dict.fromkeys(NODES, 0)


def test_a_reset_leaves_every_node_as_before_and_all_of_it_works_again(cluster: Cluster) -> None:
    reset = ("playbooks/reset.yml", "-e", "lab_kind=own")
    try:
        changed(cluster.lab.playbook(*reset))
        assert {node: cluster.snapshot(node) ^ cluster.before[node] for node in NODES} == {
            node: set() for node in NODES
        }
        assert set(changed(cluster.lab.playbook(*reset)).values()) == {0}
    finally:
        assert all(changed(cluster.provision()).values())


# Refusing


def test_clocks_an_hour_apart_are_refused_with_both_names(cluster: Cluster) -> None:
    skewed = {"k3s_controller_time_s": "{{ now().timestamp() + (3600 if inventory_hostname == 'cloud-1' else 0) }}"}
    refused = message_of(cluster.provision("-e", json.dumps(skewed)))
    assert "The clocks of cloud-1 and edge-" in refused
    assert "differ by" in refused


def test_what_is_in_the_way_is_named_all_at_once(cluster: Cluster, absent: str) -> None:
    with listening(cluster, absent, 10250):
        variables = {"k3s_disk_mib": 10**8, "k3s_agent_memory_mib": 10**8, "k3s_data_interface": "eth9"}
        refused = message_of(cluster.provision("--limit", absent, "-e", json.dumps(variables)))
    assert f"{absent} cannot be part of the cluster: " in refused
    assert "port 10250/tcp (kubelet) is in use by python3 (pid " in refused
    assert "MiB free under /var/lib, 100000000 MiB required (k3s_disk_mib)" in refused
    assert "MiB of memory, 100000000 MiB required (k3s_agent_memory_mib)" in refused
    assert "its interface eth9 does not have the address" in refused


@contextmanager
def listening(cluster: Cluster, node: str, port: int) -> Iterator[None]:
    """Another program that has a port of a node."""
    program = f"import socket; s = socket.create_server(('0.0.0.0', {port})); print(flush=True); input()"
    command = ["podman", "exec", "--interactive", cluster.lab.namespace(node), "python3", "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        other.stdout.readline()
        try:
            yield
        finally:
            other.communicate("\n")


def test_a_wrong_token_is_named(cluster: Cluster, absent: str) -> None:
    refused = message_of(cluster.provision("--limit", absent, "-vvv", "-e", "k3s_token=NotTheTokenOfThisCluster"))
    assert f"{absent} does not join: its token is wrong: the server refuses it" in refused
    assert "Its k3s reports: " in refused
    assert "Its k3s reports: nothing" not in refused


def test_a_server_out_of_reach_is_named(cluster: Cluster, absent: str) -> None:
    server = cluster.lab.data_address(1)
    cluster.lab.ssh(absent, "ip", "route", "add", "unreachable", server)
    try:
        refused = message_of(cluster.provision("--limit", absent))
    finally:
        cluster.lab.ssh(absent, "ip", "route", "delete", "unreachable", server)
    assert f"{absent} cannot reach the server at {server}:6443 (No route to host)" in refused

"""What the role's modules make of what a node says: no node is needed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import k3s_artifacts
import k3s_preflight
import k3s_share
import pytest
from ansible.module_utils.k3s import api, firewall, journal, machine

SHARE = Path(__file__).resolve().parents[3] / "roles/k3s/files/share.py"


# The machine


def test_a_port_is_taken_by_who_listens_on_it_and_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        (sentence,) = machine.taken([machine.Port(port, "tcp", "kubelet")])
        assert sentence.startswith(f"port {port}/tcp (kubelet) is in use by ")
        assert "(pid " in sentence
    assert machine.taken([machine.Port(port, "tcp", "kubelet")]) == []


def test_a_connection_from_a_port_is_no_listener_but_a_udp_socket_is() -> None:
    table = (
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        "   0: 0100007F:192B 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 77 1\n"
    )
    assert machine.sockets_on(table, 0x192B, listening=True) == []
    assert machine.sockets_on(table, 0x192B, listening=False) == ["77"]


def test_what_a_container_may_not_do_is_read_from_its_first_process() -> None:
    assert machine.may_raise_limits("Name:\tinit\nCapBnd:\t000001ffffffffff\n")
    assert not machine.may_raise_limits("Name:\tinit\nCapBnd:\t000001fffeffffff\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="raw sockets need root")
def test_ip_sets_are_asked_of_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    ipset = shutil.which("ipset")
    if ipset is None:
        pytest.skip("what the kernel has is compared with what ipset says")
    assert machine.has_ip_sets() == (
        subprocess.run([ipset, "list", "-name"], check=False, capture_output=True).returncode == 0
    )
    monkeypatch.setattr(machine, "SO_IP_SET", machine.SO_IP_SET + 1)  # which no part of the kernel knows
    assert not machine.has_ip_sets()


def test_a_route_to_some_network_is_no_default_route() -> None:
    head = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
    assert not machine.default_route(f"{head}data0\t004DC6C6\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n")
    assert machine.default_route(f"{head}data0\t00000000\t014DC6C6\t0003\t0\t0\t0\t00000000\t0\t0\t0\n")


def test_a_controller_that_is_switched_off_does_not_count() -> None:
    table = "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t1\t10\t1\nmemory\t4\t115\t0\n"
    assert machine.controllers_of(table) == {"cpu"}


def test_a_file_that_did_not_change_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "k3s"
    file.write_bytes(b"binary")
    expected = hashlib.sha256(b"binary").hexdigest()
    sums = machine.Sums(tmp_path / "sums.json")
    assert sums.of(file) == expected
    sums.remember(file, expected)
    again = machine.Sums(tmp_path / "sums.json")
    monkeypatch.setattr(machine, "sha256_of", lambda _: pytest.fail("read again"))
    assert again.of(file) == expected
    monkeypatch.undo()
    file.write_bytes(b"another")
    assert again.of(file) == hashlib.sha256(b"another").hexdigest()
    assert again.of(tmp_path / "absent") is None


# The journal


@pytest.mark.parametrize(
    ("line", "words", "lasting"),
    [
        (
            'level=error msg="Failed to validate connection to cluster: dial tcp: connect: connection refused"',
            "does not reach the server",
            False,
        ),
        (
            'level=error msg="Failed to validate connection to cluster at https://198.19.2.11:6443: not authorized"',
            "its token is wrong",
            True,
        ),
        (
            'level=info msg="Waiting to retrieve agent configuration; server is not ready: failed to retrieve: not authorized"',
            "its token is wrong",
            True,
        ),
        ('level=fatal msg="Node password rejected, duplicate hostname or contents of ..."', "Node password", True),
        ('level=fatal msg="listen tcp :6443: bind: address already in use"', "one of its ports", True),
        ('level=fatal msg="unable to find interface eth9: route ip+net: no such network interface"', "flannel", True),
    ],
)
def test_k3s_words_are_told_as_a_cause(line: str, words: str, lasting: bool) -> None:
    cause = journal.explain(['level=info msg="Starting k3s agent"', line])
    assert cause is not None
    assert words in cause.sentence
    assert cause.lasting is lasting


def test_words_that_are_no_complaint_are_no_cause() -> None:
    assert journal.explain(['level=info msg="not authorized is what I would say"', "token"]) is None
    assert journal.explain([]) is None


def test_the_last_words_quoted_are_those_that_complain() -> None:
    lines = ["level=info msg=a", "level=error msg=b", "level=info msg=c", "level=error msg=b"]
    assert journal.quoted(lines) == "level=error msg=b"
    assert journal.quoted(["level=info msg=a"]) == "level=info msg=a"
    assert journal.shortened('time="2026-11-24T13:26:31Z" level=error msg="x"') == 'level=error msg="x"'


def test_what_k3s_wrote_before_it_was_restarted_is_no_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    written = {"first": 'level=error msg="not authorized"', "second": 'level=error msg="no route to host"'}
    invocation = "first"

    def attempt(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        output = ""
        if arguments[:3] == ("show", "--property", "InvocationID"):
            output = invocation
        elif program == "journalctl":
            output = next(line for name, line in written.items() if arguments[-1] == f"_SYSTEMD_INVOCATION_ID={name}")
        return subprocess.CompletedProcess([program, *arguments], 0, output, "")

    monkeypatch.setattr(journal, "attempt", attempt)
    waiting = journal.Watch("faasbed-k3s")
    waiting.look()
    assert waiting.cause is not None
    assert waiting.cause.lasting
    restarted = journal.Watch("faasbed-k3s", restart=True)
    restarted.look()
    assert restarted.invocation is None
    assert restarted.cause is None, "what ended, or is about to, still writes"
    invocation = "second"
    assert restarted.invocation == "second"
    restarted.look()
    assert restarted.cause is not None
    assert not restarted.cause.lasting


# The firewall

SAVED_MARKED = '-A INPUT -m comment --comment "KUBE-ROUTER rule to explicitly ACCEPT traffic" -m mark --mark 0x20000/0x20000 -j ACCEPT'
SAVED = f"""\
*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:CNI-PODMAN - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-MARK-MASQ - [0:0]
:MINE - [0:0]
-A PREROUTING -m comment --comment "kubernetes -j ACCEPT here" -j KUBE-SERVICES
-A PREROUTING -j CNI-PODMAN
-A PREROUTING -j MINE
-A MINE -m comment --comment "not to KUBE-SERVICES" -j RETURN
-A KUBE-SERVICES -j KUBE-MARK-MASQ
COMMIT
*filter
:INPUT ACCEPT [0:0]
{SAVED_MARKED}
-A INPUT -m comment --comment "of mine, not of KUBE-ROUTER" -j ACCEPT
-A INPUT -j ACCEPT
COMMIT
"""


def test_only_a_clusters_chains_and_what_leads_to_them_go() -> None:
    assert firewall.removal_of(SAVED, {"CNI-PODMAN"}).splitlines() == [
        "*nat",
        "-F KUBE-SERVICES",
        "-F KUBE-MARK-MASQ",
        '-D PREROUTING -m comment --comment "kubernetes -j ACCEPT here" -j KUBE-SERVICES',
        "-X KUBE-SERVICES",
        "-X KUBE-MARK-MASQ",
        "COMMIT",
        "*filter",
        SAVED_MARKED.replace("-A", "-D"),
        "COMMIT",
    ]
    assert "KUBE-ROUTER" not in firewall.removal_of(SAVED, {"CNI-PODMAN", "KUBE-ROUTER-INPUT"}), "of another cluster"


def test_the_kernel_takes_what_removes_the_chains(tmp_path: Path) -> None:
    if os.geteuid() != 0 or shutil.which("iptables-restore") is None:
        pytest.skip("trying chains needs root and iptables")
    (tmp_path / "saved").write_text(SAVED, "utf-8")
    (tmp_path / "removal").write_text(firewall.removal_of(SAVED, {"CNI-PODMAN"}), "utf-8")
    script = "iptables-restore < saved && iptables-restore --noflush < removal && iptables-save"
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    left = {line for line in done.stdout.splitlines() if line.startswith("-A")}
    gone = {
        line
        for line in SAVED.splitlines()
        if line.endswith((" KUBE-SERVICES", " KUBE-MARK-MASQ")) or '"KUBE-ROUTER ' in line
    }
    assert left == {line for line in SAVED.splitlines() if line.startswith("-A")} - gone
    assert ":KUBE-" not in done.stdout


# The API's words


def node(status: str, heard: str) -> dict[str, object]:
    condition = {"type": "Ready", "status": status, "lastHeartbeatTime": heard, "reason": "R", "message": "m"}
    return {"status": {"conditions": [condition]}}


def test_ready_counts_only_when_it_was_said_after_the_start() -> None:
    heard_s = 1700000000
    assert api.why_not_ready(node("True", "2023-11-14T22:13:20Z"), heard_s) is None
    assert api.why_not_ready(node("True", "2023-11-14T22:13:20Z"), heard_s + 60) is not None
    assert api.why_not_ready(node("False", "2023-11-14T22:13:20Z")) == "R: m"
    assert api.why_not_ready({"status": {}}) == "its kubelet has not reported yet"


# The artifacts


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Artifacts of two files, as `make artifacts` records them."""
    record(tmp_path, "k3s", b"binary")
    record(tmp_path, "k3s-airgap-images-amd64.tar.zst", b"images")
    return tmp_path


def record(folder: Path, name: str, content: bytes, verified: str = "pinned") -> None:
    """Put a file into a folder and into its artifacts.json."""
    (folder / name).write_bytes(content)
    path = folder / "artifacts.json"
    records = json.loads(path.read_text("utf-8")) if path.exists() else {}
    sha256 = hashlib.sha256(content).hexdigest()
    records[name] = {"url": f"https://a.example/{name}", "sha256": sha256, "origin": "here", "verified": verified}
    path.write_text(json.dumps(records), "utf-8")


ARCHIVES = ["knative-images-{arch}.tar.zst"]


def test_a_folder_that_is_whole_gives_what_a_node_gets(folder: Path) -> None:
    first = k3s_artifacts.files_of(folder, "amd64", ARCHIVES, "")
    assert [one["name"] for one in first] == ["k3s", "k3s-airgap-images-amd64.tar.zst"]
    assert {(one["origin"], one["verified"]) for one in first} == {("here", "pinned")}
    record(folder, "knative-images-amd64.tar.zst", b"more")
    last = k3s_artifacts.files_of(folder, "amd64", ARCHIVES, "")[-1]
    assert (last["first"], last["sha256"]) == (False, hashlib.sha256(b"more").hexdigest())


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda folder: (folder / "k3s").write_bytes(b"tampered"), "k3s was changed after it was verified: sha256 "),
        (lambda folder: (folder / "k3s").unlink(), "has no k3s, which the nodes of architecture amd64 need"),
        (lambda folder: (folder / "artifacts.json").unlink(), "k3s was never verified: artifacts.json beside it"),
        (lambda folder: (folder / "artifacts.json").write_text("[1]", "utf-8"), "artifacts.json cannot be read"),
        (lambda folder: (folder / "k3s-airgap-images-amd64.tar.zst").unlink(), "would pull images from the network"),
        (
            lambda folder: (folder / "knative-images-amd64.tar.zst").write_bytes(b"more"),
            "knative-images-amd64.tar.zst was never verified",
        ),
        (lambda folder: record(folder, "k3s", b"binary", verified=""), "k3s was never verified"),
    ],
    ids=["tampered", "no binary", "no records", "no JSON", "no images", "an archive beside it", "a record of old"],
)
def test_a_folder_that_is_not_whole_is_refused_with_what_to_do(folder: Path, spoil: object, sentence: str) -> None:
    spoil(folder)  # type: ignore[operator]
    with pytest.raises(k3s_artifacts.ArtifactError, match=sentence) as refused:
        k3s_artifacts.files_of(folder, "amd64", ARCHIVES, "")
    assert "make artifacts" in str(refused.value)


def test_where_nodes_may_download_the_release_says_what_is_due(folder: Path, tmp_path: Path) -> None:
    (folder / "sha256sum-amd64.txt").write_text(f"{hashlib.sha256(b'binary').hexdigest()}  k3s\n", "utf-8")
    records = k3s_artifacts.files_of(tmp_path / "empty", "amd64", ARCHIVES, folder.as_uri())
    assert [(one["url"], one["sha256"]) for one in records] == [
        (f"{folder.as_uri()}/k3s", hashlib.sha256(b"binary").hexdigest())
    ]
    with pytest.raises(k3s_artifacts.ArtifactError, match="correct k3s_release_url"):
        k3s_artifacts.files_of(tmp_path / "empty", "amd64", ARCHIVES, (folder / "absent").as_uri())
    with pytest.raises(k3s_artifacts.ArtifactError, match="is not HTTPS, so anybody on the way could replace k3s"):
        k3s_artifacts.files_of(tmp_path / "empty", "amd64", ARCHIVES, "http://192.0.2.1/releases")


# Sharing


def test_a_shared_file_is_given_by_its_word_only_and_until_the_end(tmp_path: Path) -> None:
    (tmp_path / "k3s").write_bytes(b"binary" * 1000)
    path = str(tmp_path / "k3s")
    urls, server = k3s_share.begin("127.0.0.1", SHARE.read_text("utf-8"), [path], 30)
    port = int(urls[path].split(":")[2].split("/")[0])
    try:
        assert asked(port, "/" + urls[path].split("/", 3)[3]) == (200, b"binary" * 1000)
        for guess in ("/", "/x/0", "/../etc/passwd"):
            assert asked(port, guess)[0] == 404
    finally:
        k3s_share.end(server.pid)
        server.wait(timeout=10)
    with pytest.raises(ConnectionRefusedError):
        asked(port, "/")


def asked(port: int, path: str) -> tuple[int, bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def test_ending_a_share_ends_no_other_process() -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        k3s_share.end(other.pid)
        assert other.poll() is None
        other.kill()


# The preflight


@pytest.fixture
def fit(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A node that has all that a server needs, and what is asked of it."""
    answers = {
        "cgroups": (2, {"cpu", "cpuset", "memory", "pids", "io"}),
        "memory_mib": 4096,
        "lacking_features": [],
        "network_of": "198.19.2.0/24",
        "default_route": True,
        "resolves": True,
        "not_yet_installed": [],
    }
    for name, answer in answers.items():
        monkeypatch.setattr(k3s_preflight, name, lambda *_, answer=answer: answer)
    monkeypatch.setattr(k3s_preflight.platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(k3s_preflight, "runs_systemd", lambda: True)
    return {
        "node": "edge-1",
        "server": True,
        "unit": "faasbed-k3s",
        "state_dir": "/nowhere",
        "interface": "data0",
        "address": "198.19.2.11",
        "backend": "vxlan",
        "version": "v1.35.0+k3s1",
        "memory_mib": 1024,
        "disk_mib": 3072,
    }


def test_a_node_that_has_all_is_not_refused(fit: dict[str, Any]) -> None:
    assert k3s_preflight.obstacles(fit, active=False) == []


@pytest.mark.parametrize(
    ("lacks", "sentence"),
    [
        ({"cgroups": (1, {"cpu", "cpuset", "memory", "pids"})}, "version 1, which kubelet 1.35 refuses; use k3s 1.34"),
        ({"cgroups": (2, {"cpu", "cpuset", "pids"})}, "controllers memory disabled; add cgroup_enable=memory"),
        ({"memory_mib": 900}, "900 MiB of memory, 1024 MiB required (k3s_server_memory_mib)"),
        ({"default_route": False}, "no default route"),
        ({"resolves": False}, "to its /etc/hosts"),
        ({"network_of": None}, "its interface data0 does not have the address 198.19.2.11"),
        ({"runs_systemd": False}, "does not run systemd"),
    ],
    ids=["cgroup v1", "no memory controller", "memory", "route", "name", "address", "systemd"],
)
def test_what_a_node_lacks_is_one_sentence_with_what_to_do(
    fit: dict[str, Any], monkeypatch: pytest.MonkeyPatch, lacks: dict[str, Any], sentence: str
) -> None:
    for name, answer in lacks.items():
        monkeypatch.setattr(k3s_preflight, name, lambda *_, answer=answer: answer)
    (obstacle,) = k3s_preflight.obstacles(fit, active=False)
    assert sentence in obstacle


def test_a_strange_processor_and_a_name_that_kubernetes_refuses(
    fit: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(k3s_preflight.platform, "machine", lambda: "riscv64")
    obstacles = k3s_preflight.obstacles(fit | {"node": "Edge_1"}, active=False)
    assert [sentence.split(";")[0] for sentence in obstacles] == [
        "Kubernetes accepts names of lower-case letters, digits, dots and hyphens only",
        "its architecture is riscv64",
    ]


def test_control_groups_of_version_1_do_for_the_kubelet_before(
    fit: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(k3s_preflight, "cgroups", lambda: (1, {"cpu", "cpuset", "memory", "pids"}))
    assert k3s_preflight.obstacles(fit | {"version": "v1.34.3+k3s1"}, active=False) == []

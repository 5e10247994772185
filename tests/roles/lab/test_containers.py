"""The lab of podman containers, made for real: systemd nodes reached by SSH, repaired, and gone without a trace."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from ansible.module_utils.lab.containers import CAPABILITIES, missing_cgroups, other_labs
from replica import eventually
from testbed import PAPER_NODES, TrialLab, changed, run, trial_lab

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.lab(judges_links=False)

NODES = [name for names in PAPER_NODES.values() for name in names]
# linux/capability.h
CAPABILITY_NUMBERS = {
    "CHOWN": 0, "DAC_OVERRIDE": 1, "DAC_READ_SEARCH": 2, "FOWNER": 3, "FSETID": 4, "KILL": 5, "SETGID": 6, "SETUID": 7,
    "SETPCAP": 8, "NET_BIND_SERVICE": 10, "NET_ADMIN": 12, "NET_RAW": 13, "SYS_CHROOT": 18, "SYS_PTRACE": 19,
    "SYS_ADMIN": 21, "SYS_NICE": 23, "MKNOD": 27, "AUDIT_WRITE": 29, "SETFCAP": 31, "SYSLOG": 34,
}  # fmt: skip
SHARED = ("vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops", "net/ipv4/tcp_allowed_congestion_control")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrialLab]:
    """Where four containers are to stand."""
    missing = [name for name in ("podman", "runc", "mmdebstrap") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"nodes that are containers need {', '.join(missing)}")
    with trial_lab(tmp_path_factory.mktemp("containers"), "containers") as lab:
        yield lab


@dataclass(frozen=True)
class Made:
    """What making the containers changed, by host, and the kernel's settings and control groups before that."""

    changed: dict[str, int]
    settings: dict[str, str]
    missing_cgroups: tuple[str, ...]


@pytest.fixture(scope="module")
def made(place: TrialLab) -> Made:
    """The four containers are made once for all tests here, of which the last removes them."""
    before, cgroups = settings(), missing_cgroups()
    return Made(changed(place.make()), before, cgroups)


@pytest.fixture
def nodes(place: TrialLab, made: Made) -> TrialLab:
    """The lab in which they stand."""
    assert made
    return place


def containers(lab: TrialLab) -> dict[str, str]:
    """The lab's containers and their states, as podman tells them."""
    listed = json.loads(run(["podman", "ps", "--all", "--format", "json"]).stdout or "[]")
    return {entry["Names"][0]: entry["State"] for entry in listed if entry["Names"][0].startswith(f"{lab.prefix}-")}


def settings() -> dict[str, str]:
    return {name: (Path("/proc/sys") / name).read_text("ascii").strip() for name in SHARED}


def test_nodes_of_containers_stand_and_a_second_run_changes_nothing(nodes: TrialLab, made: Made) -> None:
    assert made.changed["localhost"] in (1, 2)  # with the root file system, where it was not built before
    assert [made.changed[node] for node in NODES] == [0] * len(NODES)
    assert containers(nodes) == {nodes.namespace(node): "running" for node in NODES}

    assert nodes.ssh("edge-1", "cat", "/proc/1/comm").stdout == "systemd\n"
    assert nodes.ssh("edge-1", "systemctl", "--failed", "--no-legend").stdout == ""
    assert nodes.ssh("edge-1", "hostname").stdout == "edge-1\n"
    assert nodes.ssh("edge-1", "ping", "-c", "1", "-W", "2", "cloud-1").returncode == 0
    assert "default dev data0" in nodes.ssh("bs", "ip", "route").stdout
    listening = nodes.ssh("edge-1", "ss", "-Hltn").stdout.split()
    assert [word for word in listening if word.endswith(":22")] == [f"{nodes.management_address(1)}:22"]
    assert changed(nodes.make()) == {"localhost": 0, **dict.fromkeys(NODES, 0)}


def test_a_node_that_stopped_starts_again_with_its_files(nodes: TrialLab) -> None:
    known = (nodes.folder / "known_hosts").read_text("utf-8")
    nodes.ssh("edge-2", "touch", "/root/kept")
    assert run(["podman", "kill", nodes.namespace("edge-2")]).returncode == 0
    output = nodes.make("--check", "--diff").stdout
    assert "start edge-2" in output
    assert "start edge-1" not in output
    assert changed(nodes.make())["localhost"] == 1
    assert (nodes.folder / "known_hosts").read_text("utf-8") == known
    assert nodes.ssh("edge-2", "ls", "/root/kept").returncode == 0


def test_a_node_whose_root_file_system_is_another_one_answers(nodes: TrialLab) -> None:
    (nodes.folder / "nodes" / "edge-2" / "archive").write_text("of-before.tar", "utf-8")
    assert run(["podman", "kill", nodes.namespace("edge-2")]).returncode == 0
    assert "unpack the root file system of edge-2" in nodes.make("--check", "--diff").stdout
    assert changed(nodes.make())["localhost"] == 1
    assert nodes.ssh("edge-2", "hostname").stdout == "edge-2\n"


def test_a_node_that_is_started_again_has_none_of_its_links(nodes: TrialLab) -> None:
    """Its network namespace is the same one: what redirected frames to an emulator would lead nowhere now."""
    nodes.ssh("edge-2", "tc", "qdisc", "add", "dev", "data0", "clsact").check_returncode()
    for command in ("kill", "start"):
        assert run(["podman", command, nodes.namespace("edge-2")]).returncode == 0
    eventually(lambda: nodes.ssh("edge-2", "true").returncode == 0, "an answer of edge-2")
    assert nodes.ssh("edge-2", "tc", "qdisc", "show", "dev", "data0").stdout.split()[:2] == ["qdisc", "noqueue"]
    assert nodes.ssh("bs", "ping", "-c", "1", "-W", "2", "edge-2").returncode == 0


def test_root_in_a_node_may_not_do_what_concerns_the_whole_machine(nodes: TrialLab) -> None:
    may = re.findall(r"^Cap(?:Bnd|Eff):\t(\w+)$", nodes.ssh("edge-1", "cat", "/proc/1/status").stdout, re.MULTILINE)
    mask = sum(1 << CAPABILITY_NUMBERS[name] for name in CAPABILITIES)
    assert [int(word, 16) for word in may] == [mask, mask]
    disk = Path("/").stat().st_dev
    read = f"mknod /root/disk b {os.major(disk)} {os.minor(disk)} && head -c 1 /root/disk; rm -f /root/disk"
    assert "Operation not permitted" in nodes.ssh("edge-1", read).stderr
    assert "Read-only file system" in nodes.ssh("edge-1", "echo 1 > /proc/sys/fs/file-max").stderr


def test_a_foreign_container_is_refused_by_name(nodes: TrialLab) -> None:
    name = nodes.namespace("edge-1")
    command = ["podman", "create", "--name", name, "--network", "none", "--rootfs", "/", "/bin/true"]
    assert run(["podman", "rm", "--force", "--time", "0", name]).returncode == 0
    try:
        assert run(command).returncode == 0
        refused = nodes.make()
        assert refused.returncode != 0
        assert f"There is a container {name} that this lab" in refused.stdout
        assert containers(nodes)[name] == "created"
    finally:
        run(["podman", "rm", "--force", "--time", "0", name])


def test_a_node_that_left_the_inventory_goes_alone(nodes: TrialLab) -> None:
    nodes.describe({**PAPER_NODES, "edge": ("edge-1",)})
    changed(nodes.make())
    # The addresses moved up by one, so cloud-1 was restarted; edge-2 is removed with its files.
    assert set(containers(nodes)) == {nodes.namespace(node) for node in ("bs", "edge-1", "cloud-1")}
    assert not (nodes.folder / "nodes" / "edge-2").exists()


@pytest.mark.long  # builds a root file system more
def test_a_node_of_another_release_stands_beside(tmp_path: Path, place: TrialLab) -> None:
    assert place
    with trial_lab(tmp_path, "containers") as lab:
        lab.describe({"base_stations": ("bs",), "edge": ("edge-1",)})
        of_edge = lab.inventory / "host_vars" / "edge-1.yml"
        of_edge.parent.mkdir()
        of_edge.write_text("lab_suite: ../bookworm\n", "utf-8")
        assert "expected the name of a Debian release" in lab.make().stdout
        of_edge.unlink()
        changed(lab.make())
        of_edge.write_text("lab_suite: trixie\n", "utf-8")
        changed(lab.make())
        codenames = {node: lab.ssh(node, "sed -n s/^VERSION_CODENAME=//p /etc/os-release") for node in ("bs", "edge-1")}
        assert {node: shown.stdout for node, shown in codenames.items()} == {"bs": "bookworm\n", "edge-1": "trixie\n"}
        assert lab.ssh("edge-1", "systemctl", "--failed", "--no-legend").stdout == ""
        assert changed(lab.make()) == {"localhost": 0, "bs": 0, "edge-1": 0}


def test_nodes_go_without_a_trace_and_the_kernel_has_its_settings_again(
    nodes: TrialLab, made: Made, tmp_path: Path
) -> None:
    if other_labs(nodes.folder):
        pytest.skip("other labs of containers stand on this machine, and need the kernel's settings as they are")
    before = made.settings
    # As a kubelet does to the kernel that all share; others on this machine may have done it before.
    other = {"vm/overcommit_memory": "1" if before["vm/overcommit_memory"] == "0" else "0", "kernel/panic": "11"}
    nodes.ssh("edge-1", "; ".join(f"echo {value} > /proc/sys/{name}" for name, value in other.items()))
    for_nodes = settings()
    assert for_nodes != before
    with trial_lab(tmp_path, "containers") as second:
        second.describe({"base_stations": ("bs",), "edge": ("edge-1",)})
        changed(second.make())
        assert changed(nodes.remove())["localhost"] == 1
        assert settings() == for_nodes, "another lab still needs them"
        assert changed(second.remove())["localhost"] == 1
    assert settings() == before
    assert missing_cgroups() == made.missing_cgroups
    assert containers(nodes) == {}
    assert not nodes.folder.exists()
    assert nodes.prefix not in run(["ip", "netns"]).stdout + run(["ip", "link"]).stdout
    assert changed(nodes.remove())["localhost"] == 0

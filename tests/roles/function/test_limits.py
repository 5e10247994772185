"""Replicas that have less than their node: in control groups with a quota, which removal takes away."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from ansible.module_utils.node.cgroups import Groups, Limits
from ansible.module_utils.node.change import carry_out
from ansible.module_utils.node.errors import NodeError
from testbed import TrialLab, changed

if TYPE_CHECKING:
    from collections.abc import Iterator

CGROUPS = Path("/sys/fs/cgroup")
PORT = 31080


def play(lab: TrialLab, *arguments: str, cpus: float | None = 0.5, memory_mib: int | None = 1024) -> dict[str, int]:
    """Deploy one replica on edge-1, or do what other arguments say; return the changes by node."""
    limits = {key: one for key, one in {"cpus": cpus, "memory_mib": memory_mib}.items() if one is not None}
    service = {"name": "slow", "nodes": ["edge-1"], "gateway": "edge-1", "port": PORT, "congestion_control": "cubic"}
    variables = {"function_services": [{**service, "timeout_s": 120, **limits}]}
    return changed(lab.playbook("playbooks/function.yml", "-e", json.dumps(variables), *arguments))


def groups_of(lab: TrialLab) -> list[Path]:
    """The control groups that carry this lab's name."""
    return sorted(path for path in CGROUPS.rglob(f"faasbed-{lab.prefix}-*") if path.is_dir())


@pytest.mark.lab(judges_links=False)
class TestOnANode:
    """One replica of a lab, with half of a CPU."""

    @pytest.fixture(autouse=True)
    def _removed(self, lab: TrialLab) -> Iterator[None]:
        yield
        play(lab, "-e", '{"function_action": "remove"}')
        assert groups_of(lab) == []
        assert play(lab, "-e", '{"function_action": "remove"}')["edge-1"] == 0

    def test_a_replica_with_half_a_cpu_is_throttled_and_a_new_limit_needs_no_new_replica(self, lab: TrialLab) -> None:
        assert play(lab)["edge-1"] > 0
        assert play(lab)["edge-1"] == 0
        groups = Groups(f"faasbed-{lab.prefix}-edge-1", {"slow": Limits(0.5, 1024)}, CGROUPS)
        assert [change.sentence for change in groups.changes()] == []
        doors = groups.doors("slow")
        members = {door: door.read_text().split() for door in doors}
        assert doors
        assert all(pids and pids == members[doors[0]] for pids in members.values())
        before = groups.counted("slow")
        ask(lab)
        after = groups.counted("slow")
        assert after["throttled"] > before["throttled"]
        assert after["throttled_us"] > before["throttled_us"]
        # In a period it has 50 ms at most, so it is stopped in nearly each period in which it computes.
        assert after["throttled"] - before["throttled"] <= after["periods"] - before["periods"]
        assert play(lab, "--check", cpus=0.25)["edge-1"] > 0
        assert [change.sentence for change in groups.changes()] == []  # --check set nothing
        assert play(lab, cpus=0.25)["edge-1"] > 0
        assert doors[0].read_text().split() == members[doors[0]]
        assert play(lab, cpus=None, memory_mib=None)["edge-1"] > 0
        assert groups_of(lab) == []


def ask(lab: TrialLab) -> None:
    """Send a request that computes for a while."""
    texts = {str(n): " ".join(f"word{(n * k) % 997}" for k in range(400)) for n in range(200)}
    body = {"x_dict": texts, "y_dict": {key: "FAKE" if int(key) % 2 else "REAL" for key in texts}, "model": "rf"}
    file = lab.state_of("bs") / "body.json"
    file.write_text(json.dumps(body))
    try:
        seen = lab.state_dir / "body.json"
        url = f"http://{lab.data_address(1)}:{PORT}/"
        words = ["curl", "-sS", "--fail", "--max-time", "120", "-H", "Content-Type: application/json"]
        done = lab.ssh("bs", shlex.join([*words, "--data-binary", f"@{seen}", url]))
        assert done.returncode == 0, done.stderr
    finally:
        file.unlink()


def unified(folder: Path, *controllers: str) -> Path:
    """A folder with the files of cgroups version 2 that have to be there."""
    (folder / "cgroup.controllers").write_text(" ".join(controllers) + "\n")
    (folder / "cgroup.subtree_control").write_text("")
    return folder


def test_version_2_has_its_own_files(tmp_path: Path) -> None:
    root = unified(tmp_path, "cpuset", "cpu", "memory")
    groups = Groups("faasbed-edge-1", {"slow": Limits(0.25, 768)}, root)
    own = root / "faasbed-edge-1"
    carry_out(groups.changes())
    assert (root / "cgroup.subtree_control").read_text() == "+cpu +memory"
    assert (own / "slow" / "cpu.max").read_text() == "25000 100000"
    assert (own / "slow" / "memory.max").read_text() == str(768 * 2**20)
    assert groups.doors("slow") == [own / "slow" / "cgroup.procs"]
    (own / "slow" / "cpu.stat").write_text("usage_usec 9\nnr_periods 20\nnr_throttled 12\nthrottled_usec 600000\n")
    (own / "slow" / "memory.events").write_text("low 0\nhigh 0\nmax 31\noom 2\noom_kill 2\noom_group_kill 0\n")
    assert groups.counted("slow") == {"periods": 20, "throttled": 12, "throttled_us": 600000, "oom_kills": 2}


def test_version_1_counts_nanoseconds(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cgroup.procs").touch()
    groups = Groups("faasbed-edge-1", {"slow": Limits(cpus=0.5)}, tmp_path)
    carry_out(groups.changes())
    assert list(groups.changes()) == []
    own = tmp_path / "cpu" / "faasbed-edge-1" / "slow"
    assert (own / "cpu.cfs_quota_us").read_text() == "50000"
    (own / "cpu.stat").write_text("nr_periods 7\nnr_throttled 6\nthrottled_time 300000999\n")
    assert groups.counted("slow") == {"periods": 7, "throttled": 6, "throttled_us": 300000}


def test_version_1_counts_what_the_kernel_ended_beside_other_words(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "cgroup.procs").touch()
    groups = Groups("faasbed-edge-1", {"small": Limits(memory_mib=512)}, tmp_path)
    carry_out(groups.changes())
    own = tmp_path / "memory" / "faasbed-edge-1" / "small"
    (own / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
    assert groups.counted("small") == {"oom_kills": 3}


def test_a_kernel_without_the_controllers_is_named(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match=r"^no control groups with cpu below .*enable these controllers in the kernel"):
        Groups("faasbed-edge-1", {"slow": Limits(cpus=0.5)}, unified(tmp_path, "memory"))


def test_control_groups_that_are_mounted_read_only_are_named(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    root = unified(tmp_path, "cpu", "memory")
    Groups("faasbed-edge-1", {"slow": Limits(cpus=0.5)}, root)
    subprocess.run(["mount", "--bind", root, root], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", root], check=True)
        with pytest.raises(NodeError, match=r"^the control groups below .* are mounted read-only, so no replica can"):
            Groups("faasbed-edge-1", {"slow": Limits(cpus=0.5)}, root)
    finally:
        subprocess.run(["umount", root], check=True)


def test_a_container_whose_processes_are_in_its_first_group_is_named(tmp_path: Path) -> None:
    root = unified(tmp_path, "cpu", "memory")
    (root / "cgroup.procs").write_text("1\n")
    Groups("faasbed-edge-1", {"slow": Limits(cpus=0.5)}, root)  # the machine's own first group may have some
    (root / "cgroup.type").write_text("domain\n")
    with pytest.raises(NodeError, match="has processes in it, so the kernel hands cpu to none below it"):
        Groups("faasbed-edge-1", {"slow": Limits(cpus=0.5)}, root)
    (root / "cgroup.subtree_control").write_text("cpu\n")
    Groups("faasbed-edge-1", {"slow": Limits(cpus=0.5)}, root)  # it was handed on already

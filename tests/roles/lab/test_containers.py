"""The lab of podman containers, made for real: systemd nodes reached by SSH, repaired, and gone without a trace."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from testbed import PAPER_NODES, TrialLab, changed, run, trial_lab

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.lab

NODES = [name for names in PAPER_NODES.values() for name in names]
SHARED = ("vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops")


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[TrialLab]:
    missing = [name for name in ("podman", "runc", "mmdebstrap") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"nodes that are containers need {', '.join(missing)}")
    with trial_lab(tmp_path, "containers") as own:
        yield own


def containers(lab: TrialLab) -> dict[str, str]:
    """The lab's containers and their states, as podman tells them."""
    listed = json.loads(run(["podman", "ps", "--all", "--format", "json"]).stdout or "[]")
    return {entry["Names"][0]: entry["State"] for entry in listed if entry["Names"][0].startswith(f"{lab.prefix}-")}


def settings() -> dict[str, str]:
    return {name: (Path("/proc/sys") / name).read_text("ascii").strip() for name in SHARED}


def test_nodes_of_containers_stand_stay_and_go(empty: TrialLab) -> None:
    before = settings()
    made = changed(empty.make())
    assert made.pop("localhost") in (1, 2)  # with the root file system, where it was not built before
    assert made == dict.fromkeys(NODES, 0)
    assert containers(empty) == {empty.namespace(node): "running" for node in NODES}

    assert empty.ssh("edge-1", "cat", "/proc/1/comm").stdout == "systemd\n"
    assert empty.ssh("edge-1", "systemctl", "--failed", "--no-legend").stdout == ""
    assert empty.ssh("edge-1", "hostname").stdout == "edge-1\n"
    assert empty.ssh("edge-1", "ping", "-c", "1", "-W", "2", "cloud-1").returncode == 0
    assert "default dev data0" in empty.ssh("bs", "ip", "route").stdout
    listening = empty.ssh("edge-1", "ss", "-Hltn").stdout.split()
    assert [word for word in listening if word.endswith(":22")] == [f"{empty.management_address(1)}:22"]

    again = empty.make()
    assert changed(again) == {"localhost": 0, **dict.fromkeys(NODES, 0)}

    # As a kubelet does to the kernel that all share; others on this machine may have done it before.
    other = {"vm/overcommit_memory": "1" if before["vm/overcommit_memory"] == "0" else "0", "kernel/panic": "11"}
    empty.ssh("edge-2", "; ".join(f"echo {value} > /proc/sys/{name}" for name, value in other.items()))
    assert settings() != before
    assert changed(empty.remove())["localhost"] == 1
    assert settings() == before
    assert containers(empty) == {}
    assert not empty.folder.exists()
    assert empty.prefix not in run(["ip", "netns"]).stdout + run(["ip", "link"]).stdout
    assert changed(empty.remove())["localhost"] == 0


def test_a_node_that_stopped_starts_again_with_its_files(empty: TrialLab) -> None:
    changed(empty.make())
    known = (empty.folder / "known_hosts").read_text("utf-8")
    empty.ssh("edge-2", "touch", "/root/kept")
    assert run(["podman", "kill", empty.namespace("edge-2")]).returncode == 0
    output = empty.make("--check", "--diff").stdout
    assert "start edge-2" in output
    assert "start edge-1" not in output
    assert changed(empty.make())["localhost"] == 1
    assert (empty.folder / "known_hosts").read_text("utf-8") == known
    assert empty.ssh("edge-2", "ls", "/root/kept").returncode == 0


def test_a_node_that_left_the_inventory_goes_alone(empty: TrialLab) -> None:
    changed(empty.make())
    empty.describe({**PAPER_NODES, "edge": ("edge-1",)})
    changed(empty.make())
    # The addresses moved up by one, so cloud-1 was restarted; edge-2 is removed with its files.
    assert set(containers(empty)) == {empty.namespace(node) for node in ("bs", "edge-1", "cloud-1")}
    assert not (empty.folder / "nodes" / "edge-2").exists()


def test_a_foreign_container_is_refused_by_name(empty: TrialLab) -> None:
    name = empty.namespace("edge-1")
    changed(empty.make())
    command = ["podman", "create", "--name", name, "--network", "none", "--rootfs", "/", "/bin/true"]
    assert run(["podman", "rm", "--force", "--time", "0", name]).returncode == 0
    try:
        assert run(command).returncode == 0
        refused = empty.make()
        assert refused.returncode != 0
        assert f"There is a container {name} that this lab" in refused.stdout
        assert containers(empty)[name] == "created"
    finally:
        run(["podman", "rm", "--force", "--time", "0", name])

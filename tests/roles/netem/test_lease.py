"""The dead man's switch: links that nobody renews clear themselves, and leave the node as it was."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from patience import wait_for
from wires import Wires, call, link

pytestmark = pytest.mark.lab

LINKS = [link("a", "b", 5, 1), link("a", "c", 2)]


def processes(wires: Wires) -> list[int]:
    return [int(pid) for pid in call("ip", "netns", "pids", f"{wires.prefix}-a").split()]


def watchers(wires: Wires) -> list[int]:
    pids = []
    for pid in processes(wires):
        with suppress(OSError):  # it ended while we looked
            pids += [pid] if b"netem.lease" in Path(f"/proc/{pid}/cmdline").read_bytes() else []
    return pids


def apply(wires: Wires, lease_s: float) -> dict[str, Any]:
    return wires.links("a", "present", LINKS, backend="emulator", lease_s=lease_s)


def test_links_that_nobody_renews_clear_themselves_and_the_node_is_as_it_was(wires: Wires):
    before = wires.tc("a")
    apply(wires, 4)
    assert wires.tc("a") != before
    assert len(watchers(wires)) == 1
    wait_for(lambda: not processes(wires))
    assert wires.tc("a") == before
    left = sorted(path.name for path in (wires.folder / "a").iterdir())
    assert left == ["code", "data0.lapsed", "data0.watch"]
    seen = wires.links("a", "present", LINKS, backend="emulator", check=True)
    assert "expired at" in seen["drift"]
    assert "it was not renewed for 4 s" in seen["drift"]
    assert wires.links("a", "renewed")["drift"] == seen["drift"], "a renewal that comes too late reports it"
    assert apply(wires, 60)["changed"]
    assert wires.links("a", "renewed")["drift"] is None


def test_links_that_are_renewed_stay(wires: Wires):
    started = time.monotonic()
    apply(wires, 600)
    wires.links("a", "renewed")
    apply(wires, max(4, 4 * (time.monotonic() - started)))  # as busy as this machine is, a renewal comes in time
    shaped, watcher = wires.tc("a"), watchers(wires)
    first_s = json.loads((wires.folder / "a" / "data0.lease").read_text())["until_s"]
    while time.clock_gettime(time.CLOCK_BOOTTIME) < first_s + 1:
        assert wires.links("a", "renewed")["drift"] is None
        time.sleep(1)
    assert wires.tc("a") == shaped
    assert watchers(wires) == watcher


def test_a_watcher_that_was_killed_is_started_again_by_a_renewal(wires: Wires):
    apply(wires, 60)
    first = watchers(wires)
    os.kill(first[0], signal.SIGKILL)
    wait_for(lambda: not watchers(wires))
    wires.links("a", "renewed")
    assert len(watchers(wires)) == 1


def test_a_second_run_keeps_its_watcher_and_changes_nothing(wires: Wires):
    apply(wires, 60)
    first = watchers(wires)
    assert not apply(wires, 60)["changed"]
    assert watchers(wires) == first


@pytest.mark.parametrize("lease_s", [0, 60])
def test_removal_and_no_lease_leave_no_watcher(wires: Wires, lease_s: float):
    apply(wires, 60)
    if lease_s:
        wires.links("a", "absent")
        assert list((wires.folder / "a").iterdir()) == []
    else:
        apply(wires, 0)
        assert not (wires.folder / "a" / "data0.lease").exists()
    assert watchers(wires) == []


def test_a_trial_run_renews_nothing(wires: Wires):
    apply(wires, 60)
    path = wires.folder / "a" / "data0.lease"
    before = path.read_text()
    wires.links("a", "renewed", check=True)
    wires.links("a", "present", LINKS, backend="emulator", lease_s=90, check=True)
    assert path.read_text() == before


def test_the_watcher_needs_nothing_of_the_controller(wires: Wires):
    """It runs from a copy of its own, by an environment without Ansible."""
    apply(wires, 60)
    code = wires.folder / "a" / "code"
    names = {path.name for path in code.rglob("*.py")}
    assert {"link.py", "lease.py", "shaping.py", "kernel.py", "__init__.py"} <= names
    assert "basic.py" not in names
    script = "import ansible.module_utils.netem.lease as lease; print(lease.__file__)"
    output = wires.run("a", "env", f"PYTHONPATH={code}", "/usr/bin/python3", "-B", "-c", script)
    assert output.startswith(str(code))


def in_force(wires: Wires) -> dict[str, str | None]:
    """What a program that measures on the node is told, without anything of the controller's."""
    folder = wires.folder / "a"
    program = ["/usr/bin/python3", "-B", "-m", "ansible.module_utils.netem.in_force"]
    told: dict[str, str | None] = json.loads(
        wires.run("a", "env", f"PYTHONPATH={folder}/code", *program, "data0", str(folder), str(folder / "emulator.py"))
    )
    return told


@pytest.mark.parametrize("lease_s", [0, 60])
def test_who_measures_is_told_whether_the_links_are_in_force(wires: Wires, lease_s: float):
    apply(wires, lease_s)
    first = in_force(wires)
    assert first["links"]
    assert first["problem"] is None
    assert in_force(wires) == first
    wires.run("a", "tc", "filter", "del", "dev", "data0", "egress", "protocol", "ip", "pref", "64002")
    broken = in_force(wires)
    assert broken["links"] == first["links"]
    assert "tc lists something else than was applied" in str(broken["problem"])
    assert wires.links("a", "renewed")["drift"] == broken["problem"], "a renewal notices it, too"
    apply(wires, lease_s)
    assert in_force(wires)["problem"] is None


def test_who_measures_is_told_of_an_emulator_that_ended_and_of_a_lease_that_expired(wires: Wires):
    apply(wires, 60)
    status = json.loads((wires.folder / "a" / "data0-b.status").read_text())
    os.kill(status["pid"], signal.SIGKILL)
    wait_for(lambda: in_force(wires)["problem"] == "the emulator of data0's links has ended")
    apply(wires, 4)
    wait_for(lambda: "expired at" in str(in_force(wires)["problem"]))
    assert in_force(wires)["links"] is None

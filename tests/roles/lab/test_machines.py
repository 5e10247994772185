"""The lab of QEMU virtual machines, made once for all tests here: a kernel, a systemd and links of their own.

Without KVM they are an order of magnitude slower than the machine they run on, so what befalls them later (a killed
machine, a reboot, a lost controller) is tested by `make test-long`; what each kernel does to a link is tested in
user-mode Linux too.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import signal
import time
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from testbed import TrialLab, changed, lost_controller, run, trial_lab

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.lab(judges_links=False)

NODES = ("bs", "edge-1")
GROUPS = {"base_stations": ("bs",), "edge": ("edge-1",), "cloud": ()}
EDGE = {"delay_ms": 1.25, "jitter_ms": 0.25, "loss_percent": 0.02}
LINKS = [{"source": source, "target": target, **EDGE} for source, target in permutations(NODES, 2)]
TC = "tc qdisc show dev data0; tc class show dev data0; tc filter show dev data0; ip -d link show dev data0"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrialLab]:
    """Where two machines are to stand."""
    qemu = f"qemu-system-{platform.machine()}"
    missing = [name for name in (qemu, "qemu-img", "mmdebstrap", "mkfs.ext4") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"nodes that are machines need {', '.join(missing)}")
    with trial_lab(tmp_path_factory.mktemp("machines"), "vm") as lab:
        lab.describe(GROUPS)
        yield lab


@pytest.fixture(scope="module")
def made(place: TrialLab) -> dict[str, int]:
    """What making them changed, by host."""
    return changed(place.make())


@pytest.fixture(scope="module")
def machines(place: TrialLab, made: dict[str, int]) -> TrialLab:
    """The two machines, for all tests here."""
    assert made
    return place


def qemus(lab: TrialLab) -> dict[str, int]:
    """The pids of the lab's machines, by name."""
    pids = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue  # it ended while we looked
            if words[0].startswith("qemu-system-") and f"{lab.prefix}-" in words[words.index("-name") + 1]:
                pids[words[words.index("-name") + 1]] = int(entry.name)
    return pids


def variables(links: list[dict[str, Any]], **more: Any) -> list[str]:
    return ["-e", json.dumps({"netem_links": links, **more})]


def tc(lab: TrialLab) -> dict[str, str]:
    return {node: lab.ssh(node, TC).stdout for node in NODES}


def test_machines_that_do_not_fit_are_refused_before_anything_is_made(place: TrialLab) -> None:
    refused = place.make("-e", json.dumps({"lab_memory_mib": dict.fromkeys(NODES, 10_000_000)}))
    output = " ".join((refused.stdout + refused.stderr).split())
    assert refused.returncode != 0
    assert re.search(r"\d+ MiB of memory required to start 2 virtual machines, \d+ MiB available: set", output)
    assert qemus(place) == {}
    assert place.prefix not in run(["ip", "netns"]).stdout + run(["ip", "link"]).stdout
    assert place.remove().returncode == 0


def test_machines_stand_with_a_kernel_of_their_own_and_a_second_run_changes_nothing(
    machines: TrialLab, made: dict[str, int]
) -> None:
    assert made["localhost"] in (1, 2)  # with the image, where it was not built before
    assert [made[node] for node in NODES] == [0, 0]
    assert changed(machines.make()) == {"localhost": 0, **dict.fromkeys(NODES, 0)}

    seen = machines.ssh("edge-1", "cat /proc/1/comm /etc/hostname; systemctl --failed --no-legend; uname -r").stdout
    assert seen.splitlines()[:2] == ["systemd", "edge-1"]
    assert seen.splitlines()[2:] != [platform.release()]
    assert len(seen.splitlines()) == 3
    assert machines.ssh("edge-1", "ping", "-c", "1", "-W", "5", "bs").returncode == 0
    listening = machines.ssh("edge-1", "ss", "-Hltn").stdout.split()
    assert [word for word in listening if word.endswith(":22")] == [f"{machines.management_address(1)}:22"]
    assert machines.ssh("edge-1", "ping", "-c", "1", "-W", "2", f"198.19.{machines.slot}.1").returncode != 0
    described = json.loads((machines.folder / "nodes.json").read_text("utf-8"))
    assert re.match(r"(kvm|tcg): .+", described["accelerator"])
    pids = set(qemus(machines).values())
    assert len(pids) == len(NODES)
    for pid in pids:
        status = Path(f"/proc/{pid}/status").read_text("utf-8")
        rights = dict(re.findall(r"^(Uid|Gid|CapEff|NoNewPrivs|Seccomp):\t(.+)$", status, re.MULTILINE))
        user = "\t".join(["65533"] * 4)
        filtered = "2"  # linux/seccomp.h: SECCOMP_MODE_FILTER
        assert rights == {"Uid": user, "Gid": user, "CapEff": "0" * 16, "NoNewPrivs": "1", "Seccomp": filtered}
    sockets = run(["nsenter", f"--net=/run/netns/{machines.prefix}-data", "ss", "-Hlntup"]).stdout
    assert sockets + "".join(line for line in run(["ss", "-Hlntup"]).stdout.splitlines() if "qemu" in line) == ""


@pytest.mark.long
def test_a_machine_that_was_killed_starts_again_with_its_files(machines: TrialLab) -> None:
    known = (machines.folder / "known_hosts").read_text("utf-8")
    machines.ssh("edge-1", "touch /root/kept && sync")
    before = qemus(machines)
    os.kill(before[machines.namespace("edge-1")], signal.SIGKILL)
    run(["ip", "link", "delete", f"{machines.prefix}-m-10"]).check_returncode()
    output = machines.make("--check", "--diff").stdout
    assert "start edge-1 (1024 MiB, 1 core)" in output
    assert f"make the TAP {machines.prefix}-m-10 of bs" in output
    assert "stop the virtual machine bs" in output
    assert changed(machines.make())["localhost"] == 1
    assert not set(before.values()) & set(qemus(machines).values())
    assert (machines.folder / "known_hosts").read_text("utf-8") == known
    assert machines.ssh("edge-1", "ls", "/root/kept").returncode == 0


@pytest.mark.long
def test_links_of_the_kernel_are_applied_judged_changed_and_survive_no_reboot(
    machines: TrialLab, tmp_path: Path
) -> None:
    before = tc(machines)
    applied = machines.playbook("playbooks/links.yml", *variables(LINKS))
    assert all(changed(applied)[node] for node in NODES)
    assert '"msg": "kernel backend"' in applied.stdout
    assert all("netem" in shown for shown in tc(machines).values())
    # Whether links of a millisecond can be told apart here depends on what else the machine does: the gate's own tests
    # say what it has to see. What is judged, and by which clock, does not.
    report = tmp_path / "links.json"
    machines.playbook("playbooks/verify.yml", *variables(LINKS, netem_report_file=str(report), netem_patience_s=0))
    links = json.loads(report.read_text("utf-8"))["links"]
    assert [one["clock"] for one in links] == ["round-trip"] * 2
    assert all(one["path"]["control"]["median_ms"] > 0 and one["probes"]["received"] > 0 for one in links)

    # What is in force shows before anything is measured.
    noticed = variables(LINKS, netem_probes=200, netem_patience_s=0)
    doubled = [LINKS[0] | {"delay_ms": 2.5}, LINKS[1]]
    only = changed(machines.playbook("playbooks/links.yml", *variables(doubled)))
    assert only == {"bs": 1, "edge-1": 0}
    refused = machines.playbook("playbooks/verify.yml", *noticed)
    assert refused.returncode != 0
    assert "In force are other links than asked for" in refused.stdout
    # A wrong link that somebody made by hand.
    changed(machines.playbook("playbooks/links.yml", *variables(LINKS)))
    wrong = ("tc", "qdisc", "change", "dev", "data0", "parent", "fb00:1", "handle", "fb01:", "netem", "delay", "80ms")
    machines.ssh("bs", *wrong).check_returncode()
    refused = machines.playbook("playbooks/verify.yml", *noticed)
    assert "tc lists something else than was applied" in refused.stdout

    boot = machines.ssh("edge-1", "cat /proc/sys/kernel/random/boot_id").stdout
    machines.ssh("edge-1", "systemctl reboot")
    until = time.monotonic() + 300
    while machines.ssh("edge-1", "cat /proc/sys/kernel/random/boot_id").stdout in ("", boot):
        assert time.monotonic() < until, "edge-1 does not come back"
    refused = machines.playbook("playbooks/verify.yml", *noticed)
    assert refused.returncode != 0
    assert "the node restarted after its links were applied, and they are gone" in refused.stdout
    assert changed(machines.playbook("playbooks/links.yml", *variables(LINKS)))["edge-1"] > 0
    changed(machines.playbook("playbooks/clear.yml"))
    assert tc(machines) == before


@pytest.fixture
def unshaped(machines: TrialLab) -> TrialLab:
    """Whatever another test left in force would be taken for how the nodes were before."""
    changed(machines.playbook("playbooks/clear.yml"))
    return machines


@pytest.mark.long
def test_links_of_a_controller_that_was_killed_are_cleared_by_systemds_timer(
    unshaped: TrialLab, tmp_path: Path
) -> None:
    machines = unshaped
    before = tc(machines)
    with lost_controller(machines, tmp_path, 60, "--scenario", "cloud"):
        pass
    timers = {node: machines.ssh(node, "systemctl list-timers --no-legend faasbed-netem-data0.timer") for node in NODES}
    shaped = tc(machines)
    assert all("faasbed-netem-data0" in listed.stdout for listed in timers.values())
    assert all("netem" in shown for shown in shaped.values())
    until = time.monotonic() + 180
    while tc(machines) != before:
        assert time.monotonic() < until, "the links did not clear themselves"
    late = machines.playbook("playbooks/renew.yml")
    assert late.returncode != 0
    assert "expired at" in late.stdout
    units = machines.ssh("bs", "systemctl list-units --all --no-legend 'faasbed-netem*'")
    assert units.stdout == ""


def test_machines_that_were_reset_leave_nothing(machines: TrialLab) -> None:
    assert len(qemus(machines)) == len(NODES)
    assert changed(machines.playbook("playbooks/reset.yml"))["localhost"] == 1
    assert qemus(machines) == {}
    assert machines.prefix not in run(["ip", "netns"]).stdout + run(["ip", "link"]).stdout
    assert not machines.folder.exists()
    assert changed(machines.playbook("playbooks/reset.yml"))["localhost"] == 0

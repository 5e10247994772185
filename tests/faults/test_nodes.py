"""Faults while nodes are made, put right or reset, and while a machine is set up."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from processes import family
from replica import eventually
from testbed import ROOT, TrialLab, changed, run, trial_lab

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NODES = ("bs", "edge-1")
OTHERS = dict.fromkeys(NODES, 0)
# What is written in it stays in memory, and goes with the namespace.
OVERLAY = """
mkdir "$1/memory" "$1/machine"
mount -t tmpfs faasbed "$1/memory"
mkdir "$1/memory/upper" "$1/memory/work"
mount -t overlay -o "lowerdir=/,upperdir=$1/memory/upper,workdir=$1/memory/work" faasbed "$1/machine"
for folder in proc dev; do mount --bind /$folder "$1/machine/$folder"; done
echo ready
read -r _
"""
# The Python environment is there already, and packages come from a folder.
PREPARE = """
rm -f /usr/sbin/policy-rc.d $(which -a git) /etc/apt/sources.list /etc/apt/sources.list.d/*
touch /slow
mkdir -p /repository {root}/.venv
cp {folder}/faasbed-trial.deb {folder}/Packages /repository
echo 'deb [trusted=yes] file:/repository ./' >/etc/apt/sources.list
sed -i 's/^  git: git$/  git: faasbed-trial/' {root}/roles/node/vars/Debian.yml
cp {root}/requirements/testbed.txt {root}/.venv/testbed.lock
"""
CONTROL = """Package: faasbed-trial
Version: 1
Architecture: all
Maintainer: nobody <nobody@example.invalid>
Description: takes its time to be configured
"""


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[TrialLab]:
    """A slot with an inventory of two nodes and no lab yet."""
    with trial_lab(tmp_path) as own:
        own.describe({"base_stations": NODES[:1], "edge": NODES[1:]})
        yield own


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrialLab]:
    """Two nodes, answering; tests leave them so."""
    with trial_lab(tmp_path_factory.mktemp("pair")) as made:
        made.describe({"base_stations": NODES[:1], "edge": NODES[1:]})
        assert made.make().returncode == 0
        yield made


@pytest.mark.fault(
    what="Ansible is killed (-9) while it makes the nodes of a lab",
    step="provision",
    on="local",
    seen="what is to be made is in made.json before it is made: the next start makes what is missing, and a removal leaves "
    "nothing",
    ends="with the next start",
    reads=[],
)
@pytest.mark.lab(judges_links=False)
@pytest.mark.parametrize(
    ("progress", "is_made_again"),
    [
        pytest.param("made.json", False, marks=pytest.mark.long),
        pytest.param("made.json", True, marks=pytest.mark.long),
        pytest.param("id_ed25519", False, marks=pytest.mark.long),
        ("sshd/edge-1/pid", False),
        pytest.param("sshd/edge-1/pid", True, marks=pytest.mark.long),
    ],
)
def test_a_lab_whose_making_was_killed_is_made_again_or_removed(
    empty: TrialLab, progress: str, *, is_made_again: bool
) -> None:
    making = subprocess.Popen(
        empty.command("playbooks/lab.yml"),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    eventually((empty.folder / progress).exists, progress)
    kill_tree(making.pid)
    making.wait(timeout=30)
    assert (empty.folder / "made.json").exists()
    if is_made_again:
        assert changed(empty.make()) in ({"localhost": 1, **OTHERS}, {"localhost": 0, **OTHERS})
        assert changed(empty.make()) == {"localhost": 0, **OTHERS}
    assert changed(empty.remove())["localhost"] == 1
    assert remains(empty) == []


@pytest.mark.fault(
    what="the sshd of a node is killed (-9), with those of its connections",
    step="provision",
    on="local",
    seen="it is started again, and what else runs on the node goes on",
    ends="with the next start",
    reads="start the sshd of edge-1 again",
)
@pytest.mark.lab(judges_links=False)
def test_a_node_whose_sshd_died_answers_again_and_what_runs_there_goes_on(
    pair: TrialLab, reads: Callable[[str], None]
) -> None:
    pid = int(pair.ssh("edge-1", "setsid sleep 600 > /dev/null 2>&1 < /dev/null & echo $!").stdout)
    kill(one for one in inside(pair, "edge-1") if one != pid)
    repaired = pair.make("--diff")
    assert changed(repaired) == {"localhost": 1, **OTHERS}
    reads(repaired.stdout)
    assert pair.ssh("edge-1", "ls", str(pair.state_dir), ";", "kill", str(pid)).returncode == 0
    assert changed(pair.make())["localhost"] == 0


@pytest.mark.fault(
    what="all processes of a node are killed (-9), and with them its mounts are gone",
    step="provision",
    on="local",
    seen="the node is started again with the files that it had",
    ends="with the next start",
    reads="start edge-1",
)
@pytest.mark.lab(judges_links=False)
def test_a_node_whose_processes_all_died_is_started_again(pair: TrialLab, reads: Callable[[str], None]) -> None:
    pair.ssh("edge-1", "touch", f"{pair.state_dir}/mine").check_returncode()
    kill(inside(pair, "edge-1"))
    repaired = pair.make("--diff")
    assert changed(repaired) == {"localhost": 1, **OTHERS}
    reads(repaired.stdout)
    pair.ssh("edge-1", "rm", f"{pair.state_dir}/mine").check_returncode()
    assert changed(pair.make())["localhost"] == 0


@pytest.mark.fault(
    what="an obstacle on a node: its driver cannot be asked to stop, as the code is gone",
    step="reset",
    on="local",
    seen="the reset goes on with all else and names the obstacle at the end; its exit code is not 0",
    ends="with the next reset after the obstacle is mended",
    reads="error: bs: Refuse to call a node reset that is not: Stop a driver that still measures: …. All else is removed "
    "from bs; mend this and run it again.",
)
@pytest.mark.lab(judges_links=False)
def test_a_reset_goes_on_past_an_obstacle_and_names_it(
    pair: TrialLab, tmp_path: Path, reads: Callable[[str], None]
) -> None:
    state = pair.state_dir
    # A driver's folder on a node that has lost the driver's code, so that it cannot be asked to stop.
    pair.ssh("bs", f"mkdir -p {state}/driver/some-run {state}/runtime/left")
    pair.ssh("edge-1", f"mkdir -p {state}/function/left")
    refused = reset(pair, tmp_path)
    assert refused.returncode == 1
    reads(refused.stderr)
    assert pair.ssh("bs", f"test -e {state}/runtime").returncode != 0, "what comes after the obstacle is removed"
    assert pair.ssh("edge-1", f"test -e {state}/function").returncode != 0
    pair.ssh("bs", f"rm -r {state}/driver")
    assert reset(pair, tmp_path).returncode == 0


@pytest.mark.fault(
    what="a node is off: its sshd does not answer",
    step="reset",
    on="local",
    seen="the other nodes are reset, and the node is named; the exit code is not 0",
    ends="with the next reset after the node is on again",
    reads="error: edge-1: …: the node does not answer over SSH (…); the nodes that answer are reset: run it again when this one "
    "answers",
)
@pytest.mark.lab(judges_links=False)
@pytest.mark.long
def test_a_reset_goes_on_past_a_node_that_is_off(pair: TrialLab, tmp_path: Path, reads: Callable[[str], None]) -> None:
    state = pair.state_dir
    for node in NODES:
        pair.ssh(node, f"mkdir -p {state}/runtime/left").check_returncode()
    kill(inside(pair, "edge-1"))
    try:
        refused = reset(pair, tmp_path)
    finally:
        assert pair.make().returncode == 0
    assert refused.returncode == 1
    reads(refused.stderr)
    assert pair.ssh("bs", f"test -e {state}/runtime").returncode != 0
    assert pair.ssh("edge-1", f"test -e {state}/runtime").returncode == 0
    assert reset(pair, tmp_path).returncode == 0
    assert pair.ssh("edge-1", f"test -e {state}/runtime").returncode != 0


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A copy of this machine's files on which setup.sh installs a package that takes its time."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        pytest.skip("installing Debian packages needs root and apt-get")
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-euc", OVERLAY, "sh", str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        if holder.stdout.readline() != "ready\n":
            pytest.skip("this kernel cannot lay a file system over another one")
        own = Machine(holder.pid, tmp_path / "machine")
        own.prepare(tmp_path)
        yield own
        kill(own.processes())
        holder.communicate("\n", timeout=20)


@pytest.mark.fault(
    what="Ctrl-C, SIGTERM, or a terminal that is closed",
    step="setup, while Debian packages are installed",
    on="loopback",
    seen="it ends, and leaves no policy-rc.d behind, which would keep services from being started",
    ends="at once; the next setup installs what is missing",
    reads=[],
)
@pytest.mark.lab(judges_links=False)
@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, *(pytest.param(one, marks=pytest.mark.long) for one in (signal.SIGTERM, signal.SIGHUP))],
)
def test_a_setup_that_is_stopped_leaves_no_policy(machine: Machine, number: signal.Signals) -> None:
    setup = machine.installing()
    assert not machine.may_start_services()
    os.killpg(setup.pid, number)
    machine.goes_on()  # apt-get does not end at once by each of them
    assert setup.wait(60) != 0
    assert machine.shell("test ! -e /usr/sbin/policy-rc.d").returncode == 0
    machine.sets_up()


@pytest.mark.fault(
    what="setup is killed (-9), alone or with apt-get and dpkg",
    step="setup, while Debian packages are installed",
    on="loopback",
    seen="the policy-rc.d that it leaves behind forbids nothing; the next setup waits for an apt-get that still goes on, "
    "finishes what is half installed, and removes the policy",
    ends="with the next setup",
    reads="installing packages: faasbed-trial",
)
@pytest.mark.lab(judges_links=False)
@pytest.mark.parametrize("alone", [pytest.param(True, marks=pytest.mark.long), False])
def test_a_setup_that_was_killed_is_finished_by_the_next_one(
    machine: Machine, reads: Callable[[str], None], *, alone: bool
) -> None:
    setup = machine.installing()
    assert not machine.may_start_services()
    kill([setup.pid] if alone else machine.processes())
    setup.wait()
    assert machine.may_start_services()
    if alone:
        machine.goes_on()
    reads(machine.sets_up())


@dataclass(frozen=True)
class Machine:
    """A copy of this machine's files, which lies over them and ends with the process that holds it."""

    holder: int
    folder: Path

    def command(self, *words: str) -> list[str]:
        """The command on that machine."""
        return ["nsenter", f"--mount=/proc/{self.holder}/ns/mnt", "chroot", str(self.folder), *words]

    def shell(self, script: str) -> subprocess.CompletedProcess[str]:
        return run(self.command("sh", "-euc", script))

    def prepare(self, folder: Path) -> None:
        """Let git be missing, and its package be one that is configured as long as there is a file `/slow`."""
        package = folder / "package"
        (package / "DEBIAN").mkdir(parents=True)
        (package / "DEBIAN" / "control").write_text(CONTROL, "utf-8")
        script = package / "DEBIAN" / "postinst"
        script.write_text("#!/bin/sh\nset -eu\ntouch /configuring\nwhile [ -e /slow ]; do sleep 0.1; done\n", "utf-8")
        script.chmod(0o755)
        archive = folder / "faasbed-trial.deb"
        run(["dpkg-deb", "--build", str(package), str(archive)]).check_returncode()
        data = archive.read_bytes()
        about = f"Filename: ./{archive.name}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n"
        (folder / "Packages").write_text(f"{CONTROL}{about}", "utf-8")
        self.shell(PREPARE.format(folder=folder, root=ROOT)).check_returncode()

    def setup(self) -> subprocess.Popen[bytes]:
        with (self.folder.parent / "setup.log").open("wb") as log:
            return subprocess.Popen(self.command("sh", f"{ROOT}/setup.sh"), stdout=log, stderr=log, process_group=0)

    def installing(self) -> subprocess.Popen[bytes]:
        """A setup that is at the configuration of the package."""
        setup = self.setup()
        eventually(lambda: self.shell("test -e /configuring").returncode == 0, "the package's configuration")
        return setup

    def goes_on(self) -> None:
        """Let the package be configured to its end."""
        self.shell("rm -f /slow")

    def sets_up(self) -> str:
        """Set up to the end, without a hand's help, and return what is printed."""
        self.goes_on()
        setup = self.setup()
        code, output = setup.wait(300), (self.folder.parent / "setup.log").read_text("utf-8")
        assert code == 0, output
        assert "install ok installed" in self.shell("dpkg-query -s faasbed-trial").stdout
        assert self.shell("test ! -e /usr/sbin/policy-rc.d").returncode == 0
        return output

    def may_start_services(self) -> bool:
        """Whether Debian would start a service now."""
        return self.shell("test ! -e /usr/sbin/policy-rc.d || /usr/sbin/policy-rc.d ssh start").returncode == 0

    def processes(self) -> list[int]:
        """What runs on it, without the process that holds it."""
        own = Path(f"/proc/{self.holder}/ns/mnt").readlink()
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has ended
                found += [int(entry.name)] if (entry / "ns" / "mnt").readlink() == own else []
        return [pid for pid in found if pid != self.holder]


def reset(lab: TrialLab, folder: Path) -> subprocess.CompletedProcess[str]:
    """Reset the nodes as if they were the user's own, role by role: they stay."""
    inventory = folder / "own"
    if not inventory.exists():
        shutil.copytree(lab.inventory, inventory)
        variables = inventory / "group_vars" / "all.yml"
        variables.write_text(
            yaml.safe_dump(yaml.safe_load(variables.read_text("utf-8")) | {"lab_kind": "own"}), "utf-8"
        )
    command = [sys.executable, "-m", "experiments", "reset", "--inventory", str(inventory)]
    return run(command, cwd=ROOT, env=os.environ | {"XDG_STATE_HOME": str(folder)})


def inside(lab: TrialLab, node: str) -> list[int]:
    """The processes of a node."""
    return [int(pid) for pid in run(["ip", "netns", "pids", lab.namespace(node)]).stdout.split()]


def kill(pids: Iterator[int] | list[int]) -> None:
    """End processes by SIGKILL, and wait until they have ended."""
    ended = list(pids)
    for pid in ended:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    eventually(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in ended), "the end of what was killed")


def kill_tree(root: int) -> None:
    """SIGKILL a process and all that came from it, however it grouped itself: the module runs in another session."""
    for pid in family(root):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def remains(lab: TrialLab) -> list[str]:
    """Everything on this machine that has the lab's names."""
    lines = [
        *run(["ip", "netns", "list"]).stdout.splitlines(),
        *run(["ip", "-brief", "link"]).stdout.splitlines(),
        *run(["ps", "-eo", "args"]).stdout.splitlines(),
        *Path("/proc/self/mounts").read_text("utf-8").splitlines(),
    ]
    folders = [path for path in (lab.folder, lab.state_dir) if path.exists()]
    return [line for line in lines if f"{lab.prefix}-" in line or str(lab.folder) in line] + list(map(str, folders))

"""A lab of its own for tests: other names, addresses and folder than the user's, whoever else works on this machine.

`lab` is one lab for the whole session, for tests that need nodes; tests of the lab itself make their own.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
SLOTS = range(100, 200)
DEADLINE_S = 300
# Emulated machines take their time, and so does a cluster; their image is built first where nobody did so yet.
SLOW_DEADLINE_S = 1200
PAPER_NODES = {"base_stations": ("bs",), "edge": ("edge-1", "edge-2"), "cloud": ("cloud-1",)}


@dataclass(frozen=True)
class TrialLab:
    """A lab in a slot of its own: slot 103 has the prefix ft103, 198.18.103.0/24 and 198.19.103.0/24."""

    slot: int
    inventory: Path
    kind: str = "local"

    @property
    def prefix(self) -> str:
        return f"ft{self.slot}"

    @property
    def folder(self) -> Path:
        return Path(f"/var/lib/faasbed-lab-{self.prefix}")

    @property
    def state_dir(self) -> Path:
        return Path(f"/var/lib/faasbed-{self.prefix}")

    @property
    def bridge(self) -> str:
        return f"{self.prefix}-mgmt"

    def namespace(self, node: str) -> str:
        return f"{self.prefix}-{node}"

    def state_of(self, node: str) -> Path:
        """What a node has in its state folder, as this machine sees it."""
        home = self.folder / "nodes" / node
        return home if self.kind == "local" else home / "root" / self.state_dir.relative_to("/")

    def describe(self, groups: dict[str, tuple[str, ...]] = PAPER_NODES) -> None:
        """Write the inventory: hosts of the test in the shape of the project's own, whose SSH settings they use."""
        names = [name for members in groups.values() for name in members]
        hosts = {
            name: {"ansible_host": self.management_address(place), "data_address": self.data_address(place)}
            for place, name in enumerate(names)
        }
        children = {group: {"hosts": {name: hosts[name] for name in members}} for group, members in groups.items()}
        base_stations = children.pop("base_stations")
        nodes = {"base_stations": base_stations, "compute": {"children": children}}
        settings = {
            "lab_kind": self.kind,
            "lab_prefix": self.prefix,
            "lab_dir": str(self.folder),
            "lab_management_network": f"198.18.{self.slot}.0/24",
            "lab_data_network": f"198.19.{self.slot}.0/24",
            "faasbed_state_dir": str(self.state_dir),
        }
        (self.inventory / "group_vars").mkdir(parents=True, exist_ok=True)
        _write(self.inventory / "hosts.yml", {"all": {"children": {"nodes": {"children": nodes}}}})
        _write(self.inventory / "group_vars" / "all.yml", settings)
        shutil.copy(
            ROOT / "inventories" / self.kind / "group_vars" / "nodes.yml", self.inventory / "group_vars" / "nodes.yml"
        )

    def management_address(self, place: int) -> str:
        return f"198.18.{self.slot}.{10 + place}"

    def data_address(self, place: int) -> str:
        return f"198.19.{self.slot}.{10 + place}"

    def playbook(self, path: Path | str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a playbook of the project, or of a test, against this lab's inventory, as a user would."""
        deadline_s = DEADLINE_S if self.kind == "local" else SLOW_DEADLINE_S
        return run(
            self.command(path, *arguments),
            cwd=ROOT,
            env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
            deadline_s=deadline_s,
        )

    def command(self, path: Path | str, *arguments: str) -> list[str]:
        """What runs a playbook against this lab's inventory, in the project's root."""
        return [str(BIN / "ansible-playbook"), "-i", str(self.inventory), str(path), *arguments]

    def make(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.playbook("playbooks/lab.yml", *arguments)

    def remove(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.playbook("playbooks/lab.yml", "-e", "lab_action=remove", *arguments)

    def clear(self) -> None:
        """Remove what is there, be it another session's that was killed."""
        if self.folder.exists():
            arguments = ["-e", f"lab_kind={self._kind_that_stands()}"]
            _expect(self.remove(*arguments))

    def _kind_that_stands(self) -> str:
        """Which kind of nodes another session left in this slot."""
        if (self.folder / "accelerator").exists():
            return "vm"
        made = (
            json.loads((self.folder / "made.json").read_text("utf-8")) if (self.folder / "made.json").exists() else {}
        )
        return "containers" if made.get("containers") else "local"

    def ssh(self, node: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command on a node over SSH, with the lab's key and known hosts and nothing of the user's."""
        hosts = yaml.safe_load((self.folder / "nodes.json").read_text(encoding="utf-8"))["nodes"]
        options = ["IdentitiesOnly=yes", "StrictHostKeyChecking=yes", f"UserKnownHostsFile={self.folder}/known_hosts"]
        ssh = ["ssh", "-F", "none", "-i", str(self.folder / "id_ed25519"), "-o", "BatchMode=yes"]
        words = [part for option in options for part in ("-o", option)]
        return run([*ssh, *words, f"root@{hosts[node]['management_address']}", "--", *command])


@contextmanager
def trial_lab(folder: Path, kind: str = "local") -> Iterator[TrialLab]:
    """A slot that nobody else uses, with nothing in it; whatever a test makes there is removed afterwards.

    The slot is held by an abstract socket, which ends with this process and leaves no file.
    """
    if os.geteuid() != 0:
        pytest.skip("making network namespaces needs root")
    with socket.socket(socket.AF_UNIX) as holder:
        for slot in SLOTS:
            try:
                holder.bind(f"\0faasbed-trial-lab-{slot}")
            except OSError:
                continue
            break
        else:
            pytest.skip(f"all {len(SLOTS)} trial labs of this machine are in use")
        lab = TrialLab(slot, folder / "inventory", kind)
        lab.describe()
        lab.clear()
        try:
            yield lab
        finally:
            lab.clear()


@contextmanager
def lost_controller(lab: TrialLab, folder: Path, lease_s: int, *arguments: str) -> Iterator[None]:
    """A controller that has shaped the links and begun to verify them, and is killed with all that it started."""
    inventory = folder / "inventory"
    shutil.copytree(lab.inventory, inventory)
    with (inventory / "group_vars" / "all.yml").open("a", encoding="utf-8") as settings:
        settings.write(f"netem_lease_s: {lease_s}\n")
    command = [sys.executable, "-m", "experiments", "verify", "--inventory", str(inventory), *arguments]
    environment = os.environ | {"XDG_STATE_HOME": str(folder)}  # its log goes with the test
    controller = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert controller.stdout is not None
    try:
        for line in controller.stdout:
            if line.startswith("verify links"):
                break
        yield
    finally:
        os.killpg(controller.pid, signal.SIGKILL)
        controller.wait()
        controller.stdout.close()


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrialLab]:
    """The paper's four nodes, answering; shared by all tests of the session, which leave it as they found it."""
    with trial_lab(tmp_path_factory.mktemp("lab")) as made:
        _expect(made.make())
        yield made


def changed(finished: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """What PLAY RECAP says was changed on each host; a run that failed is a failed test."""
    _expect(finished)
    recap = re.findall(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)\s+unreachable=0\s+failed=0", finished.stdout, re.MULTILINE)
    return {host: int(count) for host, count in recap}


def run(
    command: list[str], cwd: Path | None = None, env: dict[str, str] | None = None, deadline_s: float = DEADLINE_S
) -> subprocess.CompletedProcess[str]:
    """The finished command with its output, whatever its exit code."""
    return subprocess.run(
        command,
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=deadline_s,
        stdin=subprocess.DEVNULL,
    )


def _expect(finished: subprocess.CompletedProcess[str]) -> None:
    assert finished.returncode == 0, f"{finished.stdout}\n{finished.stderr}"


def _write(path: Path, value: object) -> None:
    path.write_text(yaml.safe_dump(value, sort_keys=False), encoding="utf-8")

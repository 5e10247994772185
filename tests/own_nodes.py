"""Nodes as people have them, for tests: machines that faasbed did not make, behind sudo and an sshd on another port.

Each is a network namespace with a file system of its own: this machine's files, with all that is written to them in
memory. `own` is one set for the whole session; tests leave it as they found it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from replica import eventually
from testbed import ROOT, changed, run, trial_lab

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed import TrialLab

PORT = 2222
NODES = ("bs", "cloud-1")
# Who may use sudo without a password, who is asked for one, and the password.
FREE, ASKED, PASSWORD = "operator", "asked", "open sesame"
START = """
node=$1 folder=$2 password=$3
echo "$node" >/proc/sys/kernel/hostname
mount -t tmpfs -o mode=755 faasbed "$folder"
mkdir "$folder/upper" "$folder/work" "$folder/root"
mount -t overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" faasbed "$folder/root"
for kind in proc dev sys; do mount --rbind "/$kind" "$folder/root/$kind"; done
cd "$folder/root"
mount -t tmpfs -o mode=755 faasbed run
mount -t tmpfs -o mode=1777 faasbed tmp
mkdir -p run/sshd run/lock home
rm -f etc/sudoers.d/*
rm -rf var/lib/faasbed
printf 'Defaults !secure_path\\nroot ALL=(ALL) ALL\\noperator ALL=(ALL) NOPASSWD: ALL\\nasked ALL=(ALL) ALL\\n' >etc/sudoers
id=4200
for user in operator asked; do
  echo "$user:x:$id:$id::/home/$user:/bin/sh" >>etc/passwd
  echo "$user:x:$id:" >>etc/group
  echo "$user:$password:19000:0:99999:7:::" >>etc/shadow
  mkdir -m 700 "home/$user"
  chown $id:$id "home/$user"
  id=$((id + 1))
done
cp "$4" etc/ssh/own_authorized_keys
cp "$5" etc/ssh/own_host_key
chmod 600 etc/ssh/own_host_key
chmod 644 etc/ssh/own_authorized_keys
exec chroot . /usr/sbin/sshd -D -e -f /dev/null -p 2222 -h /etc/ssh/own_host_key -o PidFile=none -o UsePAM=no \
  -o AuthorizedKeysFile=/etc/ssh/own_authorized_keys -o PasswordAuthentication=no -o StrictModes=no -o UseDNS=no \
  -o MaxStartups=100 -o MaxSessions=100 -o 'Subsystem=sftp internal-sftp' -o 'SetEnv=PATH=/usr/local/bin:/usr/bin:/bin'
"""


@dataclass
class OwnNodes:
    """Two machines of somebody's, in the namespaces of a lab, and the inventory that names them."""

    lab: TrialLab
    folder: Path
    machines: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def state_dir(self) -> Path:
        """The nodes' own, not the lab's."""
        return Path("/var/lib/faasbed")

    def start(self, node: str) -> None:
        """Start a machine, with nothing on it but its users."""
        place = self.folder / "machines" / node
        place.mkdir(parents=True, exist_ok=True)
        password = run(["openssl", "passwd", "-6", "-salt", "faasbed", PASSWORD]).stdout.strip()
        keys = [str(self.lab.folder / "authorized_keys"), str(self.lab.folder / "sshd" / node / "host_key")]
        enter = [
            "ip",
            "netns",
            "exec",
            self.lab.namespace(node),
            "unshare",
            "--mount",
            "--uts",
            "--propagation",
            "private",
        ]
        with (self.folder / f"{node}.log").open("wb") as log:
            self.machines[node] = subprocess.Popen(
                [*enter, "sh", "-euc", START, "sh", node, str(place), password, *keys],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        listens = f":{PORT} "
        eventually(lambda: listens in self.shell(node, "ss -Hltn").stdout, f"the sshd of {node}")
        # The kernel tells the state of an interface up to a second after it has changed.
        up = "cat /sys/class/net/data0/operstate"
        eventually(lambda: self.shell(node, up).stdout.strip() == "up", f"the data interface of {node}")

    def stop(self, node: str) -> None:
        """End a machine as if its power were cut: all that runs on it, and what it had written."""
        machine = self.machines.pop(node)
        mounts = Path(f"/proc/{machine.pid}/ns/mnt").readlink()
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has ended
                if (entry / "ns" / "mnt").readlink() == mounts:
                    os.kill(int(entry.name), signal.SIGKILL)
        machine.wait(timeout=30)

    def shell(self, node: str, script: str) -> subprocess.CompletedProcess[str]:
        """Run a script on a machine as root, without SSH."""
        enter = ["nsenter", f"--target={self.machines[node].pid}", "--mount", "--net", "--uts", "--root", "--wd"]
        return run([*enter, "sh", "-euc", script])

    def done(self, node: str, script: str) -> str:
        """What a script prints that has to work."""
        finished = self.shell(node, script)
        assert finished.returncode == 0, f"{script}: {finished.stdout} {finished.stderr}"
        return finished.stdout

    def inventory(self, name: str = "own", hosts: dict[str, dict[str, Any]] | None = None, **variables: Any) -> Path:
        """Write an inventory of the machines.

        Args:
            name: of its folder.
            hosts: variables of single nodes; None takes one of them away.
            variables: of all nodes.
        """
        known = self.folder / "known_hosts"
        known.write_text(
            "".join(
                f"[{self.lab.management_address(place)}]:{PORT} "
                + (self.lab.folder / "sshd" / node / "host_key.pub").read_text()
                for place, node in enumerate(NODES)
            )
        )
        settings = {
            "lab_kind": "own",
            "ansible_user": FREE,
            "ansible_become": True,
            "ansible_port": PORT,
            "ansible_ssh_private_key_file": str(self.lab.folder / "id_ed25519"),
            "ansible_ssh_common_args": f"-F none -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes "
            f"-o 'UserKnownHostsFile=\"{known}\"' -o GlobalKnownHostsFile=none",
            # A folder of its own for each inventory: another one may log in as another user, or with another key.
            "ansible_control_path_dir": str(Path(f"/tmp/{self.lab.prefix}-{name.encode().hex()[:12]}")),
            "ansible_python_interpreter": "/usr/bin/python3",
            "function_platform": "process",
            "data_interface": "data0",
            "faasbed_python": sys.executable,
            **variables,
        }
        entries = {}
        for place, node in enumerate(NODES):
            addresses = {
                "ansible_host": self.lab.management_address(place), "data_address": self.lab.data_address(place),
            }  # fmt: skip
            asked = {**addresses, **(hosts or {}).get(node, {})}
            entries[node] = {key: value for key, value in asked.items() if value is not None}
        groups = {
            "base_stations": {"hosts": {"bs": entries["bs"]}},
            "compute": {"children": {"cloud": {"hosts": {"cloud-1": entries["cloud-1"]}}, "edge": {"hosts": {}}}},
        }
        path = self.folder / name
        (path / "group_vars").mkdir(parents=True, exist_ok=True)
        (path / "hosts.yml").write_text(yaml.safe_dump({"all": {"children": {"nodes": {"children": groups}}}}))
        (path / "group_vars" / "all.yml").write_text(yaml.safe_dump(settings))
        return path

    def experiments(
        self, command: str, inventory: Path, *arguments: str, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run ``python -m experiments`` as a user would; what it keeps for the user goes with the test."""
        homes = {"XDG_STATE_HOME": str(self.folder / "state"), "XDG_CACHE_HOME": str(self.folder / "cache")}
        words = [sys.executable, "-m", "experiments", command, "--inventory", str(inventory), *arguments]
        return run(words, cwd=ROOT, env={**os.environ, **homes, **environment})


@contextmanager
def machines(folder: Path) -> Iterator[OwnNodes]:
    """Two machines; whatever is done on them ends with them."""
    if shutil.which("sudo") is None:
        pytest.skip("sudo is not installed (setup.sh dev installs it)")
    with trial_lab(folder) as lab:
        lab.describe({"base_stations": NODES[:1], "cloud": NODES[1:]})
        changed(lab.make())
        nodes = OwnNodes(lab, folder)
        try:
            for node in NODES:
                nodes.start(node)
            yield nodes
        finally:
            for node in list(nodes.machines):
                nodes.stop(node)
            for sockets in Path("/tmp").glob(f"{lab.prefix}-*"):
                shutil.rmtree(sockets)


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnNodes]:
    """Two machines for all tests of the session, which leave them as they found them."""
    with machines(tmp_path_factory.mktemp("own")) as nodes:
        yield nodes

"""A machine of a test's own, as far as namespaces go: all that is on it can be listed, before something and after.

It shares files, control groups and some of the kernel's settings with the machine itself, on which others may work.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from ansible.module_utils.lab.containers import ALLOWED, LEAST, SHARED_SYSCTLS
from processes import children
from testbed import ROOT, SLOW_DEADLINE_S, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from testbed import TrialLab

# Its processes, links and mounts are its own; /run, because network namespaces have their names there, and what podman keeps.
PREPARE = """
umount --recursive --lazy /run/netns 2>/dev/null || true
mount -t tmpfs -o mode=755 faasbed /run
mkdir -p -m 1777 /run/lock
[ ! -d /var/lib/containers ] || mount --bind "$1" /var/lib/containers
ip link set lo up
ip netns add first  # which leaves a mount that has nobody's name
ip netns delete first
mkdir -p /run/mount
echo ready
exec sleep infinity
"""
# A line for each thing that something could leave behind. Counters and what the kernel draws or counts are left out, and
# what takes the snapshot: its own processes are those of its session. What podman has in /run and mounts for itself is its
# own; logs of the commands and compiled kernels stay on purpose.
SNAPSHOT = r"""
ip -brief link | awk '{sub(/@.*/, "", $1); print "link", $1}'
ip route show table all | sed 's/^/route /'
ip netns | awk '{print "namespace", $1}'
nft list ruleset | sed 's/^/rule /'
awk '$5 !~ "^/var/lib/containers/" {print "mount", $5}' /proc/self/mountinfo
ps -e -o sid=,stat=,args= | awk -v own="$(ps -o sid= -p $$ | tr -d ' ')" '$1 != own && $2 !~ /^Z/ {$1 = "process"; $2 = ""; print}'
find /run /var/lib/cni /etc/cni "$HOME" -not -path "$HOME/.local*" -not -path "$HOME/.cache/faasbed/kernels*" 2>/dev/null \
  | grep -vE '^/run/(containers|libpod|runc)(/|$)' | sed 's/^/file /'
find /var/lib -maxdepth 1 -name 'faasbed*' | sed 's/^/file /'
find /proc/sys -type f -readable | grep -vE '/(random/.*|dentry-state|file-nr|inode-nr|inode-state|aio-nr|ns_last_pid|pty/nr|stat_refresh|quota/syncs)$' \
  | while read -r name; do value=$(tr '\n\t' '  ' <"$name" 2>/dev/null) && echo "setting ${name#/proc/sys/} $value"; done
"""
# The prefix of a trial lab.
TRIAL = re.compile(r"\bft\d{3}\b")
PODMAN = r"""
find /sys/fs/cgroup -mindepth 2 -maxdepth 3 -type d \( -name '*libpod*' -o -name 'kube*' \) | sed 's/^/group /'
podman ps --all --format '{{.Names}}' | sed 's/^/container /'
podman images --format '{{.Repository}}:{{.Tag}}' | sed 's/^/image /'
podman network ls --format '{{.Name}}' | sed 's/^/network /'
"""


@dataclass(frozen=True)
class Host:
    """The machine; `pid` is its first process, as this machine sees it, and `home` the home of its user."""

    pid: int
    home: Path

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """The finished command with its output, in a session of its own."""
        own = {"HOME": str(self.home), "TMPDIR": str(self.home), "ANSIBLE_NOCOLOR": "1"}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
        enter = ["nsenter", f"--target={self.pid}", "--mount", "--net", "--pid", f"--wd={ROOT}", "setsid", "--wait"]
        return run([*enter, *command], env=inherited | own | environment, deadline_s=SLOW_DEADLINE_S)

    def snapshot(self, lab: TrialLab) -> set[str]:
        """What is on it now, a line each, without what other trial labs have among what machines share."""
        done = self.run("sh", "-c", SNAPSHOT + (PODMAN if lab.kind == "containers" else ""))
        assert done.returncode == 0, done.stderr
        # Nodes that are containers set what holds for the whole kernel, also another lab's.
        shared = (
            () if lab.kind == "containers" else tuple(f"setting {name} " for name in (*SHARED_SYSCTLS, *LEAST, ALLOWED))
        )
        return {
            line
            for line in done.stdout.splitlines()
            if not set(TRIAL.findall(line)) - {lab.prefix} and not line.startswith(shared)
        }


@contextmanager
def own_host(home: Path) -> Iterator[Host]:
    """A machine of a test's own, which ends with all that runs on it."""
    if os.geteuid() != 0:
        pytest.skip("a machine of a test's own needs root")
    for known in (".ansible/tmp", ".cache/faasbed"):  # as on a machine that has seen Ansible and faasbed before
        (home / known).mkdir(parents=True)
    containers = home.with_name("containers")
    containers.mkdir()
    command = [
        "unshare",
        "--mount",
        "--net",
        "--pid",
        "--fork",
        "--mount-proc",
        "sh",
        "-euc",
        PREPARE,
        "sh",
        str(containers),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        (first,) = children(holder.pid)
        try:
            yield Host(first, home)
        finally:
            os.kill(first, signal.SIGKILL)  # and with it all others

"""A real k3s cluster on podman nodes, one for the whole session: made by the playbooks, left by each test as it was.

It stands on the artifacts' folder; where that, podman or root is missing, the tests that need it say so and are skipped.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from testbed import TrialLab, changed, trial_lab

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

SERVER = "edge-1"
AGENTS = ("edge-2", "cloud-1")
NODES = (SERVER, *AGENTS)
PROGRAMS = ("podman", "runc", "mmdebstrap")
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
# Prints what a cluster could leave on a node, a line each; logs and what Ansible, systemd and mount(8) keep for themselves is not it.
SNAPSHOT = r"""
find / -xdev \( -path /proc -o -path /sys -o -path /tmp -o -path /root/.ansible -o -path /var/log/journal \
  -o -path /var/lib/systemd -o -path '/var/tmp/systemd-private-*' -o -name __pycache__ \) -prune -o -print | sed 's/^/file /'
find /run \( -path /run/systemd -o -path /run/log -o -path /run/user -o -path /run/udev -o -path /run/mount \) -prune -o -print | sed 's/^/file /'
systemctl list-units --all --plain --no-legend --type service,socket,slice,timer \
  | awk '$1 !~ /^(user|session|systemd-)/ {print "unit", $1, $3}'
ip -brief link | awk '{sub(/@.*/, "", $1); print "link", $1}'
{ iptables-save; ip6tables-save; } | sed -n 's/^-A/rule/p'
ip route show table all | grep -v ^local | sed 's/^/route /'
awk '{print "mount", $5}' /proc/self/mountinfo
find /sys/fs/cgroup -name 'kube*' | sed 's/^/group /'
for name in vm/overcommit_memory kernel/panic kernel/panic_on_oops net/ipv4/ip_forward; do
  echo "setting $name $(cat /proc/sys/$name)"
done
"""


@dataclass(frozen=True)
class Cluster:
    """A cluster on a trial lab's compute nodes."""

    lab: TrialLab
    kubeconfig: Path
    token_file: Path
    # What each compute node had on it before it became a part of the cluster.
    before: dict[str, set[str]]
    # What the first run of the playbook printed.
    output: str

    def provision(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run playbooks/cluster.yml, as a user would."""
        return self.lab.playbook("playbooks/cluster.yml", *arguments)

    def remove(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Take the cluster, or the nodes of a limit, away."""
        return self.provision("-e", "k3s_action=remove", *arguments)

    def kubectl(self, *words: str) -> str:
        """What kubectl says on the server; a failure is a failed test."""
        done = self.lab.ssh(SERVER, "k3s", "kubectl", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def nodes(self) -> dict[str, dict[str, Any]]:
        """The API's nodes by name."""
        return {
            node["metadata"]["name"]: node for node in json.loads(self.kubectl("get", "nodes", "-o", "json"))["items"]
        }

    def snapshot(self, node: str) -> set[str]:
        """What is on a node now, a line each."""
        return snapshot(self.lab, node)


def artifacts() -> Path:
    """The artifacts' folder of this machine."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("FAASBED_ARTIFACTS") or cache / "faasbed" / "artifacts")


def binary() -> Path:
    """K3s' binary for this machine, by the name of its release."""
    architecture = ARCHITECTURES.get(platform.machine(), platform.machine())
    return artifacts() / ("k3s" if architecture == "amd64" else f"k3s-{architecture}")


def snapshot(lab: TrialLab, node: str) -> set[str]:
    """What is on a node now, a line each."""
    done = lab.ssh(node, SNAPSHOT)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines())


def missing() -> str | None:
    """Return why this machine can hold no cluster, or None when it can."""
    if not binary().exists():
        return f"a cluster needs {binary()} (make artifacts)"
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        return f"nodes that hold a cluster need {', '.join(absent)}"
    return None


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The paper's compute nodes as one cluster, every node Ready."""
    if reason := missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("cluster")
    with trial_lab(folder, "containers") as lab:
        kubeconfig, token_file = folder / "kubeconfig.yaml", folder / "token"
        settings = {"k3s_kubeconfig": str(kubeconfig), "k3s_token_file": str(token_file)}
        (lab.inventory / "group_vars" / "compute.yml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        made = lab.make()
        assert made.returncode == 0, made.stdout + made.stderr
        before = {node: snapshot(lab, node) for node in NODES}
        provisioned = lab.playbook("playbooks/cluster.yml", "-vv")
        changed(provisioned)
        yield Cluster(lab, kubeconfig, token_file, before, provisioned.stdout)

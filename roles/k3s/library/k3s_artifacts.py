#!/usr/bin/python
"""Ansible module: what of k3s the artifacts' folder of the controller holds, every file as it was verified."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.node.artifacts import ArtifactError, Artifacts
from ansible.module_utils.urls import open_url

DOCUMENTATION = r"""
module: k3s_artifacts
short_description: Check the artifacts that nodes are made of
options:
  folder: {description: The artifacts' folder., type: path, required: true}
  architectures: {description: The nodes' architectures., type: list, elements: str, required: true}
  archives:
    description: Names of further image archives, with {arch} for the architecture; those that are absent are left out.
    type: list
    elements: str
    default: []
  release_url:
    description: Where the nodes fetch the binary when the folder does not hold it; empty where they may not.
    type: str
    default: ""
author: [faasbed]
"""
EXAMPLES = r"""
- name: Check the artifacts
  k3s_artifacts:
    folder: /root/.cache/faasbed/artifacts
    architectures: [amd64]
    archives: ["knative-images-{arch}.tar.zst"]
"""
RETURN = r"""
files:
  description: >-
    By architecture, what a node gets: source on the controller (or url), path on the node, sha256, mode, and first,
    which is whether k3s needs it before it starts.
  returned: always
  type: dict
artifacts:
  description: "By name: its sha256, its origin, and how it was verified."
  returned: always
  type: dict
"""

BINARY = "/usr/local/bin/k3s"
IMAGES = "/var/lib/rancher/k3s/agent/images"
FETCH_TIMEOUT_S = 30


def sums_of(text: str) -> dict[str, str]:
    """Return SHA-256 by file name of the text of a ``sha256sum-<arch>.txt``."""
    rows = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    return {row[1].strip().lstrip("*"): row[0].lower() for row in rows if len(row) == 2}


def binary_of(architecture: str) -> str:
    """Return the name under which k3s publishes its binary."""
    return "k3s" if architecture == "amd64" else f"k3s-{architecture}"


def files_of(folder: Path, architecture: str, archives: list[str], release_url: str) -> list[dict[str, Any]]:
    """Return what a node of an architecture gets."""
    artifacts = Artifacts(folder)
    name, images = binary_of(architecture), f"k3s-airgap-images-{architecture}.tar.zst"
    if not artifacts.has(name):
        if not release_url:
            raise ArtifactError(
                f"{folder} has no {name}, which the nodes of architecture {architecture} need; run "
                "`make artifacts`, set FAASBED_ARTIFACTS, or set k3s_download: true if the nodes reach the network"
            )
        return [fetched(name, architecture, release_url)]
    records = [entry(artifacts, name, path=BINARY, mode=0o755)]
    if artifacts.has(images):
        records.append(entry(artifacts, images, path=f"{IMAGES}/{images}", mode=0o644))
    elif not release_url:
        raise ArtifactError(
            f"{folder} has no {images}, without which the nodes would pull images from the network; run "
            "`make artifacts`, or set k3s_download: true if they reach it"
        )
    further = [archive.replace("{arch}", architecture) for archive in archives]
    return records + [
        entry(artifacts, archive, f"{IMAGES}/{archive}", 0o644) | {"first": False}
        for archive in further
        if artifacts.has(archive)
    ]


def entry(artifacts: Artifacts, name: str, path: str, mode: int) -> dict[str, Any]:
    """Return the record of a file of the folder."""
    return {
        "name": name,
        "source": str(artifacts.folder / name),
        "url": "",
        "path": path,
        "mode": f"{mode:04o}",
        "first": True,
        **artifacts.verified(name),
    }


def fetched(name: str, architecture: str, release_url: str) -> dict[str, Any]:
    """Return the record of a binary that the nodes fetch themselves."""
    url = f"{release_url}/sha256sum-{architecture}.txt"
    if url.startswith("http:"):
        raise ArtifactError(f"{url} is not HTTPS, so anybody on the way could replace k3s; correct k3s_release_url")
    try:
        with open_url(url, timeout=FETCH_TIMEOUT_S) as reply:
            known = sums_of(reply.read().decode())
    except OSError as error:
        raise ArtifactError(
            f"{url} cannot be read ({error}); put {name} into the artifacts' folder with `make artifacts`, or correct "
            "k3s_release_url"
        ) from error
    if name not in known:
        raise ArtifactError(f"{url} does not list {name}; correct k3s_version or k3s_release_url")
    return {
        "name": name,
        "source": "",
        "url": f"{release_url}/{name}",
        "path": BINARY,
        "mode": "0755",
        "first": True,
        "sha256": known[name],
        "origin": f"{release_url}/{name}",
        "verified": "release list",
    }


def main() -> None:
    """Run as Ansible's module."""
    names = {"type": "list", "elements": "str"}
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "required": True},
            "architectures": {**names, "required": True},
            "archives": {**names, "default": []},
            "release_url": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    options = module.params
    try:
        files = {
            architecture: files_of(
                Path(options["folder"]), architecture, options["archives"], options["release_url"].rstrip("/")
            )
            for architecture in options["architectures"]
        }
    except ArtifactError as error:
        module.fail_json(msg=f"{error}.")
    told = {
        file["name"]: {key: file[key] for key in ("sha256", "origin", "verified")}
        for records in files.values()
        for file in records
    }
    module.exit_json(changed=False, files=files, artifacts=told)


if __name__ == "__main__":
    main()

#!/usr/bin/python
"""Ansible module: apply a kustomization to a cluster."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.knative.kubectl import Kubectl, KubectlError, declared_part, name_of

DOCUMENTATION = r"""
module: knative_apply
short_description: Apply a kustomization to a cluster
description:
  - Server-side apply with a field manager of its own. Reports C(changed) only if an object differs afterwards, and shows
    the difference.
options:
  kubectl: {description: Program and arguments that talk to the cluster., type: list, elements: str, required: true}
  files: {description: "The kustomization's files: text by name, kustomization.yaml among them.", type: dict, required: true}
  verified: {description: What knative_artifacts returned of the files that it verified., type: dict, default: {}}
  definitions: {description: The one of them with the custom resources' definitions., type: str, required: true}
  manager: {description: The field manager., type: str, default: faasbed}
  timeout_s: {description: How long a webhook may take until it answers., type: int, required: true}
author: [faasbed]
"""
EXAMPLES = r"""
- name: Apply Knative
  knative_apply:
    kubectl: [k3s, kubectl]
    files:
      serving-crds.yaml: "{{ lookup('file', 'serving-crds.yaml') }}"
      kustomization.yaml: "resources: [serving-crds.yaml]"
    definitions: serving-crds.yaml
    timeout_s: 180
"""
RETURN = r"""
objects: {description: Names of the objects that changed., type: list, elements: str, returned: always}
"""

# Errors that go away by waiting: a webhook that does not answer yet, an API that is not listed yet.
PASSING = ("failed calling webhook", "no matches for kind", "connection refused", "etcdserver: request timed out")
UNKNOWN = ("no matches for kind", "the server doesn't have a resource type", "could not find the requested resource")
POLL_S = 1


class Cluster:
    """One cluster: what exists in it, and applying to it."""

    def __init__(self, kubectl: Kubectl, manager: str, timeout_s: int) -> None:
        self._kubectl = kubectl
        # A field that somebody else has set too becomes this manager's: the testbed decides what it runs on.
        self._apply = ("apply", "--server-side", "--force-conflicts", f"--field-manager={manager}")
        self._deadline = time.monotonic() + timeout_s

    def existing(self, documents: str) -> list[dict[str, Any]] | None:
        """Return those of the objects that exist; None if the cluster does not know their kinds."""
        try:
            return self._kubectl.objects("get", "--ignore-not-found", "-f", "-", text=documents)
        except KubectlError as error:
            if any(word in str(error) for word in UNKNOWN):
                return None
            raise

    def define(self, definitions: str) -> None:
        """Make the definitions known, and wait until the cluster serves them."""
        self._kubectl.read(*self._apply, "-f", "-", text=definitions)
        self._kubectl.read("wait", "--for=condition=Established", "--timeout=60s", "-f", "-", text=definitions)

    def apply(self, documents: str, *, dry: bool) -> list[dict[str, Any]]:
        """Apply and return the objects as they are afterwards, or would be."""
        while True:
            try:
                return self._kubectl.objects(
                    *self._apply, *(["--dry-run=server"] if dry else []), "-f", "-", text=documents
                )
            except KubectlError as error:
                if time.monotonic() > self._deadline or not any(word in str(error) for word in PASSING):
                    raise
            time.sleep(POLL_S)


def by_name(things: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the declared part of objects by their names."""
    return {name_of(thing): declared_part(thing) for thing in things}


def difference(name: str, old: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, str]:
    """Return one object's difference as Ansible shows it; of a new one only the name, as release files are long."""
    header = {"before_header": name, "after_header": name}
    if old is None:
        return header | {"before": "", "after": "new\n"}
    before, after = (json.dumps(one, indent=1, sort_keys=True) + "\n" for one in (old, new))
    return header | {"before": before, "after": after}


def rendered(kubectl: Kubectl, files: dict[str, str]) -> str:
    """Return the documents that a kustomization's files are rendered to."""
    with tempfile.TemporaryDirectory(prefix="faasbed-knative-") as folder:
        for name, text in files.items():
            Path(folder, name).write_text(text, "utf-8")
        return kubectl.read("kustomize", folder)


def check(files: dict[str, str], verified: dict[str, dict[str, str]]) -> None:
    """Refuse texts that are not those that were verified."""
    for name, record in verified.items():
        actual = hashlib.sha256(files[name].encode()).hexdigest()
        if actual != record["sha256"]:
            raise KubectlError(
                f"{name} was changed since it was checked: sha256 {actual}, expected {record['sha256']}; run it again"
            )


def act(module: AnsibleModule) -> dict[str, Any]:
    """Apply, or report what would be applied, and return the module's result."""
    options = module.params
    check(options["files"], options["verified"])
    kubectl = Kubectl(options["kubectl"])
    cluster = Cluster(kubectl, options["manager"], options["timeout_s"])
    documents = rendered(kubectl, options["files"])
    before = cluster.existing(documents)
    if before is None and module.check_mode:
        return {
            "changed": True,
            "objects": [],
            "diff": {"before": "", "after": "install Knative Serving and Kourier\n"},
        }
    if before is None:
        cluster.define(options["files"][options["definitions"]])
    old = by_name(before or [])
    new = by_name(cluster.apply(documents, dry=module.check_mode))
    names = [name for name in new if new[name] != old.get(name)]
    return {
        "changed": bool(names),
        "objects": names,
        "diff": [difference(name, old.get(name), new[name]) for name in names],
    }


def main() -> None:
    """Run as Ansible's module."""
    module = AnsibleModule(
        argument_spec={
            "kubectl": {"type": "list", "elements": "str", "required": True},
            "files": {"type": "dict", "required": True},
            "verified": {"type": "dict", "default": {}},
            "definitions": {"type": "str", "required": True},
            "manager": {"type": "str", "default": "faasbed"},
            "timeout_s": {"type": "int", "required": True},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**act(module))
    except KubectlError as error:
        module.fail_json(msg=f"Knative cannot be applied: {error}")


if __name__ == "__main__":
    main()

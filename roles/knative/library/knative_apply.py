#!/usr/bin/python
"""Ansible module: make a cluster's objects what a kustomization says."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.knative.kubectl import Kubectl, KubectlError, name_of, wanted_part

DOCUMENTATION = r"""
module: knative_apply
short_description: Make a cluster's objects what a kustomization says
description:
  - Server-side apply by a field manager of our own. Says C(changed) only when an object is another one afterwards, and
    shows the difference.
options:
  kubectl: {description: Program and arguments that speak to the cluster., type: list, elements: str, required: true}
  files: {description: "The kustomization's files: text by name, kustomization.yaml among them.", type: dict, required: true}
  definitions: {description: The one of them with the custom resources' definitions., type: str, required: true}
  manager: {description: The field manager., type: str, default: faasbed}
  timeout_s: {description: How long a webhook may not answer., type: int, required: true}
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
objects: {description: The names of the objects that changed., type: list, returned: always}
"""

# Answers that time heals: a webhook that does not serve yet, an API that is not listed yet.
PASSING = ("failed calling webhook", "no matches for kind", "connection refused", "etcdserver: request timed out")
UNKNOWN = ("no matches for kind", "the server doesn't have a resource type", "could not find the requested resource")
POLL_S = 1


class Cluster:
    """What applies and what is there."""

    def __init__(self, kubectl: Kubectl, manager: str, timeout_s: int) -> None:
        self._kubectl = kubectl
        # A field that somebody else set and we set too is ours: the testbed says what it runs on.
        self._apply = ("apply", "--server-side", "--force-conflicts", f"--field-manager={manager}")
        self._deadline = time.monotonic() + timeout_s

    def there(self, documents: str) -> list[dict[str, Any]] | None:
        """Return those of the objects that are there; None when the cluster does not even know their kinds."""
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
    """Return what is wanted of objects by their names."""
    return {name_of(thing): wanted_part(thing) for thing in things}


def difference(name: str, old: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, str]:
    """Return one object's difference in Ansible's words; of a new one only the name, as release files are long."""
    header = {"before_header": name, "after_header": name}
    if old is None:
        return header | {"before": "", "after": "new\n"}
    before, after = (json.dumps(one, indent=1, sort_keys=True) + "\n" for one in (old, new))
    return header | {"before": before, "after": after}


def rendered(kubectl: Kubectl, files: dict[str, str]) -> str:
    """Return what a kustomization's files come to."""
    with tempfile.TemporaryDirectory(prefix="faasbed-knative-") as folder:
        for name, text in files.items():
            Path(folder, name).write_text(text, "utf-8")
        return kubectl.read("kustomize", folder)


def act(module: AnsibleModule) -> dict[str, Any]:
    """Apply, or say what would be applied, and return the module's result."""
    options = module.params
    kubectl = Kubectl(options["kubectl"])
    cluster = Cluster(kubectl, options["manager"], options["timeout_s"])
    documents = rendered(kubectl, options["files"])
    before = cluster.there(documents)
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

#!/usr/bin/python
"""Ansible module: remove Knative Serving and Kourier from a cluster that stays."""

from __future__ import annotations

import json
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.knative.kubectl import Kubectl, KubectlError, name_of

DOCUMENTATION = r"""
module: knative_absent
short_description: Remove Knative Serving and Kourier from a cluster that stays
description:
  - Services are removed first, while their controllers still clean up; then namespaces, roles and definitions. Finalizers
    of controllers that no longer run are removed after a while.
options:
  kubectl: {description: Program and arguments that talk to the cluster., type: list, elements: str, required: true}
  timeout_s: {description: Timeout until everything is removed., type: int, required: true}
author: [faasbed]
"""
EXAMPLES = r"""
- name: Remove Knative
  knative_absent:
    kubectl: [k3s, kubectl]
    timeout_s: 120
"""
RETURN = r"""
objects: {description: Names of the objects that existed., type: list, elements: str, returned: always}
"""

NAMESPACES = ("knative-serving", "kourier-system")
LABELLED = "validatingwebhookconfigurations,mutatingwebhookconfigurations,clusterrolebindings,clusterroles"
LABEL = "app.kubernetes.io/name=knative-serving"
DEFINITIONS = ".knative.dev"
# The kinds that users create; controllers derive all others from them.
MADE = ("domainmappings.serving.knative.dev", "services.serving.knative.dev", "routes.serving.knative.dev")
# How long the controllers may take to clean up after the services.
CLEAN_UP_S = 30
POLL_S = 0.5


class Removal:
    """Knative in one cluster, and its removal."""

    def __init__(self, kubectl: Kubectl, timeout_s: int) -> None:
        self._kubectl = kubectl
        self._deadline = time.monotonic() + timeout_s

    def existing(self) -> list[dict[str, Any]]:
        """Return namespaces, roles, webhooks and definitions of Knative."""
        namespaces = self._kubectl.objects("get", "namespaces", "--ignore-not-found", *NAMESPACES)
        return namespaces + self._kubectl.objects("get", LABELLED, "--selector", LABEL) + self.definitions()

    def definitions(self) -> list[dict[str, Any]]:
        """Return the definitions of Knative's kinds."""
        every = self._kubectl.objects("get", "customresourcedefinitions")
        return [one for one in every if one["metadata"]["name"].endswith(DEFINITIONS)]

    def resources(self) -> list[dict[str, Any]]:
        """Return the objects of Knative's kinds."""
        kinds = ",".join(one["metadata"]["name"] for one in self.definitions())
        return self._kubectl.objects("get", kinds, "--all-namespaces") if kinds else []

    def remove(self) -> None:
        """Remove everything and wait until it is gone."""
        # Without the webhooks, what follows needs no running webhook.
        self._delete("validatingwebhookconfigurations,mutatingwebhookconfigurations", "--selector", LABEL)
        kinds = {one["metadata"]["name"] for one in self.definitions()}
        for kind in MADE:
            if kind in kinds:
                self._delete(kind, "--all", "--all-namespaces")
        self._remove_finalizers()
        for namespace in NAMESPACES:
            self._end_pods(namespace)
        self._delete("namespaces", "--ignore-not-found", *NAMESPACES)
        self._delete("clusterrolebindings,clusterroles", "--selector", LABEL)
        if kinds:
            self._delete("customresourcedefinitions", "--ignore-not-found", *sorted(kinds))
        while left := self.existing():
            if time.monotonic() > self._deadline:
                raise KubectlError(f"still present: {', '.join(name_of(one) + self._why(one) for one in left)}")
            time.sleep(POLL_S)

    def _delete(self, *what: str) -> None:
        self._kubectl.read("delete", *what, "--wait=false")

    def _end_pods(self, namespace: str) -> None:
        """Delete the pods of a namespace immediately: activator and webhook would drain for up to ten minutes.

        They have to be deleted before the namespace, whose controller checks again only after half that time. The
        workloads that would replace them are deleted as orphans first: deleting pods with them would use the full grace
        period.
        """
        workloads = "horizontalpodautoscalers,poddisruptionbudgets,deployments,replicasets"
        self._delete(workloads, "--all", "--cascade=orphan", "--namespace", namespace)
        left_s = max(1, round(self._deadline - time.monotonic()))
        self._kubectl.read(
            *("delete", "pods", "--all", "--grace-period=1", f"--timeout={left_s}s", "--namespace", namespace)
        )

    def _remove_finalizers(self) -> None:
        """Wait until the controllers have cleaned up; remove the finalizers that they leave."""
        deadline = min(time.monotonic() + CLEAN_UP_S, self._deadline)
        made = [one for one in self.resources() if one["metadata"].get("deletionTimestamp")]
        while made and time.monotonic() < deadline:
            time.sleep(POLL_S)
            made = [one for one in self.resources() if one["metadata"].get("deletionTimestamp")]
        for one in self.resources():
            if one["metadata"].get("finalizers"):
                group = one["apiVersion"].partition("/")[0]
                name, namespace = one["metadata"]["name"], one["metadata"].get("namespace", "")
                nothing = json.dumps({"metadata": {"finalizers": None}})
                # It may have been removed meanwhile.
                self._kubectl.run(
                    *("patch", f"{one['kind']}.{group}", name, "--namespace", namespace, "--type=merge", "-p", nothing)
                )

    @staticmethod
    def _why(thing: dict[str, Any]) -> str:
        conditions = thing.get("status", {}).get("conditions", [])
        messages = [one["message"] for one in conditions if one.get("status") == "True" and one.get("message")]
        return f" ({messages[-1]})" if messages and thing["metadata"].get("deletionTimestamp") else ""


def main() -> None:
    """Run as Ansible's module."""
    module = AnsibleModule(
        argument_spec={
            "kubectl": {"type": "list", "elements": "str", "required": True},
            "timeout_s": {"type": "int", "required": True},
        },
        supports_check_mode=True,
    )
    removal = Removal(Kubectl(module.params["kubectl"]), module.params["timeout_s"])
    try:
        names = [name_of(one) for one in removal.existing()]
        if names and not module.check_mode:
            removal.remove()
    except KubectlError as error:
        module.fail_json(msg=f"Knative cannot be removed: {error}")
    module.exit_json(
        changed=bool(names), objects=names, diff={"before": "".join(f"{name}\n" for name in names), "after": ""}
    )


if __name__ == "__main__":
    main()

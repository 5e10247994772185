#!/usr/bin/python
"""Ansible module: wait until all Deployments of some namespaces are ready, or say which is not and why."""

from __future__ import annotations

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.knative.kubectl import Kubectl, KubectlError, complaint

DOCUMENTATION = r"""
module: knative_ready
short_description: Wait until all Deployments of some namespaces are ready
description:
  - Ends with one message that names what is not ready, with its pods' reasons, events and last log lines. Ends early when
    an image cannot be had or a pod cannot be made, which waiting does not heal.
options:
  kubectl: {description: Program and arguments that talk to the cluster., type: list, elements: str, required: true}
  namespaces: {description: Where they are., type: list, elements: str, default: [knative-serving, kourier-system]}
  timeout_s: {description: Timeout in seconds., type: int, required: true}
author: [faasbed]
"""
EXAMPLES = r"""
- name: Wait until Knative is ready
  knative_ready:
    kubectl: [k3s, kubectl]
    timeout_s: 180
"""
RETURN = r"""
waited_s: {description: How long the wait took, in seconds., type: float, returned: always}
"""

POLL_S = 0.5
# Reasons that do not go away by waiting, once they have lasted for a while.
LASTING = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "SysctlForbidden"})
BELIEVED_AFTER_S = 20
LOG_LINES = 3


def unready(deployment: dict[str, Any]) -> str | None:
    """Return why a Deployment is not ready, or None."""
    status, expected = deployment.get("status", {}), deployment["spec"].get("replicas", 1)
    if status.get("observedGeneration", 0) < deployment["metadata"]["generation"]:
        return "not seen yet by the cluster"
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    if updated < expected or available < expected or status.get("replicas", 0) > expected:
        return f"{min(updated, available)} of {expected} pods ready"
    return None


def trouble_of(pod: dict[str, Any]) -> tuple[str, str] | None:
    """Return why a pod does not run as reason and message, or None when it is ready."""
    status = pod.get("status", {})
    conditions = {one["type"]: one for one in status.get("conditions", [])}
    if conditions.get("Ready", {}).get("status") == "True":
        return None
    if status.get("reason"):
        return status["reason"], status.get("message", "")
    if conditions.get("PodScheduled", {}).get("status") == "False":
        return conditions["PodScheduled"].get("reason", ""), conditions["PodScheduled"].get("message", "")
    for container in status.get("containerStatuses", []):
        state = container.get("state", {})
        for kind in ("waiting", "terminated"):
            if kind in state:
                return state[kind].get("reason", kind), state[kind].get("message", "")
    return "NotReady", conditions.get("Ready", {}).get("message", "")


class Watch:
    """The Deployments of some namespaces, and why they are not ready."""

    def __init__(self, kubectl: Kubectl, namespaces: list[str]) -> None:
        self._kubectl = kubectl
        self._namespaces = namespaces

    def waiting(self) -> dict[str, str]:
        """Return what is not ready by name."""
        states = {}
        for namespace in self._namespaces:
            deployments = self._kubectl.objects("get", "deployments", "--namespace", namespace)
            if not deployments:
                states[namespace] = "no deployments"
            for one in deployments:
                if (state := unready(one)) is not None:
                    states[f"{namespace}/{one['metadata']['name']}"] = state
        return states

    def troubles(self) -> list[tuple[dict[str, Any], str, str]]:
        """Return the pods that are not ready, with reason and message."""
        pods = [pod for name in self._namespaces for pod in self._kubectl.objects("get", "pods", "--namespace", name)]
        return [(pod, *trouble) for pod in pods if (trouble := trouble_of(pod)) is not None]

    def explain(self) -> str:
        """Return one text on all pods that are not ready: reason, last event, last log lines."""
        return " ".join(self._describe(*trouble) for trouble in self.troubles()) or "No pod reports a reason."

    def _describe(self, pod: dict[str, Any], reason: str, message: str) -> str:
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        node = pod["spec"].get("nodeName", "no node")
        words = [f"{namespace}/{name} on {node}: {reason}{f' ({complaint(message)})' if message else ''}"]
        selector = f"involvedObject.name={name}"
        events = self._kubectl.objects("get", "events", "--namespace", namespace, "--field-selector", selector)
        warnings = [event for event in events if event.get("type") == "Warning"]
        if warnings:
            latest = max(warnings, key=lambda event: event.get("lastTimestamp") or "")
            words.append(f"event {latest.get('reason')}: {complaint(latest.get('message', ''))}")
        logs = self._kubectl.run("logs", "--namespace", namespace, name, f"--tail={LOG_LINES}", "--all-containers")
        if logs.stdout.strip():
            words.append(f"its log ends: {complaint(logs.stdout)}")
        return "; ".join(words) + "."


def wait(watch: Watch, timeout_s: int) -> str | None:
    """Wait, and return why Knative is not ready, or None."""
    started = time.monotonic()
    hopeless_since: float | None = None
    while waiting := watch.waiting():
        now = time.monotonic()
        hopeless = any(reason in LASTING for _, reason, _ in watch.troubles())
        hopeless_since = (hopeless_since or now) if hopeless else None
        if now - started > timeout_s or (hopeless_since and now - hopeless_since > BELIEVED_AFTER_S):
            parts = ", ".join(f"{name}: {state}" for name, state in sorted(waiting.items()))
            return f"Knative is not ready after {now - started:.0f} s ({parts}). {watch.explain()}"
        time.sleep(POLL_S)
    return None


def main() -> None:
    """Run as Ansible's module."""
    module = AnsibleModule(
        argument_spec={
            "kubectl": {"type": "list", "elements": "str", "required": True},
            "namespaces": {"type": "list", "elements": "str", "default": ["knative-serving", "kourier-system"]},
            "timeout_s": {"type": "int", "required": True},
        },
        supports_check_mode=True,
    )
    started = time.monotonic()
    try:
        reason = wait(Watch(Kubectl(module.params["kubectl"]), module.params["namespaces"]), module.params["timeout_s"])
    except KubectlError as error:
        reason = f"Knative's state cannot be read: {error}"
    if reason:
        module.fail_json(msg=reason)
    module.exit_json(changed=False, waited_s=round(time.monotonic() - started, 1))


if __name__ == "__main__":
    main()

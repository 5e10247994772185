#!/usr/bin/python
"""Ansible module: wait for a cluster, or delete what its server knows of nodes."""

from __future__ import annotations

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.k3s.api import Api, ApiError, as_administrator, why_not_ready
from ansible.module_utils.k3s.journal import Watch
from ansible.module_utils.node.change import outcome
from ansible.module_utils.node.errors import NodeError
from ansible.module_utils.node.process import attempt

DOCUMENTATION = r"""
module: k3s_cluster
short_description: Wait for a cluster, or make it forget nodes
options:
  state:
    description:
      - C(ready) waits until all nodes are listed and Ready.
      - C(forgotten) deletes nodes and their passwords, so that they may join again; does nothing where no API runs.
    type: str
    choices: [ready, forgotten]
    required: true
  unit: {description: The systemd unit that runs k3s., type: str, required: true}
  nodes: {description: The nodes by name., type: list, elements: str, default: []}
  timeout_s: {description: Timeout in seconds., type: int, default: 300}
author: [faasbed]
"""
EXAMPLES = r"""
- name: Wait until every node is Ready
  k3s_cluster:
    state: ready
    unit: faasbed-k3s
    nodes: [edge-1, edge-2]
"""
RETURN = r"""
versions: {description: kubelet's version by node., type: dict, returned: ready}
"""

POLL_S = 0.5


def serving(unit: str, timeout_s: int) -> Api:
    """Wait until the API is ready to serve, and return it."""
    watch = Watch(unit)
    while True:
        try:
            api = as_administrator()
            api.call("GET", "/readyz")
        except ApiError as error:
            reason = str(error)
        else:
            return api
        watch.look()
        if watch.believed or watch.given_up(timeout_s):
            raise NodeError(watch.report(f"The server's API is not ready after {watch.waited_s:.0f} s ({reason})"))
        time.sleep(POLL_S)


def ready(api: Api, expected: list[str], timeout_s: int) -> dict[str, dict[str, Any]]:
    """Wait until every expected node is listed and Ready, and return the nodes by name."""
    started = time.monotonic()
    while True:
        try:
            listed = {node["metadata"]["name"]: node for node in api.call("GET", "/api/v1/nodes")["items"]}
            missing = {name: why_not_ready(listed[name]) if name in listed else "not listed" for name in expected}
        except ApiError as error:
            missing = dict.fromkeys(expected, str(error))
        late = {name: reason for name, reason in missing.items() if reason}
        if not late:
            return listed
        if time.monotonic() - started > timeout_s:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in late.items())
            raise NodeError(f"Not every node is Ready after {timeout_s} s: {reasons}")
        time.sleep(POLL_S)


def forget(api: Api, names: list[str], *, dry: bool) -> list[str]:
    """Delete what the cluster knows of nodes; return a sentence for each that it knew."""
    sentences = []
    for name in names:
        secret = f"/api/v1/namespaces/kube-system/secrets/{name}.node-password.k3s"
        for what, path in (("node", f"/api/v1/nodes/{name}"), ("password of node", secret)):
            try:
                api.call("GET" if dry else "DELETE", path)
            except ApiError as error:
                if error.status != 404:
                    raise
            else:
                sentences.append(f"delete {what} {name}")
    return sentences


def act(options: dict[str, Any], *, dry: bool) -> dict[str, Any]:
    """Do what the state asks for and return the module's result."""
    unit = options["unit"]
    if options["state"] == "forgotten":
        if attempt("systemctl", "is-active", "--quiet", unit).returncode:
            return {"sentences": []}
        return {"sentences": forget(serving(unit, options["timeout_s"]), options["nodes"], dry=dry)}
    api = serving(unit, options["timeout_s"])
    listed = ready(api, options["nodes"], options["timeout_s"])
    return {
        "sentences": [],
        "versions": {name: node["status"]["nodeInfo"]["kubeletVersion"] for name, node in sorted(listed.items())},
    }


def main() -> None:
    """Run as Ansible's module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["ready", "forgotten"], "required": True},
            "unit": {"type": "str", "required": True},
            "nodes": {"type": "list", "elements": "str", "default": []},
            "timeout_s": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    try:
        result = act(module.params, dry=module.check_mode)
    except NodeError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**outcome(result.pop("sentences")), **result)


if __name__ == "__main__":
    main()

#!/usr/bin/python
"""Ansible module: wait until this node is Ready, or report why it is not."""

from __future__ import annotations

import socket
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.k3s.api import ApiError, as_kubelet, why_not_ready
from ansible.module_utils.k3s.journal import Watch, started_s
from ansible.module_utils.node.change import outcome
from ansible.module_utils.node.errors import NodeError

DOCUMENTATION = r"""
module: k3s_joined
short_description: Wait until this node is Ready in the cluster
description:
  - Ends early with the reason when k3s reports an error that does not go away by waiting.
options:
  node: {description: The node's name., type: str, required: true}
  unit: {description: The systemd unit that runs k3s., type: str, required: true}
  server: {description: Address of the server; empty on the first server itself., type: str, default: ""}
  port: {description: Its port., type: int, default: 6443}
  labels: {description: "The labels that it is to have, among others.", type: dict, default: {}}
  restart: {description: Whether to restart the unit first., type: bool, default: false}
  reach_timeout_s: {description: How long the server may be out of reach., type: int, default: 20}
  timeout_s: {description: Timeout in seconds., type: int, required: true}
author: [faasbed]
"""
EXAMPLES = r"""
- name: Wait until the node is Ready
  k3s_joined:
    node: edge-2
    unit: faasbed-k3s
    server: 192.0.2.11
    timeout_s: 300
"""
RETURN = r"""
waited_s: {description: How long the wait took, in seconds., type: float, returned: always}
"""

POLL_S = 0.5


def unreachable(address: str, port: int) -> str | None:
    """Return why a port does not answer, or None when it does."""
    try:
        socket.create_connection((address, port), timeout=3).close()
    except OSError as error:
        return error.strerror or str(error)
    return None


def label(node: str, labels: dict[str, str], *, dry: bool) -> list[str]:
    """Give the node's object its labels, as its kubelet may; return those that it did not have."""
    api = as_kubelet()
    current = api.call("GET", f"/api/v1/nodes/{node}")["metadata"].get("labels", {})
    differing = {key: value for key, value in labels.items() if current.get(key) != value}
    if differing and not dry:
        api.call("PATCH", f"/api/v1/nodes/{node}", {"metadata": {"labels": differing}})
    return [f"label {node} {key}={value}" for key, value in differing.items()]


def why_not(node: str, unit: str, labels: dict[str, str], labelled: list[str], *, dry: bool) -> str | None:
    """Return why the node is not Ready and labelled, or None when it is; ``labelled`` gets what it had to be given."""
    try:
        reason = why_not_ready(as_kubelet().call("GET", f"/api/v1/nodes/{node}"), started_s(unit))
        if reason is None:
            labelled += label(node, labels, dry=dry)
    except ApiError as error:  # a server that has just been restarted may answer and refuse in turn
        return str(error)
    return reason


def wait(options: dict[str, Any], *, dry: bool) -> list[str]:
    """Wait until the node is Ready and has its labels; return which it had to be given, a sentence each.

    Raises:
        NodeError: it is not, and will not be; the sentence has what k3s reports.
    """
    node, unit, server, port = (options[name] for name in ("node", "unit", "server", "port"))
    watch = Watch(unit, restart=options["restart"])
    reached = watch.started
    labelled: list[str] = []
    while True:
        # The k3s that is to be restarted may be Ready for a moment yet.
        reason = (
            why_not(node, unit, options["labels"], labelled, dry=dry)
            if watch.invocation
            else "its k3s has not ended yet"
        )
        if reason is None:
            return labelled
        now = time.monotonic()
        if server and (away := unreachable(server, port)) is None:
            reached = now
        elif server and now - reached > options["reach_timeout_s"]:
            raise NodeError(
                f"{node} cannot reach the server at {server}:{port} ({away}); check the firewall and the route between the two. "
                f"{watch.lines()}"
            )
        watch.look()
        if watch.believed:
            raise NodeError(watch.report(f"{node} does not join"))
        if watch.given_up(options["timeout_s"]):
            raise NodeError(watch.report(f"{node} is not Ready after {watch.waited_s:.0f} s ({reason})"))
        time.sleep(POLL_S)


def main() -> None:
    """Run as Ansible's module."""
    module = AnsibleModule(
        argument_spec={
            "node": {"type": "str", "required": True},
            "unit": {"type": "str", "required": True},
            "server": {"type": "str", "default": ""},
            "port": {"type": "int", "default": 6443},
            "labels": {"type": "dict", "default": {}},
            "restart": {"type": "bool", "default": False},
            "reach_timeout_s": {"type": "int", "default": 20},
            "timeout_s": {"type": "int", "required": True},
        },
    )
    options, started = module.params, time.monotonic()
    try:
        labelled = wait(options, dry=module.check_mode)
    except NodeError as error:
        module.fail_json(msg=str(error))
    result = outcome(labelled)
    result["changed"] |= options["restart"]
    module.exit_json(**result, waited_s=round(time.monotonic() - started, 1))


if __name__ == "__main__":
    main()

#!/usr/bin/python
"""Ansible module: whether the nodes reach each other's ports, and ports that are opened in a node's firewall."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.node.change import carry_out, outcome
from ansible.module_utils.node.errors import NodeError
from ansible.module_utils.node.firewall import Port, advice, close_changes, open_changes
from ansible.module_utils.node.ports import listen, silence, unreachable

DOCUMENTATION = r"""
module: node_ports
short_description: Reach the ports of other nodes, or open ports in this node's firewall
description:
  - C(listening) listens on the node's ports for a minute at most, C(reached) knocks at those of the others, C(silent) ends
    the listening. Nothing of it stays on the node.
  - C(opened) lets the other nodes through this node's firewall, C(closed) takes that back. Rules carry C(owner) as their
    comment and end with a restart of the node or of its firewall.
options:
  node: {description: "This node's name, for sentences.", type: str, default: this node}
  state: {description: What to do., type: str, choices: [listening, reached, silent, opened, closed], required: true}
  address: {description: This node's address on the data network., type: str, default: ""}
  ports: {description: "This node's, as C(31080/tcp).", type: list, elements: str, default: []}
  peers: {description: "The other nodes by name: C(address), C(ports), C(firewall).", type: dict, default: {}}
  sources: {description: Addresses of the nodes that C(opened) lets through., type: list, elements: str, default: []}
  owner: {description: The comment of the rules., type: str, default: faasbed}
author: [faasbed]
"""
EXAMPLES = r"""
- name: Let the other nodes through the firewall
  node_ports:
    state: opened
    ports: [31080/tcp, 31999/udp]
    sources: [192.0.2.10]
    owner: faasbed function
"""
RETURN = r"""
blocked: {description: A sentence by node whose ports do not answer., type: dict, returned: reached}
taken: {description: Ports that another program has., type: list, returned: listening}
"""

LISTEN_S = 60


def read(words: list[str]) -> list[Port]:
    """Return ports that are written as number/protocol.

    Raises:
        NodeError: one is not.
    """
    ports = []
    for word in words:
        number, _, protocol = word.partition("/")
        if not number.isdecimal() or protocol not in ("tcp", "udp"):
            raise NodeError(f"invalid port {word!r}: expected a number and a protocol, such as 31080/tcp.")
        ports.append(Port(int(number), protocol))
    return ports


def blocked(options: dict[str, Any]) -> dict[str, str]:
    """Return a sentence for each node whose ports do not answer."""
    sentences = {}
    for host, peer in options["peers"].items():
        if closed := unreachable(options["address"], peer["address"], read(peer["ports"])):
            own = ", or set open_ports: true in the inventory" if peer["firewall"] else ""
            sentences[host] = (
                f"{options['node']} cannot reach {', '.join(map(str, closed))} of {peer['address']}: "
                f"{advice(peer['firewall'], closed)}{own}"
            )
    return sentences


def act(module: AnsibleModule) -> dict[str, object]:
    """Do what the state asks for and return the module's result."""
    options = module.params
    if options["state"] in ("silent", "listening"):
        silence()
    if options["state"] == "listening":
        taken = listen(options["address"], read(options["ports"]), LISTEN_S)
        return {"changed": False, "taken": [str(port) for port in taken]}
    if options["state"] == "reached":
        return {"changed": False, "blocked": blocked(options)}
    if options["state"] in ("opened", "closed"):
        sources, ports = options["sources"], read(options["ports"])
        is_opened = options["state"] == "opened"
        changes = list(open_changes(options["owner"], ports, sources) if is_opened else close_changes(options["owner"]))
        if not module.check_mode:
            carry_out(changes)
        return outcome(change.sentence for change in changes)
    return {"changed": False}


def main() -> None:
    """Run as Ansible's module."""
    module = AnsibleModule(
        argument_spec={
            "state": {
                "type": "str",
                "choices": ["listening", "reached", "silent", "opened", "closed"],
                "required": True,
            },
            "node": {"type": "str", "default": "this node"},
            "address": {"type": "str", "default": ""},
            "ports": {"type": "list", "elements": "str", "default": []},
            "peers": {"type": "dict", "default": {}},
            "sources": {"type": "list", "elements": "str", "default": []},
            "owner": {"type": "str", "default": "faasbed"},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**act(module))
    except (NodeError, OSError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()

#!/usr/bin/python
"""Ansible module: the links that leave this node."""

from __future__ import annotations

import shutil
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.netem.addresses import listed, with_routed
from ansible.module_utils.netem.baseline import Baseline
from ansible.module_utils.netem.changes import Changer
from ansible.module_utils.netem.filters import TCP, UDP, Port
from ansible.module_utils.netem.in_force import in_force
from ansible.module_utils.netem.lease import Lease, alone
from ansible.module_utils.netem.link import LinkError, read_links
from ansible.module_utils.netem.pairs import sample
from ansible.module_utils.netem.probe import Ports, answer
from ansible.module_utils.netem.requirements import check_node
from ansible.module_utils.netem.shaping import Outcome, Shaping, boot
from ansible.module_utils.netem.tc import routes
from ansible.module_utils.node.errors import NodeError

DOCUMENTATION = r"""
module: netem_links
short_description: Give the network links that leave this node their delay, jitter and loss
description:
  - Brings the egress of one interface to exactly the links whose source is this node, and touches only what differs.
  - Uses the kernel's sch_netem, or an emulator process where the kernel has none.
  - Removal works on what is there, so it also cleans up after a killed run.
options:
  state:
    description:
      - C(probed) checks links and node and returns which backend it would take. C(checked) also compares the links in force
        with C(links) (without them, with what was applied), renews the lease, and has this node answer probes.
      - C(present) applies, C(renewed) renews the lease and returns as C(drift) why C(links) of this node are not in force,
        C(absent) undoes everything.
    type: str
    choices: [probed, checked, present, renewed, absent]
    default: present
  node: {description: This node's name in the inventory., type: str, required: true}
  links: {description: All links of the testbed; those of other sources are checked and left alone., type: list, elements: dict, default: []}
  addresses:
    description:
      - "Addresses on the data network by host: a string or a list."
      - What this node reaches by way of a target is the target's as well, such as its pods where nothing wraps them.
    type: dict
    default: {}
  interface: {description: The interface towards the data network., type: str, required: true}
  backend: {description: Which way to shape., type: str, choices: [auto, kernel, emulator], default: auto}
  folder: {description: Where this node keeps state and the emulator's files., type: path, required: true}
  emulator: {description: Path of the emulator on this node., type: path, required: true}
  management_ports: {description: TCP ports by which the testbed is managed; never shaped., type: list, elements: int, default: [22]}
  control_port: {description: UDP port of the probes that see the path alone; never shaped., type: int, default: 32000}
  compensate:
    description:
      - Make what the path takes by itself a part of the link's delay, as C(netem_probes) with C(baseline) measured it.
    type: bool
    default: false
  port: {description: UDP port by which a node that is C(checked) answers probes, type: int, default: 31999}
  seconds: {description: "For how long it does, at most.", type: int, default: 120}
  streams: {description: To how many links of the testbed TCP is sent., type: int, default: 8}
  purge: {description: "Whether C(absent) also removes C(folder).", type: bool, default: false}
  lease_s:
    description: The links are cleared when they are not renewed or applied for so long; 0 for no lease.
    type: float
    default: 0
  changes_from:
    description:
      - Address of who may change these links and this node's load while they are used, and have nodes leave, by
        C(control_port)/tcp; nobody when empty.
    type: str
    default: ""
  changes_at: {description: This node's address at which it is heard., type: str, default: ""}
  changes_command: {description: What has nodes leave and join again; it need not be there yet., type: str, default: ""}
author: [faasbed]
"""
EXAMPLES = r"""
- name: Shape the links that leave this node
  netem_links:
    node: "{{ inventory_hostname }}"
    links:
      - {source: bs, target: edge-1, delay_ms: 1.25, jitter_ms: 0.25, loss_percent: 0.02}
    addresses: {bs: 192.0.2.1, edge-1: 192.0.2.2}
    interface: data0
    folder: /var/lib/faasbed/netem
    emulator: /var/lib/faasbed/netem/emulator.py
    lease_s: 3600
- name: Undo everything
  netem_links:
    state: absent
    node: "{{ inventory_hostname }}"
    interface: data0
    folder: /var/lib/faasbed/netem
    emulator: /var/lib/faasbed/netem/emulator.py
"""
RETURN = r"""
backend: {description: The backend in use., type: str, returned: not absent}
reason: {description: A sentence on why it is this one., type: str, returned: not absent}
links: {description: "The links in force on this node afterwards; none where they were only looked at.", type: list, returned: always}
recorded: {description: "The links that were applied, in force or not.", type: list, returned: probed and checked}
machine: {description: "The same for all nodes of one machine.", type: str, returned: probed and checked}
stream_to: {description: "The targets of this node's links that are in the sample for TCP.", type: list, returned: checked}
delays:
  description: "By target, C(lowest_ms), C(mean_ms) and C(sigma_ms) of the delays that the links in force add."
  type: dict
  returned: renewed
drift: {description: How the node differed from what was applied., type: str, returned: present and renewed}
"""


STATES = ("probed", "checked", "present", "renewed", "absent")


def act(module: AnsibleModule) -> dict[str, object]:
    """Do what the state asks for and return the module's result."""
    options = module.params
    folder = Path(options["folder"])
    control = options["control_port"]
    passing = [*(Port(TCP, number) for number in (*options["management_ports"], control)), Port(UDP, control)]
    shaping = Shaping(options["interface"], folder, options["emulator"], passing)
    lease = Lease(options["interface"], folder, options["emulator"])
    changer = Changer(options["interface"], folder, options["emulator"])
    if options["state"] == "absent":
        return remove(module, shaping, lease, changer)
    if options["state"] == "renewed":
        return renew(module, lease)
    addresses = listed(options["addresses"])
    checked = options["state"] == "checked"
    links = read_links(options["links"], list(addresses))
    check_node(options["interface"])
    recorded = [one.link.entry() for one in shaping.recorded().values()]
    links = read_links(recorded, list(addresses)) if checked and not links else links
    mine = [link for link in links if link.source == options["node"]]
    addresses = with_routed(addresses, [link.target for link in mine], routes(options["interface"]))
    paths: dict[str, float] = {}
    if options["compensate"]:
        # Before the links are applied for the first time, and in a trial run, there may be nothing to know yet.
        needed = options["state"] == "present" and not module.check_mode
        paths = Baseline.read(folder).paths_ms((link.target for link in mine), all_known=needed)
    backend, reason = shaping.preflight(options["backend"], mine, addresses, paths)
    about: dict[str, object] = {"backend": backend.name, "reason": reason}
    # Who shares a kernel with it shares a machine.
    about |= {"recorded": recorded, "machine": boot().split()[0]}
    if options["state"] == "probed":
        return about | {"changed": False, "links": [one.link.entry() for one in shaping.current()[0].values()]}
    about["drift"] = lease.lapsed() or shaping.drift()
    if checked:
        outcome = shaping.apply(mine, addresses, backend, paths, dry=True)
        if not module.check_mode:
            lease.renew_again()
        answer(options["node"], options["addresses"], folder, options["interface"], Ports.of(options))
        targets = [link.target for link in sample(links, options["streams"]) if link.source == options["node"]]
        return result(outcome) | about | {"changed": False, "links": [], "stream_to": targets}
    if mine and not module.check_mode:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if mine and not module.check_mode:  # before the first link, lest this process is lost half-way
        lease.renew(options["lease_s"])
    if not module.check_mode:
        changer.end()
    outcome = shaping.apply(mine, addresses, backend, paths, dry=module.check_mode)
    if not module.check_mode:
        lease.renew(options["lease_s"] if mine else 0)
    if mine and options["changes_from"] and not module.check_mode:
        changer.start(options["changes_at"], control, options["changes_from"], options["changes_command"])
    return result(outcome) | about | {"links": [link.entry() for link in mine]}


def remove(module: AnsibleModule, shaping: Shaping, lease: Lease, changer: Changer) -> dict[str, object]:
    """Undo everything."""
    folder = lease.folder
    if not module.check_mode:
        changer.end()
        lease.end()
    outcome = shaping.clear(dry=module.check_mode)
    left = module.params["purge"] and folder.exists()
    if left and not module.check_mode:
        shutil.rmtree(folder)
    return result(outcome) | {"links": [], "changed": outcome.changed or left}


def renew(module: AnsibleModule, lease: Lease) -> dict[str, object]:
    """Renew the lease, and tell whether the links are in force."""
    options = module.params
    if not module.check_mode:
        lease.renew_again()
    seen = in_force(options["interface"], lease.folder, options["emulator"])
    expected = any(link.get("source") == options["node"] for link in options["links"])
    drift = seen["problem"] if seen["links"] or expected else lease.lapsed()
    return {"changed": False, "links": [], "drift": drift, "delays": seen["delays"]}


def result(outcome: Outcome) -> dict[str, object]:
    """Return an outcome in Ansible's words."""
    lines = {
        "before": "".join(f"{line}\n" for line in outcome.before),
        "after": "".join(f"{line}\n" for line in outcome.after),
    }
    return {"changed": outcome.changed, "diff": lines}


def main() -> None:
    """Run as Ansible's module."""
    arguments = {
        "state": {"type": "str", "choices": STATES, "default": "present"},
        "node": {"type": "str", "required": True},
        "links": {"type": "list", "elements": "dict", "default": []},
        "addresses": {"type": "dict", "default": {}},
        "interface": {"type": "str", "required": True},
        "backend": {"type": "str", "choices": ["auto", "kernel", "emulator"], "default": "auto"},
        "folder": {"type": "path", "required": True},
        "emulator": {"type": "path", "required": True},
        "management_ports": {"type": "list", "elements": "int", "default": [22]},
        "control_port": {"type": "int", "default": 32000},
        "compensate": {"type": "bool", "default": False},
        "lease_s": {"type": "float", "default": 0},
        "changes_from": {"type": "str", "default": ""},
        "changes_at": {"type": "str", "default": ""},
        "changes_command": {"type": "str", "default": ""},
        "port": {"type": "int", "default": 31999},
        "seconds": {"type": "int", "default": 120},
        "streams": {"type": "int", "default": 8},
        "purge": {"type": "bool", "default": False},
    }
    module = AnsibleModule(argument_spec=arguments, supports_check_mode=True)
    try:
        with alone(Path(module.params["folder"])):
            module.exit_json(**act(module))
    except (LinkError, NodeError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()

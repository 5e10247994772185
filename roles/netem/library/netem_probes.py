#!/usr/bin/python
"""Ansible module: measure the links that leave this node, and hold them against what was asked for."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.netem.addresses import ends, listed, own
from ansible.module_utils.netem.baseline import path_ms, remember, remembered
from ansible.module_utils.netem.emulator import counted, read_counters
from ansible.module_utils.netem.gate import expected_mbit, judge, sentence, starved
from ansible.module_utils.netem.link import Link, LinkError, read_links
from ansible.module_utils.netem.probe import measure, start_responder, stop_responders
from ansible.module_utils.netem.stream import stream
from ansible.module_utils.netem.tc import NodeError

DOCUMENTATION = r"""
module: netem_probes
short_description: Probe the network links that leave this node
description:
  - Sends UDP probes to a responder on each target and compares delay, jitter and loss with the link's own values.
options:
  state:
    description:
      - C(responding) starts this node's responder, which ends by itself after C(seconds); C(silent) ends it.
      - C(baseline) probes the targets and remembers what the path does by itself; C(judged) probes and judges.
      - C(streamed) sends by TCP instead, one link after the other; only one node at a time should.
    type: str
    choices: [responding, silent, baseline, streamed, judged]
    required: true
  node: {description: This node's name in the inventory., type: str, required: true}
  links: {description: All links of the testbed., type: list, elements: dict, default: []}
  addresses:
    description:
      - "Addresses on the data network by host: a string or a list. Probed is the first of each family that is no range,
        so a host that has both is probed by IPv4 and by IPv6."
    type: dict
    default: {}
  port: {description: UDP port of the responders., type: int, default: 31999}
  control_port: {description: UDP port that no link shapes; by it the path alone is seen., type: int, default: 32000}
  seconds: {description: How long a responder lives., type: int, default: 120}
  probes: {description: Probes for each link., type: int, default: 1000}
  interval_ms: {description: Time between two probes., type: float, default: 2}
  patience_s:
    description: How long a link is measured again that is off because its machine stalls; one that is off is once anyway.
    type: float
    default: 60
  compensated:
    description: Whether the links' delays have the path's own in them, as C(compensate) of C(netem_links) makes them.
    type: bool
    default: false
  stream_s: {description: How long C(streamed) sends over each link., type: float, default: 2}
  streams: {description: What C(streamed) returned on this node., type: dict, default: {}}
  folder: {description: Where this node keeps the role's state., type: path, required: true}
  interface: {description: "The interface towards the data network, by which an emulator's counters are found.", type: str, required: true}
author: [faasbed]
"""

RETURN = r"""
streams: {description: "Mbit/s of one TCP connection by target, and what the formula says.", type: dict, returned: streamed}
links: {description: "An entry of the report for each link of this node, and each family by which it is probed.", type: list, returned: judged}
sentences: {description: The same in one line each., type: list, returned: judged}
problems: {description: The sentences of the links that are off., type: list, returned: judged}
"""


STATES = ("responding", "silent", "baseline", "streamed", "judged")


def act(options: dict[str, Any]) -> dict[str, Any]:
    """Do what the state asks for and return the module's result."""
    if options["state"] == "silent":
        stop_responders()
        return {}
    addresses = listed(options["addresses"])
    if options["state"] == "responding":
        stop_responders()
        for address in own(options["node"], addresses.get(options["node"], ())).values():
            start_responder(address, options["port"], options["control_port"], options["seconds"])
        return {}
    links = read_links(options["links"], list(addresses))
    mine = [link for link in links if link.source == options["node"]]
    paths = {link.target: ends(link.source, link.target, addresses) for link in mine}

    folder = Path(options["folder"])
    baselines = remembered(folder)
    back = {link.source: asdict(link) for link in links if link.target == options["node"]}

    def baseline(link: Link, family: int) -> dict[str, Any] | None:
        return baselines.get(link.target, {}).get(str(family))

    if options["state"] == "streamed":
        streams = {}
        for link in mine:
            family = min(paths[link.target])
            rate = stream(*paths[link.target][family], options["port"], options["stream_s"])
            formula = expected_mbit(asdict(link), back.get(link.target), baseline(link, family))
            streams[link.target] = {"tcp_mbit": rate, "tcp_formula_mbit": formula}
        return {"streams": streams}

    def probed(link: Link, family: int) -> dict[str, Any]:
        before = read_counters(folder, options["interface"], link.target)
        way, probes, interval_ms = paths[link.target][family], options["probes"], options["interval_ms"]
        if options["state"] == "baseline":
            found = measure(*way, options["port"], probes, interval_ms)
        else:
            # A link of the kernel's is as punctual as the node's timers; an emulator makes up for them.
            wait_ms = 0 if before else link.delay_ms
            found = measure(
                *way, options["port"], probes, interval_ms, control_port=options["control_port"], wait_ms=wait_ms
            )
        if before:
            expected = before["in"] + found["sent"]
            after = counted(folder, options["interface"], link.target, expected)
            found["starved"] = starved(before, after)
        return found | {"family": family}

    # In turn: two at once make each other late, on a node with one CPU by more than the jitter they are to measure.
    measured = {link.target: {family: probed(link, family) for family in paths[link.target]} for link in mine}
    if options["state"] == "baseline":
        remember(folder, {target: {str(family): one for family, one in by.items()} for target, by in measured.items()})
        return {}

    def judged(link: Link, family: int, values: dict[str, Any]) -> dict[str, Any]:
        streamed = options["streams"].get(link.target) if family == min(paths[link.target]) else None
        own_ms = path_ms(baselines, link.target) if options["compensated"] else None
        entry = judge(asdict(link), back.get(link.target), values, baseline(link, family), own_ms)
        return entry | (streamed or {"tcp_mbit": None, "tcp_formula_mbit": None})

    entries = []
    for link in mine:
        for family, values in measured[link.target].items():
            entry = judged(link, family, values)
            # A moment at which the node was busy passes, a link that is wrong stays wrong. Where the machine itself stalls,
            # as one that shares its CPUs with others may for half a minute, a measurement says little about the link.
            before: list[str] = []
            patient_until = time.monotonic() + options["patience_s"]
            while not entry["ok"] and (not before or (entry["disturbed"] and time.monotonic() < patient_until)):
                before.append(sentence(entry))
                entry = judged(link, family, probed(link, family))
            entries.append(entry | {"measured_before": before})
    return {
        "links": entries,
        "sentences": [sentence(entry) for entry in entries],
        "problems": [sentence(entry) for entry in entries if not entry["ok"]],
    }


def main() -> None:
    """Run as Ansible's module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": STATES, "required": True},
            "node": {"type": "str", "required": True},
            "links": {"type": "list", "elements": "dict", "default": []},
            "addresses": {"type": "dict", "default": {}},
            "port": {"type": "int", "default": 31999},
            "control_port": {"type": "int", "default": 32000},
            "seconds": {"type": "int", "default": 120},
            "probes": {"type": "int", "default": 1000},
            "interval_ms": {"type": "float", "default": 2},
            "patience_s": {"type": "float", "default": 60},
            "compensated": {"type": "bool", "default": False},
            "stream_s": {"type": "float", "default": 2},
            "streams": {"type": "dict", "default": {}},
            "folder": {"type": "path", "required": True},
            "interface": {"type": "str", "required": True},
        },
        supports_check_mode=True,  # it measures; nothing stays
    )
    try:
        module.exit_json(changed=False, **act(module.params))
    except (LinkError, NodeError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()

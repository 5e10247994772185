#!/usr/bin/python
"""Ansible module: measure the links that leave this node, and judge them."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.netem.addresses import ends, listed, own
from ansible.module_utils.netem.baseline import Baseline
from ansible.module_utils.netem.emulator import counted, read_counters
from ansible.module_utils.netem.gate import expected_mbit, judge, starved
from ansible.module_utils.netem.link import LinkError, read_links
from ansible.module_utils.netem.probe import measure, start_responder, stop_responders
from ansible.module_utils.netem.stream import stream
from ansible.module_utils.netem.verdict import Tcp
from ansible.module_utils.node.errors import NodeError

if TYPE_CHECKING:
    from ansible.module_utils.netem.link import Link
    from ansible.module_utils.netem.measurement import Measurement
    from ansible.module_utils.netem.verdict import Verdict

DOCUMENTATION = r"""
module: netem_probes
short_description: Probe the network links that leave this node
description:
  - Sends UDP probes to a responder on each target and compares delay, jitter and loss with the link's own values.
options:
  state:
    description:
      - C(responding) starts this node's responder, which ends by itself after C(seconds); C(silent) ends it.
      - C(baseline) probes the targets and stores what the path does by itself; C(judged) probes and judges.
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
  control_port: {description: UDP port that no link shapes, by which the path alone is measured., type: int, default: 32000}
  seconds: {description: How long a responder lives., type: int, default: 120}
  probes: {description: Probes for each link., type: int, default: 1000}
  interval_ms: {description: Time between two probes., type: float, default: 2}
  patience_s:
    description: For how long a link is measured again if it is off because its machine stalls; one that is off is once anyway.
    type: float
    default: 60
  compensated:
    description: Whether the links' delays have the path's own in them, as C(compensate) of C(netem_links) makes them.
    type: bool
    default: false
  stream_s: {description: How long C(streamed) sends over each link., type: float, default: 2}
  streams: {description: What C(streamed) returned on this node., type: dict, default: {}}
  folder: {description: Where this node keeps the role's state., type: path, required: true}
  interface: {description: "The interface towards the data network, to which an emulator's counters belong.", type: str, required: true}
author: [faasbed]
"""
EXAMPLES = r"""
- name: Answer probes
  netem_probes:
    state: responding
    node: "{{ inventory_hostname }}"
    addresses: {bs: 192.0.2.1, edge-1: 192.0.2.2}
    folder: /var/lib/faasbed/netem
    interface: data0
- name: Measure and judge the links that leave this node
  netem_probes:
    state: judged
    node: "{{ inventory_hostname }}"
    links:
      - {source: bs, target: edge-1, delay_ms: 1.25, jitter_ms: 0.25, loss_percent: 0.02}
    addresses: {bs: 192.0.2.1, edge-1: 192.0.2.2}
    folder: /var/lib/faasbed/netem
    interface: data0
"""
RETURN = r"""
streams: {description: "Mbit/s of one TCP connection by target, and by the formula.", type: dict, returned: streamed}
links: {description: "An entry of the report for each link of this node, and each family by which it is probed.", type: list, returned: judged}
sentences: {description: The same in one line each., type: list, returned: judged}
advice: {description: What to do about them., type: list, returned: judged}
problems: {description: The sentences of the links that are off., type: list, returned: judged}
"""


STATES = ("responding", "silent", "baseline", "streamed", "judged")


class Node:
    """This node, as one that measures the links which leave it.

    Args:
        options: the module's.

    Raises:
        LinkError: a link that cannot be.
        NodeError: an address that cannot be, or none in common with a target.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.folder = Path(options["folder"])
        addresses = listed(options["addresses"])
        links = read_links(options["links"], list(addresses))
        self.links = [link for link in links if link.source == options["node"]]
        self.back = {link.source: link for link in links if link.target == options["node"]}
        # The two addresses between which a link is probed, by target and family.
        self.ends = {link.target: ends(link.source, link.target, addresses) for link in self.links}
        self.baseline = Baseline.read(self.folder)

    def measure_baseline(self) -> None:
        """Probe the targets while no link is in force, and remember it."""
        port, probes, interval_ms = (self.options[key] for key in ("port", "probes", "interval_ms"))
        paths = {
            target: {family: measure(*pair, port, probes, interval_ms).probes for family, pair in families.items()}
            for target, families in self.ends.items()
        }
        for target, families in paths.items():
            for family, probes in families.items():
                if not probes.answered:
                    raise NodeError(
                        f"{self.options['node']} -> {target}: none of {probes.sent} probes was answered by "
                        f"{self.ends[target][family][1]} on {self.options['port']}/udp, before any link was shaped: a "
                        "firewall drops them, or they take another way. See make preflight, which names ports and routes."
                    )
        self.baseline.with_measured(paths).write(self.folder)

    def stream(self) -> dict[str, dict[str, float | None]]:
        """Send by TCP over one link after the other and return what each carried, by target."""
        streams = {}
        for link in self.links:
            family = min(self.ends[link.target])
            mbit = stream(*self.ends[link.target][family], self.options["port"], self.options["stream_s"])
            clear = self.baseline.probes(link.target, family)
            streams[link.target] = asdict(Tcp(mbit, expected_mbit(link, self.back.get(link.target), clear)))
        return streams

    def measure(self, link: Link, family: int) -> Measurement:
        """Probe a link by one family of addresses."""
        pair, interface = self.ends[link.target][family], self.options["interface"]
        before = read_counters(self.folder, interface, link.target)
        measured = measure(
            *pair,
            self.options["port"],
            self.options["probes"],
            self.options["interval_ms"],
            control_port=self.options["control_port"],
            # A link of the kernel's is as punctual as the node's timers; an emulator makes up for them.
            wait_ms=0 if before else link.delay.delay_ms,
        )
        if not before:
            return measured
        after = counted(self.folder, interface, link.target, before["in"] + measured.probes.sent)
        return replace(measured, starved=starved(before, after))

    def judge(self, link: Link, family: int, measured: Measurement) -> Verdict:
        """Hold a measurement against its link."""
        streamed = self.options["streams"].get(link.target) if family == min(self.ends[link.target]) else None
        return judge(
            link,
            self.back.get(link.target),
            measured,
            self.baseline.probes(link.target, family),
            self.baseline.path_ms(link.target) if self.options["compensated"] else None,
            Tcp(**streamed) if streamed else None,
            self.options["stream_s"],
        )

    def verdicts(self) -> list[Verdict]:
        """Measure and judge each link by each family."""
        # In turn: two at once make each other late, on a node with one CPU by more than the jitter they are to measure.
        first = [(link, family, self.measure(link, family)) for link in self.links for family in self.ends[link.target]]
        return [self._settled(link, family, measured) for link, family, measured in first]

    def _settled(self, link: Link, family: int, measured: Measurement) -> Verdict:
        """Return the verdict on a link, which is measured again while it is off.

        A moment at which the node was busy passes, a link that is wrong stays wrong. Where the machine itself stalls, as
        one that shares its CPUs with others may for half a minute, a measurement says little about the link.
        """
        verdict = self.judge(link, family, measured)
        before: list[str] = []
        patient_until = time.monotonic() + self.options["patience_s"]
        while not verdict.ok and (not before or (verdict.disturbed and time.monotonic() < patient_until)):
            before.append(str(verdict))
            verdict = self.judge(link, family, self.measure(link, family))
        return verdict.after(before)


def act(options: dict[str, Any]) -> dict[str, Any]:
    """Do what the state asks for and return the module's result."""
    if options["state"] == "silent":
        stop_responders()
        return {}
    if options["state"] == "responding":
        addresses = listed(options["addresses"]).get(options["node"], ())
        stop_responders()
        for address in own(options["node"], addresses).values():
            start_responder(address, options["port"], options["control_port"], options["seconds"])
        return {}
    node = Node(options)
    if options["state"] == "baseline":
        node.measure_baseline()
        return {}
    if options["state"] == "streamed":
        return {"streams": node.stream()}
    verdicts = node.verdicts()
    return {
        "links": [verdict.entry() for verdict in verdicts],
        "sentences": [str(verdict) for verdict in verdicts],
        "problems": [str(verdict) for verdict in verdicts if not verdict.ok],
        "advice": list(dict.fromkeys(verdict.advice for verdict in verdicts if verdict.advice)),
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

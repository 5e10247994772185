#!/usr/bin/python
"""Ansible module: measure the links that leave this node, and judge them."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.netem.addresses import ends, listed
from ansible.module_utils.netem.baseline import Baseline
from ansible.module_utils.netem.emulator import counted, read_counters
from ansible.module_utils.netem.gate import expected_mbit, judge, starved
from ansible.module_utils.netem.link import LinkError, read_links
from ansible.module_utils.netem.pairs import Task, tasks
from ansible.module_utils.netem.probe import Ports, answer, ask_counters, measure, stop_responders
from ansible.module_utils.netem.stream import stream
from ansible.module_utils.netem.verdict import Tcp
from ansible.module_utils.node.errors import NodeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ansible.module_utils.netem.baseline import PathProbes
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
      - C(streamed) sends by TCP to C(stream_to) instead, one link after the other; only one node at a time should.
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
  probes_per_s:
    description: How many probes C(machine) sends in a second, to all peers together; with many they are further apart.
    type: float
    default: 4000
  machine: {description: "The nodes that share this one's machine, if others do.", type: list, elements: str, default: []}
  both_ways:
    description: Nodes of whose links one exchange measures both directions, at one of the two ends; those with an emulator.
    type: list
    elements: str
    default: []
  stream_to: {description: "The targets to which C(streamed) sends, a sample.", type: list, elements: str, default: []}
  patience_s:
    description: For how long a link is measured again if it is off because its machine stalls; one that is off is once anyway.
    type: float
    default: 60
  compensated:
    description: Whether the links' delays have the path's own in them, as C(compensate) of C(netem_links) makes them.
    type: bool
    default: false
  stream_s: {description: How long C(streamed) sends over each link., type: float, default: 2}
  streams: {description: "What C(streamed) returned, by node.", type: dict, default: {}}
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
# After how many probes over an emulated link one goes past it: it tells how the path is, and never widens the gate.
CONTROL_EVERY = 8


class Node:
    """This node, as one that measures links: those that leave it, and some that lead to it.

    Args:
        options: the module's.

    Raises:
        LinkError: a link that cannot be.
        NodeError: an address that cannot be, or none in common with a target.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.folder = Path(options["folder"])
        self.addresses = listed(options["addresses"])
        self.all = read_links(options["links"], list(self.addresses))
        self.links = [link for link in self.all if link.source == options["node"]]
        self.back = {link.source: link for link in self.all if link.target == options["node"]}
        self.machine = {options["node"], *options["machine"]}
        self.baseline = Baseline.read(self.folder)

    def ends(self, link: Link) -> dict[int, tuple[str, str]]:
        """Return the two addresses between which a link is probed, for each family."""
        return ends(link.source, link.target, self.addresses)

    def measure_baseline(self) -> None:
        """Probe the targets while no link is in force, and remember it."""
        port, probes, interval_ms = (self.options[key] for key in ("port", "probes", "interval_ms"))
        ways = [(link.target, family, pair) for link in self.links for family, pair in self.ends(link).items()]
        pairs = [pair for _, _, pair in ways]
        others = sum(len(self.ends(link)) for link in self.all if link.source in self.machine)
        rate = self.options["probes_per_s"] * len(pairs) / max(others, 1)
        exchanges = measure(pairs, port, probes, interval_ms, probes_per_s=rate)
        paths: PathProbes = {}
        for (target, family, pair), exchange in zip(ways, exchanges, strict=True):
            paths.setdefault(target, {})[family] = seen = exchange.there.probes
            if not seen.answered:
                raise NodeError(
                    f"{self.options['node']} -> {target}: none of {seen.sent} probes was answered by {pair[1]} on "
                    f"{port}/udp, before any link was shaped: a firewall drops them, or they take another way. See make "
                    "preflight, which names ports and routes."
                )
        self.baseline.with_measured(paths).write(self.folder)

    def stream(self) -> dict[str, dict[str, float | None]]:
        """Send by TCP over one link of the sample after the other and return what each carried, by target."""
        streams = {}
        for link in self.links:
            if link.target not in self.options["stream_to"]:
                continue
            pairs = self.ends(link)
            mbit = stream(*pairs[min(pairs)], self.options["port"], self.options["stream_s"])
            clear = self.baseline.probes(link.target, min(pairs))
            streams[link.target] = asdict(Tcp(mbit, expected_mbit(link, self.back.get(link.target), clear)))
        return streams

    def verdicts(self) -> list[Verdict]:
        """Measure and judge each link that this node measures, by each family; those that are off again."""
        mine, *others = (
            tasks(node, self.all, self.options["both_ways"], self.ends)
            for node in (self.options["node"], *(self.machine - {self.options["node"]}))
        )
        measured = self._judged(mine, len(mine) / max(len(mine) + sum(map(len, others)), 1))
        patient_until = time.monotonic() + self.options["patience_s"]
        before: dict[tuple[Link, int], list[str]] = {}
        # A moment at which the node was busy passes, a link that is wrong stays wrong. Where the machine itself stalls, as
        # one that shares its CPUs with others may for half a minute, a measurement says little about the link.
        while off := [
            key
            for key, verdict in measured.items()
            if not verdict.ok and (key not in before or (verdict.disturbed and time.monotonic() < patient_until))
        ]:
            for key in off:
                before.setdefault(key, []).append(str(measured[key]))
            again = self._judged(
                [task for task in mine if any((link, task.family) in off for link in task.links)], 1 / len(self.machine)
            )
            measured |= {key: again[key] for key in off}
        return [verdict.after(before.get(key, [])) for key, verdict in measured.items()]

    def _judged(self, mine: list[Task], share: float) -> dict[tuple[Link, int], Verdict]:
        """Measure links, all at once, by a share of what the machine may send; hold them against what they should be."""
        # An emulator makes up for its machine's timers; a link of the kernel's is as punctual as they are.
        before = [self._counters(task) for task in mine]
        emulated = all(there for there, _ in before)
        exchanges = measure(
            [task.ends for task in mine],
            *(self.options[key] for key in ("port", "probes", "interval_ms")),
            control_port=self.options["control_port"],
            control_every=CONTROL_EVERY if emulated else 1,
            probes_per_s=self.options["probes_per_s"] * share,
            wait_ms=[0 if there else task.there.delay.delay_ms for task, (there, _) in zip(mine, before, strict=True)],
        )
        verdicts = {}
        for task, (there, back), exchange in zip(mine, before, exchanges, strict=True):
            here = partial(read_counters, self.folder, self.options["interface"], task.there.target)
            verdicts[task.there, task.family] = self._judge(
                task.there, _with(exchange.there, there, here), mirrored=False
            )
            if task.back is not None:
                beyond = partial(ask_counters, *task.ends, self.options["control_port"])
                verdicts[task.back, task.family] = self._judge(
                    task.back, _with(exchange.back, back, beyond), mirrored=True
                )
        return verdicts

    def _counters(self, task: Task) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what the emulators at both ends counted so far, this one's and, where its link is measured, the other's."""
        there = read_counters(self.folder, self.options["interface"], task.there.target)
        return there, ask_counters(*task.ends, self.options["control_port"]) if task.back else {}

    def _judge(self, link: Link, measured: Measurement, *, mirrored: bool) -> Verdict:
        """Hold a measurement against its link; where mirrored is set, one that leads to this node."""
        family = measured.family
        other = link.source if mirrored else link.target
        baseline = self.baseline.probes(other, family)
        streams = self.options["streams"].get(link.source, {})
        streamed = streams.get(link.target) if family == min(self.ends(link)) else None
        return judge(
            link,
            next((one for one in self.links if one.target == other), None) if mirrored else self.back.get(other),
            measured,
            baseline.mirrored() if baseline and mirrored else baseline,
            self.baseline.path_ms(other) if self.options["compensated"] else None,
            Tcp(**streamed) if streamed else None,
            self.options["stream_s"],
            sum(len(self.ends(one)) for one in self.all),
        )


def _with(measured: Measurement, before: dict[str, Any], read: Callable[[], dict[str, Any]]) -> Measurement:
    """Return a measurement with what the counters of the link's emulator say against it, where there are any."""
    after = counted(read, before["in"] + measured.probes.sent) if before else {}
    return replace(measured, starved=starved(before, after)) if after else measured


def act(options: dict[str, Any]) -> dict[str, Any]:
    """Do what the state asks for and return the module's result."""
    if options["state"] == "silent":
        stop_responders()
        return {}
    if options["state"] == "responding":
        answer(options["node"], options["addresses"], Path(options["folder"]), options["interface"], Ports.of(options))
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
            "probes_per_s": {"type": "float", "default": 4000},
            "machine": {"type": "list", "elements": "str", "default": []},
            "both_ways": {"type": "list", "elements": "str", "default": []},
            "stream_to": {"type": "list", "elements": "str", "default": []},
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

"""Nodes that are network namespaces on a bridge, on which the role's modules run as Ansible would run them.

Standard library and Ansible's own module code only: the guest in user-mode Linux uses it, too.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROLE = Path(__file__).resolve().parents[3] / "roles" / "netem"
SHIPPED = [str(ROLE.parent / role / "module_utils") for role in ("netem", "node")]
NETWORK = "198.19.128"
NETWORK6 = "2001:db8:6"
# What AnsiballZ does on a node: the role's module_utils belong to ansible.module_utils, the options come as JSON.
RUN_MODULE = f"""
import json, runpy, sys
import ansible.module_utils, ansible.module_utils.basic as basic
ansible.module_utils.__path__.extend({SHIPPED!r})
basic._ANSIBLE_ARGS, basic._ANSIBLE_PROFILE = sys.argv[2].encode(), "legacy"
runpy.run_path({str(ROLE / "library")!r} + "/" + sys.argv[1] + ".py", run_name="__main__")
"""


def call(*command: str, check: bool = True, stdin: str = "") -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return done.stdout


class ModuleFailedError(AssertionError):
    """A module said no; its message is the exception's."""


@dataclass(frozen=True)
class Wires:
    """Namespaces `<prefix>-<node>` with an interface data0 each, joined by a bridge in `<prefix>-wires`."""

    prefix: str
    nodes: tuple[str, ...]
    folder: Path

    def up(self) -> None:
        call("ip", "netns", "add", f"{self.prefix}-wires")
        call("ip", "-n", f"{self.prefix}-wires", "link", "add", "br0", "type", "bridge")
        call("ip", "-n", f"{self.prefix}-wires", "link", "set", "br0", "up")
        for node in self.nodes:
            space = f"{self.prefix}-{node}"
            call("ip", "netns", "add", space)
            call("ip", "-n", space, "link", "set", "lo", "up")
            call(
                "ip", "-n", f"{self.prefix}-wires", "link", "add", f"p-{node}", "type", "veth",
                "peer", "name", "data0", "netns", space,
            )  # fmt: skip
            call("ip", "-n", f"{self.prefix}-wires", "link", "set", f"p-{node}", "master", "br0", "up")
            call("ip", "-n", space, "addr", "add", f"{self.address(node)}/24", "dev", "data0")
            call("ip", "-n", space, "addr", "add", f"{self.address6(node)}/64", "dev", "data0", "nodad")
            call("ip", "-n", space, "link", "set", "data0", "up")

    def down(self) -> None:
        for node in (*self.nodes, "wires"):
            call("ip", "netns", "del", f"{self.prefix}-{node}", check=False)

    def address(self, node: str) -> str:
        return f"{NETWORK}.{self.nodes.index(node) + 10}"

    def address6(self, node: str) -> str:
        return f"{NETWORK6}::{self.nodes.index(node) + 10}"

    def addresses(self, by: str) -> dict[str, Any]:
        """Every node's addresses of one family, IPv4 or IPv6, or both."""
        kinds: dict[str, Any] = {
            "IPv4": self.address,
            "IPv6": self.address6,
            "both": lambda node: [self.address(node), self.address6(node)],
        }
        return {node: kinds[by](node) for node in self.nodes}

    def inside(self, node: str, *command: str) -> list[str]:
        return ["ip", "netns", "exec", f"{self.prefix}-{node}", *command]

    def run(self, node: str, *command: str) -> str:
        return call(*self.inside(node, *command))

    def module(self, node: str, name: str, **options: Any) -> dict[str, Any]:
        """Run a module of the role on a node, perhaps by way of another program (wrapped), and return its result."""
        check, wrapped = options.pop("check", False), options.pop("wrapped", ())
        arguments = json.dumps({"ANSIBLE_MODULE_ARGS": {**options, "node": node, "_ansible_check_mode": check}})
        output = call(*self.inside(node, *wrapped, sys.executable, "-c", RUN_MODULE, name, arguments), check=False)
        result: dict[str, Any] = json.loads(output)
        if result.get("failed"):
            raise ModuleFailedError(result["msg"])
        return result

    def links(self, node: str, state: str, links: Iterable[dict[str, Any]] = (), **options: Any) -> dict[str, Any]:
        values = {
            "state": state,
            "links": list(links),
            "addresses": {one: [self.address(one), self.address6(one)] for one in self.nodes},
            "interface": "data0",
            "folder": str(self.folder / node),
            "emulator": str(self.folder / node / "emulator.py"),
        }
        return self.module(node, "netem_links", **(values | options))

    def probes(self, node: str, state: str, links: Iterable[dict[str, Any]] = (), **options: Any) -> dict[str, Any]:
        values = {
            "state": state,
            "links": list(links),
            "addresses": {one: self.address(one) for one in self.nodes},
            "folder": str(self.folder / node),
            "interface": "data0",
            "probes_per_s": 1000,  # as to one peer: the guest in user-mode Linux has one slow CPU
        }
        return self.module(node, "netem_probes", **(values | options))

    def baseline(self, links: list[dict[str, Any]], **options: Any) -> None:
        with self.answering(_ends(links), options.get("addresses")):
            for node in _sources(links):
                self.probes(node, "baseline", links, **({"probes": 300} | options))

    def verdicts(self, links: list[dict[str, Any]], probes: int = 1000, **options: Any) -> list[dict[str, Any]]:
        """Have the links' nodes answer, measure and judge."""
        with self.answering(_ends(links), options.get("addresses")):
            return self.judged(links, probes, **options)

    def judged(self, links: list[dict[str, Any]], probes: int = 1000, **options: Any) -> list[dict[str, Any]]:
        """Measure the links between nodes that answer, each from its source, and return their entries of the report."""
        results = [self.probes(node, "judged", links, probes=probes, **options) for node in _sources(links)]
        return [entry for result in results for entry in result["links"]]

    @contextmanager
    def answering(self, nodes: Iterable[str], addresses: dict[str, Any] | None = None) -> Iterator[None]:
        """Have nodes answer probes, by the addresses that all nodes have: by IPv4 where these are not given."""
        options: dict[str, Any] = {"addresses": addresses} if addresses else {}
        try:
            for node in nodes:
                self.probes(node, "responding", seconds=600, **options)
            yield
        finally:
            for node in nodes:
                self.probes(node, "silent")

    def connect_ms(self, source: str, address: str, port: int, by: str = "") -> float:
        """Return how long a refusal of a TCP connection takes, there and back again, perhaps by an address of its own."""
        timing = (
            "import encodings.idna, socket, sys, time\n"  # what connecting would import meanwhile
            "start = time.monotonic()\n"
            "by = (sys.argv[3], 0) if sys.argv[3] else None\n"
            "try: socket.create_connection((sys.argv[1], int(sys.argv[2])), source_address=by)\n"
            "except ConnectionRefusedError: print(1000 * (time.monotonic() - start))"
        )
        return float(self.run(source, sys.executable, "-c", timing, address, str(port), by))

    def tc(self, node: str) -> str:
        """Return everything `tc` and `ip` say about a node's interfaces, without counters."""
        space, of = f"{self.prefix}-{node}", "show dev data0"
        shown = call(
            "tc", "-n", space, "-batch", "-", stdin=f"qdisc {of}\nclass {of}\nfilter {of}\nfilter {of} egress\n"
        )
        return shown + call("ip", "-n", space, "-d", "link", "show")


def _sources(links: list[dict[str, Any]]) -> list[str]:
    return sorted({link["source"] for link in links})


def _ends(links: list[dict[str, Any]]) -> list[str]:
    return sorted({link[end] for link in links for end in ("source", "target")})


def link(
    source: str, target: str, delay_ms: float, jitter_ms: float = 0, loss_percent: float = 0, **more: Any
) -> dict[str, Any]:
    return {
        "source": source, "target": target, "delay_ms": delay_ms, "jitter_ms": jitter_ms, "loss_percent": loss_percent,
        **more,
    }  # fmt: skip

"""What a lab consists of: names, addresses, cores and the text of its files.

Nothing here touches the machine.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, ip_interface, ip_network
from pathlib import Path
from typing import Any

from ansible.module_utils.node.errors import NodeError

MTU = 1500
MANAGEMENT_INTERFACE = "mgmt0"
DATA_INTERFACE = "data0"


# A socket's path has 107 bytes at most (unix(7)); ssh's is <lab_dir>/cp/<10 characters>.<16 characters>.
LONGEST_FOLDER = 107 - len("/cp/") - 10 - 17


class LabError(NodeError):
    """Something about a lab that the user can correct; its text says what is wrong, where, and what to do."""


@dataclass(frozen=True)
class Node:
    """One node with two interfaces; `cores` is empty where the node is not pinned."""

    name: str
    management_address: str
    data_address: str
    cores: tuple[int, ...]


@dataclass(frozen=True)
class Cable:
    """A veth pair, or a TAP, from a bridge to a node; namespace None is the machine itself."""

    bridge_namespace: str | None
    bridge: str
    port: str
    namespace: str
    interface: str
    address: str


@dataclass(frozen=True)
class Lab:
    """A whole lab; `folder` is where it keeps its state on the machine, `state_dir` the nodes' own path for theirs."""

    prefix: str
    folder: Path
    state_dir: Path
    management_network: IPv4Network
    data_network: IPv4Network
    nodes: tuple[Node, ...]
    default_route: bool = False  # whether a node has one, by its data interface: a kubelet insists on it
    taps: bool = False  # whether the nodes are machines, and their cables end in QEMU instead of in a namespace
    accelerator: str = ""  # what runs the machines, and why it is this one

    @property
    def bridge(self) -> str:
        """The management bridge, on the machine itself."""
        return f"{self.prefix}-mgmt"

    @property
    def bridge_address(self) -> str:
        """The machine's own address on the management network: the first one, with the prefix length."""
        return f"{self.management_network[1]}/{self.management_network.prefixlen}"

    @property
    def data_namespace(self) -> str:
        """The namespace that holds the data network's bridge, which has the same name."""
        return f"{self.prefix}-data"

    def namespace(self, node: Node) -> str:
        """The node's namespace, as `ip netns` prints it, or the name of its container or machine."""
        return f"{self.prefix}-{node.name}"

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Every namespace of the lab."""
        return (self.data_namespace, *(() if self.taps else (self.namespace(node) for node in self.nodes)))

    def cables(self, node: Node) -> tuple[Cable, Cable]:
        """The node's two cables; the ports are numbered by the address, so `fb-m-11` leads to 198.18.0.11."""
        management, data = self.management_network, self.data_network
        return (
            Cable(
                bridge_namespace=None,
                bridge=self.bridge,
                port=f"{self.prefix}-m-{_number(node.management_address, management)}",
                namespace=self.namespace(node),
                interface=MANAGEMENT_INTERFACE,
                address=f"{node.management_address}/{management.prefixlen}",
            ),
            Cable(
                bridge_namespace=self.data_namespace,
                bridge=self.data_namespace,
                port=f"{self.prefix}-d-{_number(node.data_address, data)}",
                namespace=self.namespace(node),
                interface=DATA_INTERFACE,
                address=f"{node.data_address}/{data.prefixlen}",
            ),
        )

    @property
    def links(self) -> tuple[str, ...]:
        """Every interface of the lab that is seen on the machine itself."""
        return (self.bridge, *(self.cables(node)[0].port for node in self.nodes))

    @property
    def client_key(self) -> Path:
        """The controller's private key for all nodes."""
        return self.folder / "id_ed25519"

    @property
    def control_sockets(self) -> Path:
        """Where Ansible keeps its SSH connections open; the inventory's ansible_control_path_dir has the same path."""
        return self.folder / "cp"

    def host_key(self, node: Node) -> Path:
        """The node's private host key."""
        return self.sshd(node) / "host_key"

    def home(self, node: Node) -> Path:
        """The folder that the node sees at `state_dir`."""
        return self.folder / "nodes" / node.name

    def sshd(self, node: Node) -> Path:
        """The folder of the node's sshd: configuration, host key, pid."""
        return self.folder / "sshd" / node.name

    def sshd_config(self, node: Node) -> str:
        """The text of the node's sshd_config: keys only, no PAM; what a session writes stays in the node's folder."""
        own = self.sshd(node)
        return "\n".join(
            (
                f"ListenAddress {node.management_address}:22",
                f"HostKey {own}/host_key",
                f"PidFile {own}/pid",
                f"AuthorizedKeysFile {self.folder}/authorized_keys",
                "AllowUsers root",
                "PermitRootLogin prohibit-password",
                "PasswordAuthentication no",
                "KbdInteractiveAuthentication no",
                "UsePAM no",
                "UseDNS no",
                "PrintMotd no",
                "PrintLastLog no",
                "MaxStartups 100",
                "MaxSessions 100",
                "Subsystem sftp internal-sftp",
                f"SetEnv HOME={self.state_dir / 'home'} TMPDIR={self.state_dir / 'tmp'}",
                "",
            )
        )

    def warnings(self, usable_cores: int) -> list[str]:
        """What a reader of this lab's numbers has to know, a sentence each."""
        sentences = [core_warning(self.nodes, usable_cores)]
        if self.accelerator.startswith("tcg"):
            sentences.append(
                "The nodes' CPUs are emulated, about ten times slower than this machine's and with coarser timers: "
                "compare their times only with each other."
            )
        return [sentence for sentence in sentences if sentence]

    def description(self, usable_cores: int) -> str:
        """The text of nodes.json: what a run's manifest has to know about the nodes."""
        return _text(
            {
                "schema": 1,
                "prefix": self.prefix,
                "usable_cores": usable_cores,
                "busy_parts": len(self.nodes),
                "warning": " ".join(self.warnings(usable_cores)) or None,
                **({"accelerator": self.accelerator} if self.taps else {}),
                "nodes": {
                    node.name: {
                        "namespace": self.namespace(node),
                        "cores": list(node.cores),
                        "management_address": node.management_address,
                        "data_address": node.data_address,
                        "data_interface": DATA_INTERFACE,
                    }
                    for node in self.nodes
                },
            }
        )


def make_lab(parameters: dict[str, Any], cores: list[int], *, default_route: bool = False, taps: bool = False) -> Lab:
    """The lab that the module's parameters ask for, on a machine that offers these cores.

    Raises:
        LabError: a parameter that makes no lab, by its name.
    """
    prefix = parameters["prefix"]
    if not re.fullmatch(r"[a-z][a-z0-9]{1,5}", prefix):
        raise LabError(f"lab_prefix={prefix!r}: expected two to six lower-case letters and digits, a letter first.")
    management = _network("lab_management_network", parameters["management_network"])
    data = _network("lab_data_network", parameters["data_network"])
    if management.overlaps(data):
        raise LabError(
            f"lab_management_network {management} and lab_data_network {data} overlap: choose separate networks."
        )
    management_addresses: dict[str, str] = parameters["management_addresses"]
    data_addresses: dict[str, str] = parameters["data_addresses"]
    if not management_addresses:
        raise LabError("The inventory's group `nodes` is empty: add the lab's hosts to it.")
    for name in management_addresses:
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", name) or name in ("data", "mgmt"):
            raise LabError(
                f"The host name {name!r} cannot name a node: expected lower-case letters, digits and hyphens."
            )
    _check_addresses("ansible_host", management_addresses, management)
    _check_addresses("data_address", data_addresses, data)
    folder, state_dir = Path(parameters["folder"]), Path(parameters["state_dir"])
    if folder.is_relative_to(state_dir) or state_dir.is_relative_to(folder):
        raise LabError(
            f"lab_dir={folder} and faasbed_state_dir={state_dir} contain one another: choose separate folders."
        )
    if len(os.fsencode(folder)) > LONGEST_FOLDER:
        raise LabError(
            f"lab_dir={folder} has {len(os.fsencode(folder))} characters, {LONGEST_FOLDER} at most allowed: ssh keeps sockets in it, "
            "whose paths may not be longer. Choose a shorter one."
        )
    pinned = spread_cores(parameters["compute"], list(management_addresses), cores)
    return Lab(
        prefix=prefix,
        folder=folder,
        state_dir=state_dir,
        management_network=management,
        data_network=data,
        default_route=default_route,
        taps=taps,
        nodes=tuple(
            Node(name, address, data_addresses[name], pinned[name]) for name, address in management_addresses.items()
        ),
    )


def spread_cores(compute: list[str], names: list[str], cores: list[int]) -> dict[str, tuple[int, ...]]:
    """Which cores each node is pinned to: one a compute node, in turn; the others get what is left, or no pin."""
    workers = [name for name in names if name in compute]
    left = tuple(cores[len(workers) :])
    pinned = {name: (cores[place % len(cores)],) for place, name in enumerate(workers)}
    return {name: pinned.get(name, left) for name in names}


def core_warning(nodes: tuple[Node, ...], usable_cores: int) -> str | None:
    """One sentence where the machine has fewer cores than the lab has busy parts, else None."""
    if usable_cores >= len(nodes):
        return None
    shares: dict[tuple[int, ...], list[str]] = {}
    for node in nodes:
        shares.setdefault(node.cores, []).append(node.name)
    free = shares.pop((), [])
    parts = [f"{' and '.join(names)} share core {cores[0]}" for cores, names in shares.items() if len(names) > 1]
    if free:
        parts.append(f"{' and '.join(free)} {'is' if len(free) == 1 else 'are'} not pinned")
    return (
        f"{usable_cores} cores for {len(nodes)} busy parts: {', '.join(parts)}; "
        "parts that are busy at the same time slow each other down."
    )


def hardware_address(address: str) -> str:
    """A MAC address that belongs to the IPv4 address: a node that is created again keeps the address that others have cached.

    02 marks it as locally administered (IEEE 802).
    """
    return ":".join(("02", "fb", *(f"{part:02x}" for part in ip_interface(address).ip.packed)))


def _network(variable: str, text: str) -> IPv4Network:
    try:
        network = ip_network(text)
    except ValueError as error:
        raise LabError(f"{variable}={text!r} is not a network: {error}. An example: 198.18.0.0/24.") from error
    if not isinstance(network, IPv4Network) or network.prefixlen > 29 or network.prefixlen < 16:
        raise LabError(f"{variable}={text!r}: use an IPv4 network between /16 and /29.")
    return network


def _check_addresses(variable: str, addresses: dict[str, str], network: IPv4Network) -> None:
    owners: dict[IPv4Address, str] = {network[0]: "the network", network[1]: "the machine", network[-1]: "broadcast"}
    for name, text in addresses.items():
        try:
            address = IPv4Address(text)
        except ValueError as error:
            raise LabError(f"{variable} of {name} is {text!r}, not an IPv4 address.") from error
        if address not in network:
            raise LabError(f"{variable} of {name} is {address}, outside the lab's {network}: change one of them.")
        if address in owners:
            raise LabError(f"{variable} of {name} is {address}, which belongs to {owners[address]}: choose another.")
        owners[address] = name


def _number(address: str, network: IPv4Network) -> int:
    return int(IPv4Address(address)) - int(network.network_address)


def _text(value: Any) -> str:
    return json.dumps(value, indent=2) + "\n"

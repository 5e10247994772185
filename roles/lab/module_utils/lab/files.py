"""The files that make a root file system of Debian packages one node's own: its keys, its sshd, its names."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ansible.module_utils.lab.nodes import public_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ansible.module_utils.lab.plan import Lab, Node

PRIVATE = {"authorized_keys", "ssh_host_ed25519_key"}


def node_files(lab: Lab, node: Node) -> dict[str, Callable[[], str]]:
    """The text of each file by its path below the root; as functions, keys come late."""
    return {
        "root/.ssh/authorized_keys": partial(public_key, lab.client_key),
        "etc/ssh/ssh_host_ed25519_key": partial(_key, lab.host_key(node)),
        "etc/ssh/ssh_host_ed25519_key.pub": partial(public_key, lab.host_key(node)),
        "etc/ssh/sshd_config.d/faasbed.conf": partial(sshd_config, node),
        "etc/hosts": partial(_hosts, lab, node),
        # No name server: a node of a lab reaches nothing but the lab.
        "etc/resolv.conf": lambda: "",
    }


def sshd_config(node: Node) -> str:
    """The text of the node's part of sshd_config: keys only, on the management network only."""
    lines = (
        f"ListenAddress {node.management_address}:22",
        "HostKey /etc/ssh/ssh_host_ed25519_key",
        "PermitRootLogin prohibit-password",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "UseDNS no",
        "MaxStartups 100",
        "MaxSessions 100",
    )
    return "\n".join((*lines, ""))


def _hosts(lab: Lab, node: Node) -> str:
    own = f"127.0.0.1 localhost\n127.0.1.1 {node.name}\n"
    return own + "".join(f"{other.data_address} {other.name}\n" for other in lab.nodes if other is not node)


def _key(path: Path) -> str:
    return path.read_text(encoding="ascii")

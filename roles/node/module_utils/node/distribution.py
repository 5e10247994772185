"""The Linux distribution of the node, as os-release(5) describes it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ansible.module_utils.node.errors import NodeError
from ansible.module_utils.node.files import read

if TYPE_CHECKING:
    from collections.abc import Iterable

OS_RELEASE = (Path("/etc/os-release"), Path("/usr/lib/os-release"))

# Words of ID and ID_LIKE, and what Ansible calls the family (ansible_os_family).
FAMILIES = {
    "debian": "Debian",
    "ubuntu": "Debian",
    "rhel": "RedHat",
    "fedora": "RedHat",
    "centos": "RedHat",
    "suse": "Suse",
    "opensuse": "Suse",
    "arch": "Archlinux",
    "alpine": "Alpine",
}


class Distribution(NamedTuple):
    """A distribution: its name with the version, and its family."""

    name: str
    family: str


def distribution_of(text: str) -> Distribution:
    """Return the distribution that the text of ``/etc/os-release`` describes; an unknown one is its own family."""
    fields = dict(word.split("=", 1) for word in shlex.split(text, comments=True) if "=" in word)
    words = [fields.get("ID", "linux"), *fields.get("ID_LIKE", "").split()]
    families = [FAMILIES[word] for word in words if word in FAMILIES]
    return Distribution(fields.get("PRETTY_NAME", words[0]), families[0] if families else words[0].capitalize())


def supported(families: Iterable[str]) -> Distribution:
    """Return this node's distribution, which is of one of these families.

    Raises:
        NodeError: it is of another one; the sentence names both.
    """
    found = distribution_of(next((text for path in OS_RELEASE if (text := read(path)) is not None), ""))
    if found.family not in families:
        raise NodeError(
            f"The distribution is {found.name} (family {found.family}), supported families: "
            f"{', '.join(sorted(families))}. Use one of them, or add vars/{found.family}.yml to the role node (its README "
            "says how)."
        )
    return found

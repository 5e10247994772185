#!/usr/bin/python
"""Ansible module: what stands in the way of the testbed on this node, and nothing else: it changes nothing."""

from __future__ import annotations

import os
import platform
import re
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.node import firewall, network
from ansible.module_utils.node.errors import NodeError
from ansible.module_utils.node.packages import installer
from ansible.module_utils.node.process import attempt, which

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENTATION = r"""
module: node_preflight
short_description: Return what stands in the way of the testbed on this node
options:
  interface: {description: The interface towards the data network; empty where the inventory has none., type: str, required: true}
  address: {description: The node's address on it; empty where the inventory has none., type: str, required: true}
  targets: {description: The addresses of the other nodes on it by name., type: dict, default: {}}
  python: {description: A Python that has what the testbed needs; empty where the testbed makes one., type: str, default: ""}
  has_wheels: {description: Whether packages of Python come from the controller., type: bool, default: false}
  installed: {description: A file that is there once the testbed's Python is., type: path, required: true}
  environment: {description: Proxy variables with which packages are installed., type: dict, default: {}}
author: [faasbed]
"""
EXAMPLES = r"""
- name: Look for what stands in the way
  node_preflight:
    interface: eth0
    address: 192.0.2.11
    targets: {bs: 192.0.2.10}
    installed: /var/lib/faasbed/runtime/venv/bin/python
"""
RETURN = r"""
obstacles: {description: A sentence each., type: list, returned: always}
is_on_data_network: {description: Whether the other nodes can be reached from it., type: bool, returned: always}
firewall: {description: Which firewall filters what arrives., type: str, returned: always}
"""

PYTHON_MIN = (3, 11)
INDEX_TIMEOUT_S = 4
# pip of the package of Python's venv on Debian, which needs no package of its own.
BUNDLED_PIP = Path("/usr/share/python-wheels")


def userland() -> Iterator[str]:
    """Yield what is wrong with the node's user and its programs."""
    if os.geteuid() != 0:
        yield "Ansible does not work as root on it: set ansible_become: true, or connect as root"
    if struct.calcsize("P") == 4 and platform.machine() in ("x86_64", "aarch64"):
        yield (
            f"its kernel is of 64 bits ({platform.machine()}), its programs are of 32: there are no packages for that; "
            "install a system of 64 bits"
        )
    for program, package in (
        ("ip", "iproute2"),
        ("tc", "iproute2"),
        ("taskset", "util-linux"),
        ("setpriv", "util-linux"),
    ):
        if which(program) is None:
            yield f"there is no {program} on it: install {package}"


def pythons(options: dict[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the Python in which the testbed's packages are to be."""
    if options["python"]:
        done = attempt(options["python"], "-c", "import sys; print(sys.version_info[:2])")
        if done.returncode:
            yield f"faasbed_python {options['python']} does not start: {' '.join(done.stderr.split())[-200:]}"
        return
    if Path(options["installed"]).exists():
        return
    done = attempt("python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
    version = done.stdout.strip()
    if not re.fullmatch(r"\d+\.\d+", version):
        yield f"it has no python3: install Python {'.'.join(map(str, PYTHON_MIN))} or later"
        return
    if tuple(map(int, version.split("."))) < PYTHON_MIN:
        yield f"its python3 is {version}, {'.'.join(map(str, PYTHON_MIN))} or later required; set faasbed_python to another one"
    if not options["has_wheels"]:
        yield from index(options["environment"])


def index(environment: dict[str, str]) -> Iterator[str]:
    """Yield why pip reaches no package index with the node's own configuration; nothing where the node has no pip yet."""
    wheel = next(iter(sorted(BUNDLED_PIP.glob("pip-*.whl"))), None)
    with_pip = {**os.environ, **environment, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "LC_ALL": "C.UTF-8"}
    if wheel:
        with_pip["PYTHONPATH"] = str(wheel)
    if attempt("python3", "-m", "pip", "--version", environment=with_pip).returncode:
        return
    limits = ["--retries", "0", "--timeout", str(INDEX_TIMEOUT_S)]
    # What is asked for is a list of versions; any package will do.
    command = ["timeout", str(2 * INDEX_TIMEOUT_S), "python3", "-m", "pip", "index", "versions", "msgspec", *limits]
    done = attempt(*command, environment=with_pip)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if not line.startswith("WARNING: pip index")]
        reason = " ".join((lines[-1] if lines else "no answer").split())[:200]
        yield (
            f"pip reaches no package index from it ({reason}): set pip's index or runtime_install_environment (http_proxy), or "
            "set runtime_wheels_dir to a folder of the controller, which then brings the wheels"
        )


def obstacles(options: dict[str, Any]) -> Iterator[str]:
    """Yield a sentence for each thing that stands in the way."""
    yield from userland()
    if holder := installer():
        yield f"{holder} installs packages on it: wait until it has ended"
    yield from pythons(options)


def on_the_network(options: dict[str, Any]) -> list[str]:
    """Return a sentence for each thing that keeps the node off the data network."""
    if not options["interface"]:
        return []
    try:
        return list(network.obstacles(options["interface"], options["address"], options["targets"]))
    except NodeError as error:
        return [str(error)]


def main() -> None:
    """Run as Ansible's module."""
    module = AnsibleModule(
        argument_spec={
            "interface": {"type": "str", "required": True},
            "address": {"type": "str", "required": True},
            "targets": {"type": "dict", "default": {}},
            "python": {"type": "str", "default": ""},
            "has_wheels": {"type": "bool", "default": False},
            "installed": {"type": "path", "required": True},
            "environment": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    off = on_the_network(module.params)
    module.exit_json(
        changed=False,
        obstacles=[*obstacles(module.params), *off],
        is_on_data_network=bool(module.params["interface"] and module.params["address"] and not off),
        firewall=firewall.name(),
    )


if __name__ == "__main__":
    main()

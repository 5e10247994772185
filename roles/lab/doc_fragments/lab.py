"""Options that the modules of all kinds of nodes share (`LAB_OPTIONS` in module_utils/lab/module.py)."""

from __future__ import annotations


class ModuleDocFragment:
    """Included by ``extends_documentation_fragment: [lab]``."""

    DOCUMENTATION = r"""
options:
  state:
    description: Whether the lab is to exist.
    type: str
    choices: [present, absent]
    default: present
  folder:
    description: Where the lab keeps keys, the nodes' files and its ledger on this machine.
    type: path
    required: true
  package_tables:
    description: By family of distributions what the role node has for it in vars, C(node_packages) and
      C(node_install_command); the package is named where a program is missing, and another family is refused.
    type: dict
    required: true
  prefix:
    description: First word of all names of namespaces, interfaces, containers and virtual machines.
    type: str
  state_dir:
    description: Path at which each node sees its own folder for what faasbed installs.
    type: path
  management_network:
    description: Network over which the nodes are reached; its first address is this machine's.
    type: str
  data_network:
    description: Network over which the nodes reach each other.
    type: str
  management_addresses:
    description: Address of each node on the management network, by name; these are the nodes of the lab.
    type: dict
  data_addresses:
    description: Address of each node on the data network, by name.
    type: dict
  compute:
    description: Names of the nodes that are pinned to a core each.
    type: list
    elements: str
"""

#!/usr/bin/python
"""Ansible module: what a node has for the function, and what it lacks; changes nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.function.kernels import code, kind
from ansible.module_utils.node.cgroups import Groups, Limits
from ansible.module_utils.node.errors import NodeError
from ansible.module_utils.node.listeners import strangers, taken
from ansible.module_utils.node.process import attempt

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENTATION = r"""
module: function_node
short_description: Return what a node has for the function, and refuse one that lacks something
description:
  - Names the ports that another program has, and who listens there; the programs of the role's own supervisor may have
    theirs. Names packages that the function's Python lacks, and limits that cannot be set.
options:
  node: {description: "The node's name, for sentences.", type: str, required: true}
  host: {description: The address where replicas and gateways listen., type: str, required: true}
  ports: {description: The ports that they need., type: list, elements: int, required: true}
  supervisor: {description: "The file with the supervisor's process id.", type: path, required: true}
  python: {description: "The function's Python, where it is to be there.", type: path}
  packages: {description: The packages that it has to have., type: list, elements: str, default: []}
  code: {description: "The folder of the function's code.", type: path}
  parent: {description: The control group that the replicas' groups are in., type: str, default: ""}
  limited: {description: "Services with C(name), and C(cpus) or C(memory_mib).", type: list, elements: dict, default: []}
author: [faasbed]
"""
EXAMPLES = r"""
- name: Refuse a node that lacks what the function needs
  function_node:
    node: edge-1
    host: 198.19.0.11
    ports: [31080, 32080]
    supervisor: /var/lib/faasbed/function/supervisord.pid
    python: /var/lib/faasbed/runtime/venv/bin/python
    packages: [fastapi]
    code: /var/lib/faasbed/runtime/code/app
"""
RETURN = r"""
user: {description: The id of the user that Ansible works as., type: int, returned: success}
cores: {description: The cores that it may use., type: list, elements: int, returned: success}
code: {description: "SHA-256 of the code's files and their names; empty without C(code).", type: str, returned: success}
kind: {description: What compiled kernels have to fit on the node., type: dict, returned: success}
enter: {description: By service the words before a command that limit it., type: dict, returned: success}
"""

# The packages are looked up, not imported, which would take a small node seconds; a package that does not work is
# reported in the replica's log.
LOOK_UP = (
    "import sys; from importlib.util import find_spec; "
    "sys.exit(', '.join(name for name in sys.argv[1:] if not find_spec(name)) or 0)"
)


def obstacles(options: dict[str, Any], *, is_rehearsal: bool) -> Iterator[str]:
    """Yield a sentence for each thing that the node lacks; with --check its Python may be only about to be made."""
    node, host, python = options["node"], options["host"], options["python"]
    for port in options["ports"]:
        if others := strangers(host, port, Path(options["supervisor"])):
            yield taken(node, host, port, others)
    if python and not (is_rehearsal and not Path(python).exists()):
        done = attempt(python, "-c", LOOK_UP, *options["packages"])
        if done.returncode:
            reason = next(reversed(done.stderr.splitlines()), "")
            yield (
                f"{python} on {node} lacks packages that the function needs ({reason}). Install requirements/node.txt "
                "there or set faasbed_python."
            )
    if options["limited"] and os.geteuid():
        yield (
            f"{', '.join(one['name'] for one in options['limited'])} on {node} has resources of its own (cpus, "
            "memory_mib), which only root can set: let Ansible become root there (ansible_become), or take resources out "
            "of the scenario."
        )


def enter(options: dict[str, Any]) -> dict[str, list[str]]:
    """Return by service the words before a command by which it has its limits.

    Raises:
        NodeError: the kernel offers no such limits here.
    """
    limits = {one["name"]: Limits(one.get("cpus"), one.get("memory_mib")) for one in options["limited"]}
    groups = Groups(options["parent"], limits)
    return {name: groups.enter(name) for name in limits}


def main() -> None:
    """Run as Ansible's module."""
    module = AnsibleModule(
        argument_spec={
            "node": {"type": "str", "required": True},
            "host": {"type": "str", "required": True},
            "ports": {"type": "list", "elements": "int", "required": True},
            "supervisor": {"type": "path", "required": True},
            "python": {"type": "path"},
            "packages": {"type": "list", "elements": "str", "default": []},
            "code": {"type": "path"},
            "parent": {"type": "str", "default": ""},
            "limited": {"type": "list", "elements": "dict", "default": []},
        },
        supports_check_mode=True,
    )
    options = module.params
    if sentences := list(obstacles(options, is_rehearsal=module.check_mode)):
        module.fail_json(msg=" ".join(sentences))
    python = options["python"]
    try:
        words = enter(options)
        fit = kind(python) if python and Path(python).exists() else {}
    except NodeError as error:
        module.fail_json(msg=f"{options['node']}: {error}.")
    module.exit_json(
        changed=False,
        user=os.geteuid(),
        cores=sorted(os.sched_getaffinity(0)),
        code=code(Path(options["code"])) if options["code"] else "",
        enter=words,
        kind=fit,
    )


if __name__ == "__main__":
    main()

"""What a node has for the function, and what it lacks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.function.kernels import code, kind
from ansible.module_utils.node.cgroups import Groups, Limits
from ansible.module_utils.node.errors import NodeError
from ansible.module_utils.node.listeners import strangers, taken
from ansible.module_utils.node.process import attempt

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ansible.module_utils.function.supervisor import Supervisor

# The packages are looked up, not imported, which would take a small node seconds; a package that does not work is
# reported in the replica's log.
LOOK_UP = (
    "import sys; from importlib.util import find_spec; "
    "sys.exit(', '.join(name for name in sys.argv[1:] if not find_spec(name)) or 0)"
)


def limits_of(services: list[dict[str, Any]]) -> dict[str, Limits]:
    """Return what the replicas of services have at most, by service."""
    return {one["name"]: Limits(one.get("cpus"), one.get("memory_mib")) for one in services}


def examine(options: Mapping[str, Any], supervisor: Supervisor, *, is_rehearsal: bool) -> dict[str, Any]:
    """Return what the configuration of the programs has to know of the node.

    Args:
        options: of the module.
        supervisor: whose programs may have the ports.
        is_rehearsal: with --check the function's Python may be only about to be made.

    Raises:
        NodeError: the node lacks something, in a sentence each.
    """
    if sentences := list(_obstacles(options, supervisor, is_rehearsal=is_rehearsal)):
        raise NodeError(" ".join(sentences))
    python = options["python"]
    groups = Groups(options["parent"], limits_of(options["limited"]))
    return {
        "user": os.geteuid(),
        "cores": sorted(os.sched_getaffinity(0)),
        "code": code(Path(options["code"]) / "app") if options["code"] else "",
        "enter": {name: groups.enter(name) for name in groups.limits},
        "kind": kind(python) if python and Path(python).exists() else {},
    }


def _obstacles(options: Mapping[str, Any], supervisor: Supervisor, *, is_rehearsal: bool) -> Iterator[str]:
    node, host, python = options["node"], options["host"], options["python"]
    for port in options["ports"]:
        if others := strangers(host, port, supervisor.pid_file):
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

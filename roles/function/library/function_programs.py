#!/usr/bin/python
"""Ansible module: replicas and gateways of a node, under a supervisor."""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.function import kernels
from ansible.module_utils.function.examination import examine, limits_of
from ansible.module_utils.function.readiness import Program, connections, wait
from ansible.module_utils.function.supervisor import START, Supervisor
from ansible.module_utils.node.cgroups import Groups
from ansible.module_utils.node.change import Change, carry_out, outcome
from ansible.module_utils.node.errors import NodeError
from ansible.module_utils.node.files import read, write
from ansible.module_utils.node.process import run

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENTATION = r"""
module: function_programs
short_description: Replicas and gateways of a node, under a supervisor
description:
  - C(examined) returns what their configuration has to know of the node and changes nothing. It names the ports that another
    program has, and who listens there, packages that the function's Python lacks, and limits that cannot be set.
  - C(present) makes control groups and folders, brings compiled kernels, writes the configuration, has the supervisor run
    what that says, removes control groups of services that are not here any more, and waits until every replica is ready.
    What differs in any way is corrected; what does not is left alone.
  - C(reached) waits until every gateway reaches a replica; with C(connections) it refuses one whose connections to its
    replicas use another TCP congestion control.
  - C(absent) ends all of it and removes the folder.
  - All in one module, because Ansible takes a quarter of a second to pack each.
options:
  state:
    description: What to do.
    type: str
    choices: [examined, present, reached, absent]
    default: present
  node: {description: "The node's name, for sentences.", type: str, required: true}
  host: {description: The address where replicas and gateways listen., type: str}
  folder: {description: "The role's folder.", type: path, required: true}
  programs: {description: The folder of supervisord and supervisorctl., type: path, required: true}
  ports: {description: The ports that C(examined) refuses where others have them., type: list, elements: int, default: []}
  python: {description: "The function's Python, where it is to be there.", type: path}
  packages: {description: The packages that it has to have., type: list, elements: str, default: []}
  files:
    description: Texts of the configuration, by the name in the folder; one that names its interpreter is a program.
    type: dict
    default: {}
  compiled: {description: Where replicas keep compiled kernels., type: path}
  kernels: {description: "Compiled kernels that are brought there, by name.", type: dict, default: {}}
  code: {description: The folder of the code., type: path}
  owner: {description: "The user id of the replicas, where Ansible works as root.", type: int}
  parent: {description: The control group that the replicas' groups are in., type: str, default: ""}
  limited: {description: "Services with C(name), and C(cpus) or C(memory_mib).", type: list, elements: dict, default: []}
  replicas: {description: Services with C(name) and C(port) that have a replica here., type: list, elements: dict, default: []}
  gateways:
    description: Services with C(name), C(port) and C(congestion_control) whose gateway is here.
    type: list
    elements: dict
    default: []
  replica_port_offset: {description: How much above its service's port a replica listens., type: int, default: 0}
  connections: {description: Whether the gateways' connections are looked at., type: bool, default: false}
  timeout_s: {description: How long a replica or a gateway may take until it is ready., type: int, default: 60}
author: [faasbed]
"""
EXAMPLES = r"""
- name: Run a replica
  function_programs:
    node: edge-1
    host: 198.19.0.11
    folder: /var/lib/faasbed/function
    programs: /var/lib/faasbed/runtime/venv/bin
    files: {supervisord.conf: "{{ lookup('template', 'supervisord.conf.j2') }}"}
    compiled: /var/lib/faasbed/function/compiled
    owner: 65532
    parent: faasbed-edge-1
    replicas: [{name: edge, port: 31080}]
    replica_port_offset: 1000
    timeout_s: 300
"""
RETURN = r"""
changes: {description: "What was done, or would be done.", type: list, elements: str, returned: success}
user: {description: The id of the user that Ansible works as., type: int, returned: examined}
cores: {description: The cores that it may use., type: list, elements: int, returned: examined}
code: {description: "SHA-256 of the code's files and their names.", type: str, returned: examined}
kind: {description: What compiled kernels have to fit on the node., type: dict, returned: examined}
enter: {description: By service the words before a command that limit it., type: dict, returned: examined}
connections: {description: "By service, what ss says of the gateway's connections.", type: dict, returned: reached}
"""

MODE, PROGRAM_MODE = 0o644, 0o755
# Of roles/function's templates: the command by which replicas end and start again, and what it leaves until they do.
COMMAND, AWAY = "node", "away"


def preparations(options: dict[str, Any], groups: Groups | None) -> Iterator[Change]:
    """Yield what has to change before the programs can run."""
    folder = Path(options["folder"])
    if groups:
        yield from groups.changes()
    if not (folder / "log").is_dir():
        yield Change(f"make the folder {folder}/log", partial((folder / "log").mkdir, parents=True, exist_ok=True))
    yield from _kernels(Path(options["compiled"]), options)
    for name, text in sorted(options["files"].items()):
        path = folder / name
        mode = PROGRAM_MODE if text.startswith("#!") else MODE
        if read(path) != text or stat.S_IMODE(path.stat().st_mode) != mode:
            yield Change(f"write {path}", partial(write, path, text, mode))


def _kernels(folder: Path, options: dict[str, Any]) -> Iterator[Change]:
    """Yield what has to change for replicas to find compiled kernels and to keep new ones."""
    if not folder.is_dir():
        yield Change(f"make the folder {folder}", partial(folder.mkdir, parents=True, exist_ok=True))
    brought = list(kernels.changes(options["kernels"], Path(options["code"]), folder)) if options["kernels"] else []
    yield from brought
    owner = options["owner"] if os.geteuid() == 0 else None
    if owner is None:
        return
    if brought or not folder.is_dir() or any(_is_others(path, owner) for path in (folder, *folder.rglob("*"))):
        yield Change(f"give {folder} to user {owner}", partial(_give, folder, owner))


def _is_others(path: Path, owner: int) -> bool:
    try:
        return path.lstat().st_uid != owner
    except FileNotFoundError:  # a replica of another node of this machine has replaced it
        return False


def _give(folder: Path, owner: int) -> None:
    for path in (folder, *folder.rglob("*")):
        with suppress(FileNotFoundError):
            os.chown(path, owner, -1, follow_symlinks=False)


def make(module: AnsibleModule, supervisor: Supervisor) -> list[str]:
    """Bring the programs to the state in the options and return what was done, or would be done.

    Raises:
        NodeError: a program cannot be started, or does not become ready.
    """
    options = module.params
    groups = Groups(options["parent"], limits_of(options["limited"])) if os.geteuid() == 0 else None
    changes = list(preparations(options, groups))
    done = [change.sentence for change in changes]
    if module.check_mode:
        surplus = list(groups.others()) if groups else []
        return [*done, *([] if supervisor.runs() else [START]), *(change.sentence for change in surplus)]
    carry_out(changes)
    if updated := supervisor.update():
        done.append(updated)
    if (supervisor.folder / AWAY).exists():  # an experiment that was cut off has left them so
        run(str(supervisor.folder / COMMAND), "rejoin")
        done.append("start the replicas that had left the services")
    surplus = list(groups.others()) if groups else []  # what ran in them has ended by now
    carry_out(surplus)
    done += [change.sentence for change in surplus]
    for one in options["replicas"]:
        replica = Program("replica", one["name"], one["port"] + options["replica_port_offset"])
        if wait(replica, options["node"], options["host"], supervisor, options["timeout_s"], may_restart=True):
            done.append(f"start {replica.name} again")
    return done


def remove(module: AnsibleModule, supervisor: Supervisor) -> list[str]:
    """End the programs, remove what is theirs, and return what was done, or would be done.

    Raises:
        NodeError: something goes on running.
    """
    ran = supervisor.runs() if module.check_mode else supervisor.shut_down()
    others = list(Groups(module.params["parent"], {}).others()) if os.geteuid() == 0 else []
    folder = supervisor.folder
    changes = [*others, *([Change(f"remove {folder}", partial(shutil.rmtree, folder))] if folder.exists() else [])]
    if not module.check_mode:
        carry_out(changes)
    return [*(["end the supervisor and everything it runs"] if ran else []), *(change.sentence for change in changes)]


def reach(module: AnsibleModule, supervisor: Supervisor) -> dict[str, Any]:
    """Wait until every gateway reaches a replica; return which were started again for that, and their connections.

    Raises:
        NodeError: one does not become ready, or uses another congestion control.
    """
    options = module.params
    done, told = [], {}
    for one in options["gateways"]:
        gateway = Program("gateway", one["name"], one["port"])
        may_restart = not module.check_mode
        if wait(gateway, options["node"], options["host"], supervisor, options["timeout_s"], may_restart=may_restart):
            done.append(f"start {gateway.name} again")
        if options["connections"]:
            told[one["name"]] = connections(one, one["port"] + options["replica_port_offset"])
    return {**outcome(done), "connections": told}


def work(module: AnsibleModule) -> dict[str, Any]:
    """Do what the state says and return the module's result.

    Raises:
        NodeError: it cannot be done.
    """
    supervisor = Supervisor(Path(module.params["folder"]), Path(module.params["programs"]))
    match module.params["state"]:
        case "examined":
            return {"changed": False, **examine(module.params, supervisor, is_rehearsal=module.check_mode)}
        case "present":
            return outcome(make(module, supervisor))
        case "reached":
            return reach(module, supervisor)
        case _:
            return outcome(remove(module, supervisor))


def main() -> None:
    """Run as Ansible's module."""
    services: dict[str, Any] = {"type": "list", "elements": "dict", "default": []}
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["examined", "present", "reached", "absent"], "default": "present"},
            "node": {"type": "str", "required": True},
            "host": {"type": "str"},
            "folder": {"type": "path", "required": True},
            "programs": {"type": "path", "required": True},
            "ports": {"type": "list", "elements": "int", "default": []},
            "python": {"type": "path"},
            "packages": {"type": "list", "elements": "str", "default": []},
            "files": {"type": "dict", "default": {}},
            "compiled": {"type": "path"},
            "kernels": {"type": "dict", "default": {}},
            "code": {"type": "path"},
            "owner": {"type": "int"},
            "parent": {"type": "str", "default": ""},
            "limited": services,
            "replicas": services,
            "gateways": services,
            "replica_port_offset": {"type": "int", "default": 0},
            "connections": {"type": "bool", "default": False},
            "timeout_s": {"type": "int", "default": 60},
        },
        required_if=[
            ("state", "examined", ("host",)),
            ("state", "present", ("host", "compiled", "parent", "code")),
            ("state", "reached", ("host",)),
            ("state", "absent", ("parent",)),
        ],
        supports_check_mode=True,
    )
    try:
        result = work(module)
    except (NodeError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()

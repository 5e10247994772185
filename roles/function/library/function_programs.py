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
from ansible.module_utils.function.readiness import Program, wait
from ansible.module_utils.function.supervisor import START, Supervisor
from ansible.module_utils.node.cgroups import Groups, Limits
from ansible.module_utils.node.change import Change, carry_out, outcome
from ansible.module_utils.node.errors import NodeError
from ansible.module_utils.node.files import read, write

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENTATION = r"""
module: function_programs
short_description: Replicas and gateways of a node, under a supervisor
description:
  - C(present) makes control groups and folders, writes the configuration, has the supervisor run what that says, removes
    control groups of services that are not here any more, and waits until every replica is ready. What differs in any way
    is put right; what does not is left alone.
  - C(absent) ends all of it and removes the folder.
options:
  state: {description: Whether they run or are gone., type: str, choices: [present, absent], default: present}
  node: {description: "The node's name, for sentences.", type: str, required: true}
  host: {description: The address where the replicas listen., type: str}
  folder: {description: "The role's folder.", type: path, required: true}
  programs: {description: The folder of supervisord and supervisorctl., type: path, required: true}
  files: {description: "Texts of the configuration, by the name in the folder.", type: dict, default: {}}
  compiled: {description: Where replicas keep compiled kernels., type: path}
  kernels: {description: "Compiled kernels that are brought there, by name.", type: dict, default: {}}
  code: {description: "The folder of the code, for which they were compiled.", type: path, default: ""}
  owner: {description: "The user id of the replicas, where Ansible works as root.", type: int}
  parent: {description: The control group that the replicas' groups are in., type: str, required: true}
  limited: {description: "Services with C(name), and C(cpus) or C(memory_mib).", type: list, elements: dict, default: []}
  replicas: {description: Services with C(name) and C(port) that have a replica here., type: list, elements: dict, default: []}
  replica_port_offset: {description: How much above its service's port a replica listens., type: int, default: 0}
  timeout_s: {description: How long a replica may take until it is ready., type: int}
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
"""

MODE = 0o644


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
        if read(path) != text or stat.S_IMODE(path.stat().st_mode) != MODE:
            yield Change(f"write {path}", partial(write, path, text, MODE))


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
    limits = {one["name"]: Limits(one.get("cpus"), one.get("memory_mib")) for one in options["limited"]}
    groups = Groups(options["parent"], limits) if os.geteuid() == 0 else None
    changes = list(preparations(options, groups))
    done = [change.sentence for change in changes]
    if module.check_mode:
        surplus = list(groups.others()) if groups else []
        return [*done, *([] if supervisor.runs() else [START]), *(change.sentence for change in surplus)]
    carry_out(changes)
    if updated := supervisor.update():
        done.append(updated)
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


def main() -> None:
    """Run as Ansible's module."""
    present = {
        "host": {"type": "str"},
        "compiled": {"type": "path"},
        "timeout_s": {"type": "int"},
    }
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "node": {"type": "str", "required": True},
            "folder": {"type": "path", "required": True},
            "programs": {"type": "path", "required": True},
            "files": {"type": "dict", "default": {}},
            "kernels": {"type": "dict", "default": {}},
            "code": {"type": "path", "default": ""},
            "owner": {"type": "int"},
            "parent": {"type": "str", "required": True},
            "limited": {"type": "list", "elements": "dict", "default": []},
            "replicas": {"type": "list", "elements": "dict", "default": []},
            "replica_port_offset": {"type": "int", "default": 0},
            **present,
        },
        required_if=[("state", "present", tuple(present))],
        supports_check_mode=True,
    )
    options = module.params
    supervisor = Supervisor(Path(options["folder"]), Path(options["programs"]))
    try:
        done = (make if options["state"] == "present" else remove)(module, supervisor)
    except (NodeError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**outcome(done))


if __name__ == "__main__":
    main()

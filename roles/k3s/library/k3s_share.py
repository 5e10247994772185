#!/usr/bin/python
"""Ansible module: share files with the other nodes for a short time."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: k3s_share
short_description: Share files with other nodes over HTTP for a short time
description:
  - Nodes of one network copy from each other much faster than from the controller. Receivers check the SHA-256 of what
    they get; what is shared is public software.
options:
  state: {description: Whether to share., type: str, choices: [present, absent], default: present}
  address: {description: Where to listen., type: str}
  program: {description: Text of the server., type: str}
  paths: {description: The files., type: list, elements: str, default: []}
  seconds: {description: Timeout in seconds., type: int, default: 900}
  pid: {description: The server to end., type: int}
author: [faasbed]
"""
EXAMPLES = r"""
- name: Share the binary
  k3s_share:
    address: 192.0.2.11
    program: "{{ lookup('file', 'share.py') }}"
    paths: [/usr/local/bin/k3s]
"""
RETURN = r"""
urls: {description: URL by path., type: dict, returned: present}
pid: {description: The server's process., type: int, returned: present}
"""


def begin(address: str, program: str, paths: list[str], seconds: int) -> tuple[dict[str, str], subprocess.Popen[bytes]]:
    """Start the server; return URL by path, and its process."""
    word = secrets.token_urlsafe(16)
    server = subprocess.Popen(
        [sys.executable, "-c", program, address, str(seconds), word, *paths],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
    )
    if server.stdout is None:
        raise OSError("the server's output cannot be read")
    with server.stdout as output:
        port = output.readline().decode().strip()
    if not port:
        raise OSError(f"the server ended immediately with exit code {server.wait()}")
    return {path: f"http://{address}:{port}/{word}/{index}" for index, path in enumerate(paths)}, server


def end(pid: int) -> None:
    """Stop the server, if the process is one."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        if b"share.py ADDRESS SECONDS WORD" in command:
            os.kill(pid, signal.SIGTERM)
    except OSError:  # it has ended already
        return


def main() -> None:
    """Run as Ansible's module; sharing serves the play itself and is no change of the node."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "address": {"type": "str"},
            "program": {"type": "str"},
            "paths": {"type": "list", "elements": "str", "default": []},
            "seconds": {"type": "int", "default": 900},
            "pid": {"type": "int"},
        },
        required_if=[("state", "present", ("address", "program")), ("state", "absent", ("pid",))],
    )
    options = module.params
    if options["state"] == "absent":
        end(options["pid"])
        module.exit_json(changed=False)
    try:
        urls, server = begin(options["address"], options["program"], options["paths"], options["seconds"])
    except OSError as error:
        module.fail_json(msg=f"Files cannot be shared on {options['address']}: {error}; set k3s_share: false.")
    module.exit_json(changed=False, urls=urls, pid=server.pid)


if __name__ == "__main__":
    main()

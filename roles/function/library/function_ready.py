#!/usr/bin/python
"""Ansible module: wait until a replica, or a gateway in front of one, is ready, or report why it is not."""

from __future__ import annotations

import time
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.node.errors import NodeError
from ansible.module_utils.node.listeners import strangers, taken
from ansible.module_utils.node.process import run

DOCUMENTATION = r"""
module: function_ready
short_description: Wait until a replica, or a gateway in front of one, is ready
description:
  - Requests C(/readyz) once a second, in one process. A retried task would start a Python for each request, which takes
    CPU time on a small node from the very replica that is starting.
  - A port that another program has is an error at once. One that takes connections and answers nobody, as of a process
    that is stopped, is started again, once.
options:
  node: {description: The node's name, for the error., type: str, required: true}
  host: {description: The address where the replica or the gateway listens., type: str, required: true}
  port: {description: Its port., type: int, required: true}
  timeout_s: {description: Timeout., type: int, required: true}
  log: {description: The log whose last lines the error quotes., type: path, required: true}
  supervisor: {description: The file with the supervisor's process id., type: path, required: true}
  restart: {description: The command that starts it again., type: list, elements: str, required: true}
author: [faasbed]
"""
EXAMPLES = r"""
- name: Wait until the replica is ready
  function_ready:
    node: edge-1
    host: 198.19.0.11
    port: 32080
    timeout_s: 300
    log: /var/lib/faasbed/function/log/replica-edge.log
    supervisor: /var/lib/faasbed/function/supervisord.pid
    restart: [supervisorctl, -c, /var/lib/faasbed/function/supervisord.conf, restart, "replica:replica-edge"]
"""
RETURN = r"""
waited_s: {description: How long the wait took., type: float, returned: always}
"""

POLL_S = 1.0
ANSWER_S = 10.0
LOG_LINES = 5
# So many silent answers in a row, 30 s, are those of a process that is stopped; a node that compiles is silent for less.
SILENT_POLLS = 3


@dataclass(frozen=True)
class Unready:
    """Why a port is not ready; ``is_silent`` where it took the connection and said nothing."""

    reason: str
    is_silent: bool = False


def unready(host: str, port: int) -> Unready | None:
    """Return why the port is not ready, quoting what answers there, or None."""
    connection = HTTPConnection(host, port, timeout=ANSWER_S)
    is_connected = False
    try:
        connection.connect()
        is_connected = True
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace").strip()
    except (OSError, HTTPException) as error:
        return Unready(f"it does not answer: {error}", is_connected and isinstance(error, TimeoutError))
    finally:
        connection.close()
    return None if answer.status == HTTPStatus.OK else Unready(f"it answers {answer.status}: {text}")


def last_lines(log: Path) -> str:
    """Return how a log ends, on one line."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError as error:
        return f"(cannot be read: {error.strerror})"
    return " / ".join(line.strip() for line in lines[-LOG_LINES:] if line.strip()) or "(empty)"


def main() -> None:
    """Run as Ansible's module."""
    module = AnsibleModule(
        argument_spec={
            "node": {"type": "str", "required": True},
            "host": {"type": "str", "required": True},
            "port": {"type": "int", "required": True},
            "timeout_s": {"type": "int", "required": True},
            "log": {"type": "path", "required": True},
            "supervisor": {"type": "path", "required": True},
            "restart": {"type": "list", "elements": "str", "required": True},
        },
        supports_check_mode=True,
    )
    node, host, port, timeout_s = (module.params[name] for name in ("node", "host", "port", "timeout_s"))
    started, silent, restarted = time.monotonic(), 0, False
    while state := unready(host, port):
        if others := strangers(host, port, Path(module.params["supervisor"])):
            module.fail_json(msg=taken(node, host, port, others))
        if time.monotonic() - started > timeout_s:
            log = Path(module.params["log"])
            module.fail_json(
                msg=f"{host}:{port} is not ready after {timeout_s} s: {state.reason}. {log} ends: {last_lines(log)}. "
                "On a slow node, increase function_ready_timeout_s.",
            )
        silent = silent + 1 if state.is_silent else 0
        if silent == SILENT_POLLS and not restarted and not module.check_mode:
            restarted = True
            try:
                run(*module.params["restart"])
            except NodeError as error:
                module.fail_json(msg=f"{host}:{port} on {node} takes connections and answers nobody. {error}")
        time.sleep(POLL_S)
    module.exit_json(changed=restarted, waited_s=round(time.monotonic() - started, 1))


if __name__ == "__main__":
    main()

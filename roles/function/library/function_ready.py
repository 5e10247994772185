#!/usr/bin/python
"""Ansible module: wait until a replica, or a gateway in front of one, is ready, or report why it is not."""

from __future__ import annotations

import time
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: function_ready
short_description: Wait until a replica, or a gateway in front of one, is ready
description:
  - Requests C(/readyz) once a second, in one process. A retried task would start a Python for each request, which takes
    CPU time on a small node from the very replica that is starting.
options:
  host: {description: The address where the replica or the gateway listens., type: str, required: true}
  port: {description: Its port., type: int, required: true}
  timeout_s: {description: Timeout., type: int, required: true}
  log: {description: The log whose last lines the error quotes., type: path, required: true}
author: [faasbed]
"""
EXAMPLES = r"""
- name: Wait until the replica is ready
  function_ready:
    host: 198.19.0.11
    port: 32080
    timeout_s: 300
    log: /var/lib/faasbed/function/log/replica-edge.log
"""
RETURN = r"""
waited_s: {description: How long the wait took., type: float, returned: always}
"""

POLL_S = 1.0
ANSWER_S = 10.0
LOG_LINES = 5


def unready(host: str, port: int) -> str | None:
    """Return why the port is not ready, quoting what answers there, or None."""
    connection = HTTPConnection(host, port, timeout=ANSWER_S)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace").strip()
    except (OSError, HTTPException) as error:
        return f"it does not answer: {error}"
    finally:
        connection.close()
    return None if answer.status == HTTPStatus.OK else f"it answers {answer.status}: {text}"


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
            "host": {"type": "str", "required": True},
            "port": {"type": "int", "required": True},
            "timeout_s": {"type": "int", "required": True},
            "log": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    host, port, timeout_s = (module.params[name] for name in ("host", "port", "timeout_s"))
    started = time.monotonic()
    while reason := unready(host, port):
        if time.monotonic() - started > timeout_s:
            log = Path(module.params["log"])
            module.fail_json(
                msg=f"{host}:{port} is not ready after {timeout_s} s: {reason}. {log} ends: {last_lines(log)}. "
                "On a slow node, increase function_ready_timeout_s.",
            )
        time.sleep(POLL_S)
    module.exit_json(changed=False, waited_s=round(time.monotonic() - started, 1))


if __name__ == "__main__":
    main()

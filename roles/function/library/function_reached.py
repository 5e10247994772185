#!/usr/bin/python
"""Ansible module: wait until a gateway reaches each of its replicas, and no others."""

from __future__ import annotations

import time
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from ipaddress import ip_address

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: function_reached
short_description: Wait until a gateway reaches each of its replicas
description:
  - Requests C(/readyz), which a gateway that finds its replicas by name answers with the address of the one it asked. It
    takes them in turn, so twice as many answers as there are replicas name each of them, and a replica that is gone.
options:
  host: {description: The address where the gateway listens., type: str, required: true}
  port: {description: Its port., type: int, required: true}
  replicas: {description: The addresses of its replicas., type: list, elements: str, required: true}
  timeout_s: {description: Timeout., type: int, required: true}
author: [faasbed]
"""
EXAMPLES = r"""
- name: Wait until the gateway reaches its replicas
  function_reached:
    host: 198.19.0.11
    port: 31080
    replicas: [10.42.0.7, 10.42.1.4]
    timeout_s: 60
"""
RETURN = r"""
waited_s: {description: How long the wait took., type: float, returned: always}
"""

POLL_S = 1.0
ANSWER_S = 10.0
# Where the gateway names the replica that it asked (templates/envoy.yaml.j2).
HEADER = "x-faasbed-replica"


class UnreachedError(Exception):
    """The gateway did not answer for a replica; the message is what came instead."""


def asked(host: str, port: int) -> str:
    """Return the address of the replica that the gateway asked.

    Raises:
        UnreachedError: it did not answer, or not with a replica's address.
    """
    connection = HTTPConnection(host, port, timeout=ANSWER_S)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace").strip()
    except (OSError, HTTPException) as error:
        raise UnreachedError(f"it does not answer: {error}") from error
    finally:
        connection.close()
    if answer.status != HTTPStatus.OK:
        raise UnreachedError(f"it answers {answer.status}: {text}")
    address, _, _ = answer.headers.get(HEADER, "").rpartition(":")
    try:
        return str(ip_address(address.strip("[]")))
    except ValueError as error:
        raise UnreachedError(f"it does not say which replica it asked ({HEADER})") from error


def unreached(host: str, port: int, replicas: list[str]) -> str | None:
    """Return what is missing until the gateway reaches each of the replicas and no others, or None."""
    expected = {str(ip_address(replica)) for replica in replicas}
    try:
        reached = {asked(host, port) for _ in range(2 * len(expected))}
    except UnreachedError as error:
        return str(error)
    return None if reached == expected else f"it reaches {', '.join(sorted(reached)) or 'none'}"


def main() -> None:
    """Run as Ansible's module."""
    module = AnsibleModule(
        argument_spec={
            "host": {"type": "str", "required": True},
            "port": {"type": "int", "required": True},
            "replicas": {"type": "list", "elements": "str", "required": True},
            "timeout_s": {"type": "int", "required": True},
        },
        supports_check_mode=True,
    )
    host, port, replicas, timeout_s = (module.params[name] for name in ("host", "port", "replicas", "timeout_s"))
    started = time.monotonic()
    while reason := unreached(host, port, replicas):
        if time.monotonic() - started > timeout_s:
            module.fail_json(
                msg=f"The gateway at {host}:{port} does not reach its replicas ({', '.join(replicas)}) after {timeout_s} s: "
                f"{reason}. Check that the cluster's name server runs (CoreDNS), and that its nodes reach each other."
            )
        time.sleep(POLL_S)
    module.exit_json(changed=False, waited_s=round(time.monotonic() - started, 1))


if __name__ == "__main__":
    main()

"""Whether replicas and gateways are ready, and why not."""

from __future__ import annotations

import time
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Any

from ansible.module_utils.node.errors import NodeError
from ansible.module_utils.node.listeners import strangers, taken
from ansible.module_utils.node.process import run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ansible.module_utils.function.supervisor import Supervisor

POLL_S = 0.25
ANSWER_S = 10.0
LOG_LINES = 5
# So many silent answers in a row, 30 s, are those of a process that is stopped; a node that compiles is silent for less.
SILENT_POLLS = 3


@dataclass(frozen=True)
class Program:
    """A program of the supervisor's: the replica or the gateway (`kind`) of a service, and the port where it listens."""

    kind: str
    service: str
    port: int

    @property
    def name(self) -> str:
        """What the supervisor calls it."""
        return f"{self.kind}:{self.kind}-{self.service}"

    def log(self, folder: Path) -> Path:
        """Return where it logs."""
        return folder / "log" / f"{self.kind}-{self.service}.log"


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


def wait(
    program: Program, node: str, host: str, supervisor: Supervisor, timeout_s: float, *, may_restart: bool
) -> bool:
    """Return when a program is ready: whether it was started again for that.

    It asks in one process: a retried task would start a Python for each request, which takes CPU time on a small node
    from the very replica that is starting. One that takes connections and answers nobody, as of a process that is
    stopped, is started again, once.

    Raises:
        NodeError: it is not ready after the timeout, or another program has its port, which is an error at once.
    """
    started, silent, restarted = time.monotonic(), 0, False
    while state := unready(host, program.port):
        if others := strangers(host, program.port, supervisor.pid_file):
            raise NodeError(taken(node, host, program.port, others))
        if time.monotonic() - started > timeout_s:
            log = program.log(supervisor.folder)
            raise NodeError(
                f"{host}:{program.port} is not ready after {timeout_s:g} s: {state.reason}. {log} ends: {last_lines(log)}. "
                "On a slow node, increase function_ready_timeout_s."
            )
        silent = silent + 1 if state.is_silent else 0
        if silent == SILENT_POLLS and not restarted and may_restart:
            restarted = True
            try:
                supervisor.restart(program.name)
            except NodeError as error:
                raise NodeError(
                    f"{host}:{program.port} on {node} takes connections and answers nobody. {error}"
                ) from error
        time.sleep(POLL_S)
    return restarted


def connections(gateway: Mapping[str, Any], replica_port: int) -> str:
    """Return what ss says of a gateway's connections to its replicas.

    Raises:
        NodeError: there are none, or they use another congestion control.
    """
    expected = gateway["congestion_control"]
    told = run("ss", "-HtinO", "state", "established", "dport", f"= :{replica_port}").strip()
    if not told or any(f" {expected} " not in line for line in told.splitlines()):
        raise NodeError(
            f"{gateway['name']}: the gateway's connections to its replicas do not use {expected} "
            f"({told or 'there are none'}). Check that this kernel has tcp_{expected}."
        )
    return told


def last_lines(log: Path) -> str:
    """Return how a log ends, on one line."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError as error:
        return f"(cannot be read: {error.strerror})"
    return " / ".join(line.strip() for line in lines[-LOG_LINES:] if line.strip()) or "(empty)"

"""Settings from the environment: where the function listens and the limits it keeps."""

from __future__ import annotations

import ipaddress
import math
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MIB = 2**20
# A body may grow to ten times its size when it is decoded, and as much again when its texts are read.
MEMORY_PER_BODY = 32
PORTS = 65535


class SettingsError(ValueError):
    """A variable of the environment has an invalid value; the message names it and what is expected."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the function listens, who it says it is, and the limits it keeps."""

    host: str = "127.0.0.1"
    port: int = 8080
    node: str = field(default_factory=socket.gethostname)
    replica: str = field(default_factory=socket.gethostname)
    module: str = "app.function"
    max_body_bytes: int = 64 * MIB
    queue_limit: int = 10
    max_held_bytes: int = 256 * MIB
    read_timeout_s: float = 30.0
    clients: frozenset[str] = frozenset()


DOCUMENTATION = {
    "FUNCTION_HOST": "address to listen on (default 127.0.0.1)",
    "FUNCTION_PORT": "port to listen on; 0 takes a free one and logs it (default 8080)",
    "FUNCTION_NODE": "name of the node, in every reply (default: the host name)",
    "FUNCTION_REPLICA": "name of this replica, in every reply (default: the host name; a pod has its own)",
    "FUNCTION_MODULE": "module of the function that is served (default app.function)",
    "FUNCTION_MAX_BODY_BYTES": "largest body, as sent and decompressed; beyond it 413 "
    "(default: a 32nd of the memory, at most 67108864)",
    "FUNCTION_QUEUE_LIMIT": "requests that may wait while one runs; beyond it 503 (default 10)",
    "FUNCTION_MAX_HELD_BYTES": "bodies held at once by running and waiting requests; beyond it 503 "
    "(default: 4 x FUNCTION_MAX_BODY_BYTES)",
    "FUNCTION_CLIENTS": "addresses that may connect, between commas; others are not answered (default: all)",
    "FUNCTION_READ_TIMEOUT_S": "seconds a sender may be silent, and a tenth of what a whole body may take; "
    "beyond it 408 (default 30)",
}


def read_settings(environment: Mapping[str, str], memory_bytes: int | None = None) -> Settings:
    """Settings from ``FUNCTION_*`` variables; an empty variable counts as absent.

    Args:
        environment: the variables.
        memory_bytes: what the process may use, ``None`` where nothing limits it.

    Raises:
        SettingsError: a value out of its range.
    """
    variables = {name: value for name, value in environment.items() if name in DOCUMENTATION and value}
    for name, value in variables.items():
        if not (value.isascii() and value.isprintable()):  # names travel in headers
            raise SettingsError(f"invalid {name} {value!r}: expected printable ASCII")
    default = Settings()
    fits = default.max_body_bytes if memory_bytes is None else memory_bytes // MEMORY_PER_BODY
    largest = _whole(variables, "FUNCTION_MAX_BODY_BYTES", min(default.max_body_bytes, fits), low=1)
    return Settings(
        host=variables.get("FUNCTION_HOST", default.host),
        port=_whole(variables, "FUNCTION_PORT", default.port, low=0, high=PORTS),
        node=variables.get("FUNCTION_NODE", default.node),
        replica=variables.get("FUNCTION_REPLICA", default.replica),
        module=variables.get("FUNCTION_MODULE", default.module),
        max_body_bytes=largest,
        queue_limit=_whole(variables, "FUNCTION_QUEUE_LIMIT", default.queue_limit, low=0),
        max_held_bytes=_whole(variables, "FUNCTION_MAX_HELD_BYTES", 4 * largest, low=largest),
        read_timeout_s=_seconds(variables, "FUNCTION_READ_TIMEOUT_S", default.read_timeout_s),
        clients=_addresses(variables, "FUNCTION_CLIENTS"),
    )


def _addresses(variables: Mapping[str, str], name: str) -> frozenset[str]:
    try:
        return frozenset(str(ipaddress.ip_address(word.strip())) for word in variables.get(name, "").split(",") if word)
    except ValueError as error:
        raise SettingsError(f"invalid {name}: {error}") from None


def _whole(variables: Mapping[str, str], name: str, default: int, *, low: int, high: int | None = None) -> int:
    text = variables.get(name)
    if text is None:
        return default
    number = int(text) if text.isascii() and text.isdigit() else -1
    if number < low or (high is not None and number > high):
        limits = f">= {low}" if high is None else f"from {low} to {high}"
        raise SettingsError(f"invalid {name} {text!r}: expected an integer {limits}")
    return number


def _seconds(variables: Mapping[str, str], name: str, default: float) -> float:
    text = variables.get(name)
    if text is None:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise SettingsError(f"invalid {name} {text!r}: expected a number of seconds > 0")
    return seconds

"""Raw HTTP: bytes on a socket to a real ``python -m app`` that serves tests/app/other_function.py.

``send`` is sent, in parts of ``part_bytes``; ``then: close`` closes the client's side at once. The answer is each response's status and sentence,
or ``closed``.
"""

from __future__ import annotations

import json
import socket
from typing import Any, Self

from bad_inputs import as_bytes
from replica import Replica, connect

from surfaces import Opened

LIMIT = 65_536
READ_TIMEOUT_S = 1


class Surface(Opened):
    """One replica for all rows; it has to be there at the end."""

    def __init__(self, _folder: object) -> None:
        self._replica = Replica(read_timeout_s=READ_TIMEOUT_S, max_body_bytes=LIMIT)

    def __enter__(self) -> Self:
        self._replica.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.check()
        finally:
            self._replica.__exit__()

    def answer(self, send: Any, then: str = "", part_bytes: int | None = None) -> str:
        """Return the responses that came until the server closed, or until the client did after the first of them."""
        received, sent = b"", as_bytes(send)
        step = part_bytes or max(1, len(sent))
        with connect(self._replica) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                for at in range(0, len(sent), step):
                    connection.sendall(sent[at : at + step])
                if then == "close":
                    connection.shutdown(socket.SHUT_WR)
                while piece := connection.recv(65_536):
                    received += piece
                    if not then and responses(received):
                        then = "closed"
                        connection.shutdown(socket.SHUT_WR)
            except (ConnectionResetError, BrokenPipeError, OSError):
                if not received:
                    return "closed"
        return " | ".join(responses(received)) or "closed"

    def check(self) -> None:
        """Check that the replica still serves, and that none of its own code failed."""
        assert self._replica.client.post("/", json={"text": "one two"}).json()["words"] == 2
        assert not [line for line in self._replica.log if "Traceback" in line or "Exception" in line], self._replica.log


def responses(received: bytes) -> list[str]:
    """Return status and sentence of each whole response; interim ones are left out."""
    found = []
    while (end := received.find(b"\r\n\r\n")) >= 0:
        lines = received[:end].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        status = lines[0].split()[1]
        received = received[end + 4 :]
        if status.startswith("1"):
            continue
        length = int(headers.get("content-length", len(received)))
        body, received = received[:length], received[length:]
        try:
            found.append(f"{status} {json.loads(body)['detail']}")
        except (ValueError, KeyError, TypeError):
            found.append(status)
    return found

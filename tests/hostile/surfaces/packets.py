"""Prober packets: datagrams to a real responder, and connections to its TCP side.

``send`` are datagrams, each by itself: ``{session, number, sent}`` is a probe, anything else bytes. The answer is what
comes back: the replies as ``number/order``, or ``nothing``; the responder answers a good probe after each row.
``stream`` is sent by TCP instead, beside ``idle`` connections that send nothing; ``replies`` are what a prober is answered, to which ``{...}`` adds what it expects.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import ansible.module_utils
from bad_inputs import as_bytes

from surfaces import Opened

ROLES = Path(__file__).resolve().parents[3] / "roles"
ansible.module_utils.__path__.extend(
    path
    for path in (str(ROLES / role / "module_utils") for role in ("netem", "node"))
    if path not in ansible.module_utils.__path__
)
from ansible.module_utils.netem import probe  # noqa: E402 - where Ansible puts it on a node

DEADLINE_S = 60
# The responder without its detaching: it ends with the test.
RESPONDER = """
import resource, sys, threading
import ansible.module_utils
ansible.module_utils.__path__.extend(sys.argv[1:])
from ansible.module_utils.netem.probe import open_socket, respond
from ansible.module_utils.netem.stream import drain, listen
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
datagrams, control, connections = open_socket("127.0.0.1", 0), open_socket("127.0.0.1", 0), listen("127.0.0.1", 0)
print(datagrams.getsockname()[1], connections.getsockname()[1], flush=True)
threading.Thread(target=drain, args=(connections, 3600), daemon=True).start()
respond((datagrams, control), 3600)
"""


class Surface(Opened):
    """One responder for all rows; it has to be there at the end."""

    def __init__(self, _folder: object) -> None:
        paths = [str(ROLES / role / "module_utils") for role in ("netem", "node")]
        self._process = subprocess.Popen([sys.executable, "-c", RESPONDER, *paths], stdout=subprocess.PIPE, text=True)
        self._session = 0

    def __enter__(self) -> Self:
        assert self._process.stdout is not None
        self._port, self._stream_port = map(int, self._process.stdout.readline().split())
        return self

    def __exit__(self, *_: object) -> None:
        alive = self._process.poll() is None
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        assert alive, "the responder died"

    def answer(
        self, send: list[Any] | None = None, stream: Any = None, idle: int = 0, replies: list[Any] | None = None
    ) -> str:
        """Return what came back."""
        if replies is not None:
            return _taken(replies)
        if stream is not None:
            return self._streamed(as_bytes(stream), idle)
        self._session += 1
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
            opened.settimeout(DEADLINE_S)
            opened.connect(("127.0.0.1", self._port))
            for one in send or []:
                opened.send(probe.PROBE.pack(*_fields(one, self._session)) if isinstance(one, dict) else as_bytes(one))
            # What the responder has to say of those before, it says before it answers this one.
            last = 1 << 31 | self._session
            opened.send(probe.PROBE.pack(last, 7, 7))
            seen: list[str] = []
            while True:
                message = opened.recv(65_536)
                assert len(message) == probe.REPLY.size
                session, number, _, _, _, order, *_ = probe.REPLY.unpack(message)
                if session == last:
                    assert (number, order) == (7, 0)
                    return " ".join(seen) or "nothing"
                seen.append(f"{number}/{order}")

    def _streamed(self, content: bytes, idle: int) -> str:
        """Return what TCP's side sends back, until it closes: nothing, and probes are answered as before."""
        address = "127.0.0.1", self._stream_port
        with ExitStack() as stack:
            for _ in range(idle):
                stack.enter_context(socket.create_connection(address, timeout=DEADLINE_S))
            connection = stack.enter_context(socket.create_connection(address, timeout=DEADLINE_S))
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)
            seen = connection.recv(1)
        assert self.answer([{"number": 1}]) == "1/0"
        return repr(seen) if seen else "nothing"


def _fields(one: dict[str, int], session: int) -> tuple[int, int, int]:
    return one.get("session", session), one["number"], one.get("sent", 0)


def _taken(replies: list[Any]) -> str:
    """Return what a prober makes of replies to its first two probes: how many were answered, and how many arrived."""
    with probe.open_socket("127.0.0.1", 0) as peer, probe.open_socket("127.0.0.1", 0) as opened:
        opened.connect(peer.getsockname())
        lane = probe.Lane(opened)
        lane.send(0)
        lane.send(1)
        for one in replies:
            good = {
                "session": lane.session,
                "number": 0,
                "sent": 1,
                "arrived": 2,
                "answered": 3,
                "order": 0,
                "clock": 9,
                "base": 0,
            }
            message = as_bytes(one)
            if isinstance(one, dict):
                window = (one.pop("window", 1)).to_bytes(32, "big")
                message = probe.REPLY.pack(*{**good, **one}.values(), window)
            peer.sendto(message, opened.getsockname())
        lane.take()
        outcome = probe._outcome(lane, 2, 1.0)
    return f"{outcome.answered} answered, {outcome.arrived} arrived, {outcome.forward_duplicated} duplicated"

"""HTTP/1.1 as uvicorn speaks it, limits for who connects and asks nothing, and one sentence for what is not HTTP."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio

    from uvicorn import Config
    from uvicorn.server import ServerState

# Each connection may fill buffers of some 320 kB before a request is known; 256 of them take 80 MB at most.
MOST_CONNECTIONS = 256
# Request line and headers, as the network's parts of it add up.
MOST_HEAD_BYTES = 65_536
LONG_HEAD = b'{"detail":"The request line and the headers are longer than %d bytes."}' % MOST_HEAD_BYTES
NO_HTTP = b'{"detail":"This is not a valid HTTP/1.1 request."}'
# What a client of HTTP/2 says first (RFC 9113, section 3.4).
HTTP_2 = b"PRI * HTTP/2.0\r\n"
NO_HTTP_2 = b'{"detail":"HTTP/2 is not offered here; send HTTP/1.1."}'
# How often a client that has closed its side is asked whether it is still there.
ASK_S = 0.5


class ImpatientProtocol(H11Protocol):
    """Closes a connection whose request line and headers are not whole ``head_timeout_s`` seconds after their start.

    uvicorn itself limits only how long a connection may idle between two requests.
    """

    head_timeout_s = 30.0
    clients: frozenset[str] = frozenset()
    """Addresses that may connect; none of them: all."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._deadline: asyncio.TimerHandle | None = None
        self._begins = b""
        self._has_ended = False
        self.idle_since_s: float | None = None
        """Since when no request is served on the connection, on the loop's clock; ``None`` while one is."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn narrows it
        """Start the clock of the first request's head."""
        super().connection_made(transport)
        is_known = not self.clients or (self.client is not None and _plain(self.client[0]) in self.clients)
        if not is_known or (len(self.connections) > MOST_CONNECTIONS and not self._make_room()):
            transport.abort()
            return
        self.idle_since_s = self.loop.time()
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Stop the clock where the head is whole, start it where another begins."""
        self._begins += data[: max(0, len(HTTP_2) - len(self._begins))]
        if self._begins == HTTP_2:  # h11 would take it for a request
            self._refuse(505, b"HTTP Version Not Supported", NO_HTTP_2)
            return
        self._take(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self.idle_since_s = None
        self._watch()

    def _take(self, data: bytes) -> None:
        """Give h11 no more than one head may have: it refuses by what it has, so a long head that came whole passed."""
        while data and not self.transport.is_closing():
            room = MOST_HEAD_BYTES - len(self.conn.trailing_data[0])
            # No room is left where requests wait for the one before them.
            part = data[:room] if room > 0 else data
            data = data[len(part) :]
            super().data_received(part)

    def eof_received(self) -> bool:  # type: ignore[override]  # uvicorn closes the connection
        """Keep a connection whose client has sent its request and reads on; a closed one looks the same at first."""
        if self.cycle is None or self.cycle.response_complete or self.cycle.more_body:
            return False
        self._has_ended = True
        self._ask()
        return True

    def _ask(self) -> None:
        """Send what a waiting client may get at any time: where nobody is left, sending fails, and the next time tells.

        An interim response is part of HTTP/1.1 (RFC 9110, section 15.2), so not for clients of 1.0.
        """
        if self.transport.is_closing() or self.cycle.response_complete:
            return
        if not self.cycle.response_started and self.conn.their_http_version != b"1.0":
            interim = h11.InformationalResponse(status_code=102, reason=b"Processing", headers=[])
            self.transport.write(self.conn.send(interim) or b"")
        self.loop.call_later(ASK_S, self._ask)

    def on_response_complete(self) -> None:
        """Close a connection on which nothing more can be asked."""
        super().on_response_complete()
        self.idle_since_s = self.loop.time()
        if self._has_ended:
            self.transport.close()

    def _make_room(self) -> bool:
        """Close the connection that has been without a request longest; returns False where all are served."""
        idle = [one for one in self.connections if isinstance(one, ImpatientProtocol) and one.idle_since_s is not None]
        if not idle:
            return False
        longest = min(idle, key=lambda one: one.idle_since_s or 0.0)
        longest.transport.abort()
        # It hears of that later, and until then others may come that have to find their room.
        self.connections.discard(longest)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        super().connection_lost(exc)
        if self._deadline is not None:
            self._deadline.cancel()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's words, for everything the same
        """Answer in JSON, as everywhere, that this is not HTTP or too long, and close."""
        is_head = self.cycle is None or self.cycle.response_complete
        if is_head and len(self.conn.trailing_data[0]) >= MOST_HEAD_BYTES:
            self._refuse(431, b"Request Header Fields Too Large", LONG_HEAD)
        else:
            self._refuse(400, b"Bad Request", NO_HTTP)

    def _refuse(self, status: int, reason: bytes, body: bytes) -> None:
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            headers = [
                ("content-type", "application/json"),
                ("content-length", str(len(body))),
                ("connection", "close"),
            ]
            self.transport.write(
                self.conn.send(h11.Response(status_code=status, reason=reason, headers=headers)) or b""
            )
            self.transport.write(self.conn.send(h11.Data(data=body)) or b"")
        self.transport.close()
        if self.cycle is not None and not self.cycle.response_complete:
            # The request whose rest this was has its answer: what the application says of it goes nowhere.
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def _watch(self) -> None:
        asking = self.cycle is None or (self.cycle.response_complete and bool(self.conn.trailing_data[0]))
        if asking and self._deadline is None:
            self._deadline = self.loop.call_later(self.head_timeout_s, self.transport.close)
        elif not asking and self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _plain(address: str) -> str:
    """Return an address without its zone, as IPv4 where it is one that a socket for both families shows."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)

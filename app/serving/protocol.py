"""HTTP/1.1 as uvicorn speaks it, limits for who connects and asks nothing, and one sentence for what is not HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio

    from uvicorn import Config
    from uvicorn.server import ServerState

# Each connection may fill buffers of some 320 kB before a request is known; 256 of them take 80 MB at most.
MOST_CONNECTIONS = 256
NO_HTTP = b'{"detail":"This is not a valid HTTP/1.1 request."}'


class ImpatientProtocol(H11Protocol):
    """Closes a connection whose request line and headers are not whole ``head_timeout_s`` seconds after their start.

    uvicorn itself limits only how long a connection may idle between two requests.
    """

    head_timeout_s = 30.0

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn narrows it
        """Start the clock of the first request's head."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
            return
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Stop the clock where the head is whole, start it where another begins."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        super().connection_lost(exc)
        if self._deadline is not None:
            self._deadline.cancel()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's words, for everything the same
        """Answer in JSON, as everywhere, that this is not HTTP, and close."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            headers = [
                ("content-type", "application/json"),
                ("content-length", str(len(NO_HTTP))),
                ("connection", "close"),
            ]
            self.transport.write(
                self.conn.send(h11.Response(status_code=400, reason=b"Bad Request", headers=headers)) or b""
            )
            self.transport.write(self.conn.send(h11.Data(data=NO_HTTP)) or b"")
        self.transport.close()

    def _watch(self) -> None:
        asking = self.cycle is None or (self.cycle.response_complete and bool(self.conn.trailing_data[0]))
        if asking and self._deadline is None:
            self._deadline = self.loop.call_later(self.head_timeout_s, self.transport.close)
        elif not asking and self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

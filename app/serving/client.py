"""The client at the other end: the pieces of body it sends, and whether it is still there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Receive


class ClientGoneError(Exception):
    """The client closed the connection; nobody is left to answer."""


class Client:
    """One request's client, as ASGI's ``receive`` tells of it.

    ``sent_all`` says whether its body has come to the end.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.sent_all = False

    async def piece(self) -> bytes:
        """The next piece of the body; raises ClientGoneError where none can come any more."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        self.sent_all = not message.get("more_body", False)
        piece: bytes = message.get("body", b"")
        return piece

    async def leave(self) -> None:
        """Wait until the client closes the connection; to be awaited once the body is read."""
        while (await self._receive())["type"] != "http.disconnect":
            continue

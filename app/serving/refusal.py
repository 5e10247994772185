"""A request that is not served: its status, one clear sentence, and an answer that reaches the client."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Receive, Scope, Send

# How long a client may be silent, and how long it may go on sending, before it has read the answer.
LINGER_IDLE_S, LINGER_S = 5.0, 30.0
SENTENCE_CHARACTERS = 1000


class Refusal(Exception):  # noqa: N818 - the server is fine; it is the request that is not served
    """Why a request is not served."""

    def __init__(self, status: int, sentence: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        # A function of somebody's own may quote what it was sent.
        cut = len(sentence) > SENTENCE_CHARACTERS
        self.sentence = sentence[:SENTENCE_CHARACTERS] + "\N{HORIZONTAL ELLIPSIS}" if cut else sentence
        self.headers = dict(headers or {})

    def response(self, *, unread: bool = False) -> Response:
        """The answer, ``{"detail": sentence}``; ``unread`` says that the client may still be sending its body."""
        body = msgspec.json.encode({"detail": self.sentence})
        if not unread:
            return Response(body, self.status, self.headers, media_type="application/json")
        headers = {**self.headers, "Connection": "close"}
        return LingeringResponse(body, self.status, headers, media_type="application/json")


class LingeringResponse(Response):
    """An answer to a client that may still be sending.

    Closing a socket with unread bytes makes the kernel send a reset, and a client that gets it drops an answer it has
    not read. So the answer goes out whole, what still arrives is thrown away until the client is silent for
    LINGER_IDLE_S seconds, for up to LINGER_S seconds, and only then the connection is closed (nginx: lingering_close).
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI calls it so
        """Send the answer, then discard what arrives until the client has sent all, has gone, or time is up."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                more = True
                while more:
                    async with asyncio.timeout(LINGER_IDLE_S):
                        more = (await receive()).get("more_body", False)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

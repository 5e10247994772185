"""Requests that a proxy and this server could read differently are refused, whatever they ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.serving.refusal import Refusal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class Framing:
    """Middleware: refuses another major version of HTTP, and a body with both a length and chunks.

    Of the second a proxy may take one and this server the other, and what is behind the body for a request of its own
    (RFC 9112, section 6.3): request smuggling.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request that has one reading."""
        refusal = _refusal(scope) if scope["type"] == "http" else None
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await refusal.response()(scope, receive, send)


def _refusal(scope: Scope) -> Refusal | None:
    close = {"Connection": "close"}
    version = scope["http_version"]
    if not version.startswith("1."):
        return Refusal(505, f"HTTP/{version} is not offered here; send HTTP/1.1.", close)
    if {b"content-length", b"transfer-encoding"} <= {name for name, _ in scope["headers"]}:
        return Refusal(400, "The request has both Content-Length and Transfer-Encoding; send one of them.", close)
    return None

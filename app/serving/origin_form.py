"""Requests as proxies get them, with the whole address, are served like others (RFC 9112, section 3.2.2)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

SITE = re.compile(r"https?://[^/]*", re.IGNORECASE)


class OriginForm:
    """Middleware: takes scheme and host off a path that begins with them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request by the path alone."""
        if scope["type"] == "http" and (site := SITE.match(scope["path"])):
            scope = {**scope, "path": scope["path"][site.end() :] or "/"}
        await self._app(scope, receive, send)

"""Request bodies: what the function answers to a POST.

``body`` is sent as it is, or ``with`` are changes of a good request (paths as in `bad_inputs.changed`); ``headers``.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
from bad_inputs import as_bytes, changed
from small_request import texts

from app.serving.main import create_app
from app.serving.served import load
from app.serving.settings import Settings
from surfaces import Opened

LIMIT = 2_000_000


GOOD = texts(40)


class Surface(Opened):
    """A replica of the study's function, without a network."""

    def __init__(self, _folder: object) -> None:
        settings = Settings(node="edge-1", replica="edge-1-a", module="app.function", max_body_bytes=LIMIT)
        function = load("app.function")
        function.warm_up()
        self._app = create_app(settings, function)

    def answer(self, body: Any = None, headers: dict[str, str] | None = None, **given: Any) -> str:
        """Return status and sentence; of what is served the status only."""
        content = as_bytes(changed(GOOD, given["with"]) if "with" in given else body)
        response = asyncio.run(self._post(content, headers or {}))
        if response.status_code == 200:
            return "200"
        reply = response.json()
        assert list(reply) == ["detail"], reply
        return f"{response.status_code} {reply['detail']}"

    async def _post(self, content: bytes, headers: dict[str, str]) -> httpx.Response:
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self._app), base_url="http://function") as client:
            return await client.post("/", content=content, headers=raw)


def good() -> bytes:
    """Return the body of a request that is served."""
    return json.dumps(GOOD).encode()

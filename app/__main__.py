"""``python -m app``: serve the function on HTTP."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

import uvicorn

from app.search import memory
from app.serving.compiled import unpack
from app.serving.main import create_app
from app.serving.protocol import MOST_HEAD_BYTES, ImpatientProtocol
from app.serving.served import load
from app.serving.settings import DOCUMENTATION, SettingsError, read_settings

if TYPE_CHECKING:
    import socket

    from fastapi import FastAPI

# Longer than the 90 s after which Go's proxies (Knative's queue-proxy) drop an idle connection: were ours the shorter,
# a request could meet a connection that is just being closed.
KEEP_ALIVE_S = 120


class Server(uvicorn.Server):
    """uvicorn that closes the queue before it ends: who runs may finish, who waits is told to go elsewhere."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End after the running request (SIGTERM, SIGINT)."""
        self._app.state.service.queue.close()
        await super().shutdown(sockets)


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM; returns 2 if a setting is invalid."""
    width = max(map(len, DOCUMENTATION))
    parser = argparse.ArgumentParser(
        prog="python -m app",
        description="Serve the function on HTTP: POST / runs it; see GET /healthz, /readyz, /metrics and /docs.",
        epilog="settings, from the environment:\n"
        + "\n".join(f"  {name:<{width}}  {text}" for name, text in DOCUMENTATION.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args(arguments)
    try:
        memory_bytes = memory.most_bytes()
        memory.limit(memory_bytes)
        settings = read_settings(os.environ, memory_bytes)
        unpack(os.environ)
        app = create_app(settings, load(settings.module))
    except SettingsError as error:
        print(f"python -m app: {error}", file=sys.stderr)
        return 2
    ImpatientProtocol.head_timeout_s = settings.read_timeout_s
    ImpatientProtocol.clients = settings.clients
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=ImpatientProtocol,
        h11_max_incomplete_event_size=MOST_HEAD_BYTES - 1,
        ws="none",
        lifespan="on",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    Server(config, app).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())

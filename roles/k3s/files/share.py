"""Serves named files to the other nodes for a short time: `share.py ADDRESS SECONDS WORD FILE...`.

It answers nothing but `/WORD/<index of the file>`, prints its port, and ends by itself.
"""

from __future__ import annotations

import shutil
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer

ADDRESS, SECONDS, WORD, *FILES = sys.argv[1:]


class Handler(BaseHTTPRequestHandler):
    """Answers with one of the files."""

    def do_GET(self) -> None:
        """Send the file that the path names."""
        served = {f"/{WORD}/{index}": Path(path) for index, path in enumerate(FILES)}
        path = served.get(self.path)
        if path is None or not path.is_file():
            self.send_error(404)
            return
        with path.open("rb") as file:
            self.send_response(200)
            self.send_header("Content-Length", str(path.stat().st_size))
            self.end_headers()
            shutil.copyfileobj(file, self.wfile, 2**20)

    def log_message(self, *_: object) -> None:
        """Say nothing: nobody listens."""


class Server(ThreadingHTTPServer):
    """Listens without asking the name service who it is, as the library's does."""

    def server_bind(self) -> None:
        """Bind the socket only."""
        TCPServer.server_bind(self)


signal.alarm(int(SECONDS))
with Server((ADDRESS, 0), Handler) as server:
    print(server.server_address[1], flush=True)
    server.serve_forever()

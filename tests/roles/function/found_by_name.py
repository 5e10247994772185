"""In a network of its own, as root: a name server, two replicas and the gateway before them; prints what requests met.

Arguments: Envoy's program, and a configuration that listens on port 8081 and finds ``edge-replicas`` by name.
"""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

NAME = "edge-replicas.faasbed.svc.cluster.local"
REPLICAS = ("127.0.0.2", "127.0.0.3")
PAIRS = 20
DEADLINE_S = 120
# What the name server answers; a replica more is ready when it is here.
known = [REPLICAS[0]]


class Replica(BaseHTTPRequestHandler):
    """Takes a while and answers with its own address."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        time.sleep(0.2)  # as a computation: two requests at once meet two replicas only if both are taken
        body = self.connection.getsockname()[0].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Leave the output alone."""


def serve_names() -> None:
    """Answer with the addresses of the name, as a cluster's name server does for a headless Service (RFC 1035)."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    while True:
        query, client = server.recvfrom(512)
        labels, place = [], 12
        while query[place]:
            labels.append(query[place + 1 : place + 1 + query[place]].decode())
            place += 1 + query[place]
        question = query[12 : place + 5]
        is_known, is_ipv4 = ".".join(labels) == NAME, question[-4:-2] == b"\0\1"
        found = [socket.inet_aton(one) for one in known] if is_known and is_ipv4 else []
        flags = b"\x85\x80" if is_known else b"\x85\x83"
        records = b"".join(b"\xc0\x0c\0\1\0\1\0\0\0\5\0\4" + address for address in found)
        server.sendto(
            query[:2] + flags + b"\0\1" + len(found).to_bytes(2, "big") + bytes(4) + question + records, client
        )


def ask(path: str = "/") -> tuple[str, str | None]:
    """Send a request; return who answered, and the replica that the gateway names."""
    connection = http.client.HTTPConnection("127.0.0.1", 8081, timeout=DEADLINE_S)
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.read().decode(), answer.headers.get("x-faasbed-replica")


def wait() -> None:
    """Return when the gateway names the known replicas and no others."""
    until_s = time.monotonic() + DEADLINE_S
    named: set[str | None] = set()
    while named != {f"{address}:8080" for address in known}:
        if time.monotonic() > until_s:
            raise TimeoutError(f"the gateway names {named}, expected {known}")
        time.sleep(0.2)
        try:
            named = {ask("/readyz")[1] for _ in range(2 * len(known))}
        except OSError:
            continue


def pair() -> list[str]:
    """Send two requests at once; return who answered."""
    met: list[str] = []
    threads = [threading.Thread(target=lambda: met.append(ask()[0])) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(met)


def main() -> None:
    threading.Thread(target=serve_names, daemon=True).start()
    for address in REPLICAS:
        server = ThreadingHTTPServer((address, 8080), Replica)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    envoy, configuration = sys.argv[1:]
    command = [envoy, "--config-path", configuration, "--concurrency", "1", "--disable-hot-restart"]
    gateway = subprocess.Popen([*command, "--log-level", "warning"])
    try:
        wait()
        known.append(REPLICAS[1])
        wait()
        print(json.dumps({"pairs": [pair() for _ in range(PAIRS)], "named": ask()[1]}))
    finally:
        gateway.kill()


if __name__ == "__main__":
    main()

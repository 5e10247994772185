"""The Kubernetes API of this node, used with the certificates that k3s keeps on it."""

from __future__ import annotations

import json
import re
import ssl
from datetime import datetime
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any

from ansible.module_utils.node.errors import NodeError

DATA = Path("/var/lib/rancher/k3s")
TIMEOUT_S = 10


class ApiError(NodeError):
    """The API did not answer, or answered with an error; `status` is the HTTP status or 0."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Api:
    """A client with one set of certificates.

    Args:
        port: where the API, or the agent's load balancer before it, listens on the loopback interface.
        authority: the authority's certificate. certificate, key: the client's own.
    """

    def __init__(self, port: int, authority: Path, certificate: Path, key: Path) -> None:
        self._port = port
        try:
            self._context = ssl.create_default_context(cafile=str(authority))
            self._context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # k3s' authority does not name its key
            self._context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            raise ApiError(f"its certificates do not exist yet ({error})") from error

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Return what the API answers, as JSON where it is JSON.

        Raises:
            ApiError: no answer, or one that is not 2xx.
        """
        connection = HTTPSConnection("127.0.0.1", self._port, timeout=TIMEOUT_S, context=self._context)
        headers = {"Accept": "application/json", "Content-Type": "application/strategic-merge-patch+json"}
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            reply = connection.getresponse()
            text = reply.read().decode(errors="replace")
        except (OSError, HTTPException) as error:
            raise ApiError(f"the API does not answer ({error})") from error
        finally:
            connection.close()
        if not 200 <= reply.status < 300:
            raise ApiError(f"{method} {path}: HTTP {reply.status} {text[:200]}", reply.status)
        return json.loads(text) if text.startswith("{") else text


def as_administrator() -> Api:
    """Return the API as the cluster's administrator; on servers only."""
    tls = DATA / "server" / "tls"
    return Api(6443, tls / "server-ca.crt", tls / "client-admin.crt", tls / "client-admin.key")


def as_kubelet() -> Api:
    """Return the API as this node's kubelet, which may read its own Node."""
    agent = DATA / "agent"
    try:
        settings = (agent / "kubelet.kubeconfig").read_text("utf-8")
    except OSError as error:
        raise ApiError("it has not joined yet") from error
    address = re.search(r"server: https://[^\s]*:(\d+)", settings)
    port = int(address.group(1)) if address else 6443
    return Api(port, agent / "server-ca.crt", agent / "client-kubelet.crt", agent / "client-kubelet.key")


def why_not_ready(node: dict[str, Any], started_s: float = 0) -> str | None:
    """Return why a Node is not Ready, or None when it is.

    Args:
        node: the API's object.
        started_s: kubelet's start, in seconds since 1970; an earlier heartbeat does not count.
    """
    for condition in node.get("status", {}).get("conditions", []):
        if condition["type"] != "Ready":
            continue
        if condition["status"] != "True":
            return f"{condition.get('reason', '')}: {condition.get('message', '')}".strip(": ") or "not Ready"
        heartbeat_s = datetime.strptime(condition["lastHeartbeatTime"], "%Y-%m-%dT%H:%M:%S%z").timestamp()
        return None if heartbeat_s + 1 >= started_s else "its kubelet has not reported since it was started"
    return "its kubelet has not reported yet"

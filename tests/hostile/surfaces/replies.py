"""Replies of a function to the load driver: what is put on record of them.

``timing`` is a Server-Timing header and ``reply`` a body of a good reply; ``with`` are changes of the good body; ``raw``
is all that a socket answers. ``workload`` is ``training`` or ``http``. The answer is the error that is put on record, or
``read: `` and what was read.
"""

from __future__ import annotations

import json
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Self
from unittest import mock

import trial_nodes
from bad_inputs import as_bytes, changed
from msgspec.structs import replace

from collect import records
from experiments import workloads
from experiments.base_station import exchange
from experiments.base_station.arrivals import Due
from experiments.base_station.repetition import Repetition
from experiments.base_station.sending import Ready
from experiments.placement import place
from experiments.plan import draw
from experiments.workloads.data import Dataset
from surfaces import Opened

TEXTS = Dataset([f"text {number}" for number in range(40)], ["FAKE", "REAL"] * 20)
GOOD = {
    "best parameters": {"C": 1.0},
    "accuracy (validation)": 0.5,
    "accuracy (test)": 0.75,
    "replica": "cloud-1-a",
    "node": "cloud-1",
}
CONGESTION_CONTROL = Path("/proc/sys/net/ipv4/tcp_allowed_congestion_control").read_text(encoding="ascii").split()[0]
# Both of a row that is about time; a reply of the others is there at once.
TIMEOUT_S = 60


class Surface(Opened):
    """A server on loopback that answers with what a row says, and the driver's own code that asks it."""

    def __init__(self, _folder: object) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._raw = b""
        self._thread = threading.Thread(target=self._serve, daemon=True)
        url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        experiment = trial_nodes.only("cloud", 1)
        plan = draw(experiment, place(experiment, trial_nodes.inventory()), run="trial", texts=40, dataset="d", seed=1)
        plan = trial_nodes.aimed(plan, url)
        self._url = url
        self._scenario = replace(plan.scenarios["cloud"], congestion_control=CONGESTION_CONTROL)
        self._plan = plan

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def answer(
        self,
        timing: str | None = None,
        raw: Any = None,
        reply: Any = None,
        workload: str = "training",
        timeout_s: float = TIMEOUT_S,
        most: int = exchange.REPLY_BYTES,
        **given: Any,
    ) -> str:
        """Return what is put on record of the reply."""
        body = as_bytes(changed(GOOD, given.get("with", {})) if reply is None else reply)
        head = [b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), b"Connection: close"]
        if timing is not None:
            head.append(b"Server-Timing: " + timing.encode())
        self._raw = b"\r\n".join([*head, b"", body]) if raw is None else as_bytes(raw)
        repetition = Repetition(
            run="trial", plan=self._plan.hash, seed=1, base_station="bs", entry=self._plan.order[0],
            scenario=self._scenario,
            workload=workloads.make(workload, {}, TEXTS), cut=self._plan.cut("cloud", 0),
        )  # fmt: skip
        ready = Ready(self._scenario.traffic, [(0, Due(0.0), b"{}")])
        with mock.patch.object(exchange, "REPLY_BYTES", most):
            (record,) = repetition.measure(ready, 1, lambda _: False, timeout_s=timeout_s)
        assert records.load(records.dump(record)) == record
        if record.error is not None:
            assert "\n" not in record.error
            assert len(record.error) < 1000, record.error
            assert record.error.isprintable(), record.error
            return record.error.replace(self._url, "URL")
        read = {
            "phases": record.phases_ms,
            "parameters": record.parameters,
            "accuracy": record.accuracy_validation,
            "replica": record.replica,
        }
        return "read: " + ", ".join(f"{name} {json.dumps(value)}" for name, value in read.items() if value)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                received = b""
                while not received.endswith(b"\r\n\r\n{}"):
                    received += connection.recv(65_536)
                connection.sendall(self._raw)
                if not self._raw:
                    connection.recv(1)

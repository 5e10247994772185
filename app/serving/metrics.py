"""What Prometheus is told: requests by status, the time of each phase, and who runs and waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

if TYPE_CHECKING:
    from app.serving.queue import Queue

MEDIA_TYPE = CONTENT_TYPE_LATEST
PHASE_BUCKETS_S = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)


class Metrics:
    """One replica's figures, in a registry of their own."""

    def __init__(self, queue: Queue) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._requests = Counter(
            "function_requests",
            "Requests by status; 499 is a client that went away",
            ["status"],
            registry=self._registry,
        )
        self._phases = Histogram(
            "function_phase_seconds", "Time a served request spent in each phase", ["phase"],
            buckets=PHASE_BUCKETS_S, registry=self._registry,
        )  # fmt: skip
        in_flight = Gauge("function_in_flight", "Requests that run (0 or 1)", registry=self._registry)
        in_flight.set_function(lambda: queue.running)
        waiting = Gauge("function_waiting", "Requests that send or wait", registry=self._registry)
        waiting.set_function(lambda: queue.waiting)
        held = Gauge("function_held_bytes", "Bytes of bodies held", registry=self._registry)
        held.set_function(lambda: queue.held_bytes)

    def count(self, status: int) -> None:
        """One request ended with this status."""
        self._requests.labels(str(status)).inc()

    def observe(self, phases_ms: dict[str, float]) -> None:
        """One request was served; its phases took these milliseconds."""
        for phase, duration_ms in phases_ms.items():
            self._phases.labels(phase).observe(duration_ms / 1e3)

    def render(self) -> bytes:
        """The figures in Prometheus' text format."""
        return generate_latest(self._registry)

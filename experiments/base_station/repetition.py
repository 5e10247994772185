"""One repetition: its requests are measured, then it is finished; each leaves records."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from collect.records import ModelRecord, RequestRecord
from experiments.base_station.exchange import Exchange, fire
from experiments.workloads.workload import Outcome, Reply, ReplyError, Workload

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from experiments.base_station.plan import Entry, ScenarioPlan
    from experiments.workloads.data import Cut


@dataclass(frozen=True, slots=True)
class Repetition:
    """A repetition as planned: ``cut`` is its data, ``seed`` the run's, ``plan`` the plan's hash."""

    run: str
    plan: str
    seed: int
    base_station: str
    entry: Entry
    scenario: ScenarioPlan
    workload: Workload[Any]
    cut: Cut

    def bodies(self) -> list[bytes]:
        """Return the bodies of its requests."""
        return [self.workload.body(rows) for rows in self.cut.training]

    def measure(self, bodies: list[bytes], attempt: int, is_cold: Callable[[str | None], bool]) -> list[RequestRecord]:
        """Send its requests together, and return one record each, in their order.

        Args:
            bodies: what `bodies` returned.
            attempt: how often this repetition was measured before.
            is_cold: whether a replica answers for the first time.
        """
        started_at = datetime.now(UTC).isoformat()
        intended_ns = time.monotonic_ns()
        exchanges = fire(
            self.scenario.url,
            self.scenario.host,
            bodies,
            congestion_control=self.scenario.congestion_control,
            timeout_s=self.scenario.timeout_s,
        )
        requests = []
        for number, (exchange, body) in enumerate(zip(exchanges, bodies, strict=True)):
            reply, error = self._read(exchange)
            requests.append(
                RequestRecord(
                    run=self.run,
                    plan=self.plan,
                    scenario=self.entry.scenario,
                    base_station=self.base_station,
                    block=self.entry.block,
                    repetition=self.entry.repetition,
                    request=number,
                    attempt=attempt,
                    warmup=self.entry.warmup,
                    started_at=started_at,
                    intended_ns=intended_ns,
                    sent_ns=exchange.sent_ns,
                    connected_ns=exchange.connected_ns,
                    uploaded_ns=exchange.uploaded_ns,
                    first_byte_ns=exchange.first_byte_ns,
                    last_byte_ns=exchange.last_byte_ns,
                    request_bytes=len(body),
                    response_bytes=len(exchange.body),
                    status=exchange.status,
                    error=error,
                    congestion_control=exchange.congestion_control,
                    replica=reply.replica,
                    node=reply.node,
                    cold=is_cold(reply.replica),
                    texts=len(self.cut.training[number]),
                    parameters=reply.parameters,
                    accuracy_validation=reply.accuracy_validation,
                    accuracy_function=reply.accuracy_function,
                    phases_ms=server_timing(exchange.headers.get("server-timing", "")),
                )
            )
        return requests

    def finish(self, requests: Sequence[RequestRecord]) -> ModelRecord:
        """Do what follows the replies, and return the record that ends the repetition.

        Raises:
            WorkloadError: the workload cannot finish this repetition, nor any other.
        """
        error = next((request.error for request in requests if request.error), None)
        if error is None:
            outcome = self.workload.finish(self.cut, requests, self.seed)
        else:
            best = max(requests, key=lambda request: request.accuracy_validation or 0.0)
            outcome = Outcome(parameters=best.parameters, error=error)
        return ModelRecord(
            run=self.run,
            plan=self.plan,
            requests=len(requests),
            scenario=self.entry.scenario,
            base_station=self.base_station,
            block=self.entry.block,
            repetition=self.entry.repetition,
            attempt=requests[0].attempt,
            warmup=self.entry.warmup,
            response_time_ms=response_time_ms(requests),
            chosen_request=outcome.chosen_request,
            parameters=outcome.parameters,
            accuracy_test=outcome.accuracy_test,
            fit_ms=outcome.fit_ms,
            training_texts=sum(map(len, self.cut.training)),
            test_texts=len(self.cut.test),
            error=outcome.error,
        )

    def _read(self, exchange: Exchange) -> tuple[Reply, str | None]:
        if exchange.error is not None:
            return Reply(), exchange.error
        try:
            return self.workload.reply(exchange.body), None
        except ReplyError as error:
            return Reply(), f"{self.scenario.url}: {error}"


def server_timing(header: str) -> dict[str, float]:
    """Return the durations of a ``Server-Timing`` header in milliseconds (W3C Server Timing, ``name;dur=1.5``)."""
    phases = {}
    for entry in header.split(","):
        name, *parameters = (part.strip() for part in entry.split(";"))
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip() == "dur":
                phases[name] = float(value)
    return phases


def response_time_ms(requests: Sequence[RequestRecord]) -> float | None:
    """Return the time from the first request's start to the last reply's last byte; ``None`` where one has none."""
    sent = [request.sent_ns for request in requests if request.sent_ns is not None]
    last = [request.last_byte_ns for request in requests if request.last_byte_ns is not None]
    if len(last) != len(requests) or not sent:
        return None
    return (max(last) - min(sent)) / 1e6

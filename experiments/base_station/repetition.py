"""One repetition: its requests are measured, then it is finished; each leaves records."""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from collect.records import ModelRecord, RequestRecord, response_time_ms
from experiments.base_station.exchange import Exchange, excerpt, fire
from experiments.workloads.workload import Outcome, Reply, ReplyError, Workload

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from experiments.base_station.plan import Entry, ScenarioPlan
    from experiments.workloads.data import Cut


# What a record holds of a Server-Timing header.
PHASES = 64
NAME_CHARACTERS = 64
# No duration of a reply that is waited for; their sum stays a number.
MOST_MS = 1e12
# Entries end at commas and their parts at semicolons, save those within quotes.
QUOTED = r'"(?:[^"\\]|\\.)*"?'
ENTRY = re.compile(rf"(?:{QUOTED}|[^,\"])+")
PARAMETER = re.compile(rf"(?:{QUOTED}|[^;\"])+|(?<=^)(?=;)")
FLOAT = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
NUMBER = re.compile(rf'({FLOAT})|"({FLOAT})"', re.ASCII)


@dataclass(frozen=True, slots=True)
class Repetition:
    """A repetition as planned: ``cut`` is its data, ``seed`` the run's, ``plan`` the plan's hash.

    ``source`` is the base station's address from which requests are sent, ``None`` for any.
    """

    run: str
    plan: str
    seed: int
    base_station: str
    entry: Entry
    scenario: ScenarioPlan
    workload: Workload[Any]
    cut: Cut
    source: str | None = None

    def bodies(self) -> list[bytes]:
        """Return the bodies of its requests."""
        return [self.workload.body(rows) for rows in self.cut.training]

    def measure(
        self,
        bodies: list[bytes],
        attempt: int,
        is_cold: Callable[[str | None], bool],
        links: str | None = None,
        *,
        timeout_s: float,
        lost: Callable[[], Exception | None] = lambda: None,
    ) -> list[RequestRecord]:
        """Send its requests together, and return one record each, in their order.

        Args:
            bodies: what `bodies` returned.
            attempt: how often this repetition was measured before.
            is_cold: whether a replica answers for the first time.
            links: what tells the links in force from others.
            timeout_s: of each request.
            lost: why it is no use to wait any longer, if so.
        """
        started_at = datetime.now(UTC).isoformat()
        intended_ns = time.monotonic_ns()
        exchanges = fire(
            self.scenario.url,
            self.scenario.host,
            bodies,
            congestion_control=self.scenario.congestion_control,
            timeout_s=timeout_s,
            source=self.source,
            lost=lost,
        )
        requests = []
        for number, (exchange, body) in enumerate(zip(exchanges, bodies, strict=True)):
            reply, phases_ms, error = self._read(exchange)
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
                    phases_ms=phases_ms,
                    links=links,
                )
            )
        return requests

    def finish(self, requests: Sequence[RequestRecord], links: str | None = None) -> ModelRecord:
        """Do what follows the replies, and return the record that ends the repetition.

        Args:
            requests: the records of its requests.
            links: what tells the links in force from others, ``None`` where they did not hold.

        Raises:
            WorkloadError: the workload cannot finish this repetition, nor any other.
        """
        error = next((request.error for request in requests if request.error), None) or self.misplaced(requests)
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
            links=links,
        )

    def _read(self, exchange: Exchange) -> tuple[Reply, dict[str, float], str | None]:
        """Return what a reply puts on record; what it should not hold is an error, with the beginning of its body."""
        if exchange.error is not None:
            return Reply(), {}, exchange.error
        try:
            phases_ms = server_timing(exchange.headers.get("server-timing", ""))
            return self.workload.reply(exchange.body), phases_ms, None
        except ReplyError as error:
            return Reply(), {}, f"{self.scenario.url}: {error}; it answered: {excerpt(exchange.body)}"

    def misplaced(self, requests: Sequence[RequestRecord]) -> str | None:
        """Return how the requests were served otherwise than planned, as a sentence; ``None`` where it is not known."""
        replicas, nodes = [r.replica for r in requests], [r.node for r in requests]
        if None in replicas or None in nodes:
            return None
        planned = sorted(self.scenario.nodes[: len(requests)])
        by_each = len(set(replicas)) == len(requests) and sorted(map(str, nodes)) == planned
        if by_each or (not self.workload.replica_each and set(nodes) <= set(self.scenario.nodes)):
            return None
        served = ", ".join(sorted({f"{r.replica} on {r.node}" for r in requests}))
        return (
            f"{len(requests)} requests were served by {len(set(replicas))} replica{'s' * (len(set(replicas)) > 1)} "
            f"({served}), planned were one each on {', '.join(planned)}"
        )


def server_timing(header: str) -> dict[str, float]:
    """Return the durations of a ``Server-Timing`` header in milliseconds (W3C Server Timing, ``name;dur=1.5``).

    A duration may be quoted; of several of one entry the first one counts, and entries of one name are summed.

    Raises:
        ReplyError: a duration is not a number from 0 on, or there are more than a record holds.
    """
    phases: dict[str, float] = {}
    for entry in ENTRY.findall(header):
        name, *parameters = (part.strip() for part in PARAMETER.findall(entry))
        pairs = [parameter.partition("=") for parameter in parameters]
        duration = next((value.strip() for key, _, value in pairs if key.strip().lower() == "dur"), None)
        if name and duration is not None:
            phases[name[:NAME_CHARACTERS]] = phases.get(name[:NAME_CHARACTERS], 0.0) + _milliseconds(name, duration)
    if len(phases) > PHASES:
        raise ReplyError(f"unexpected Server-Timing: {len(phases)} durations, expected up to {PHASES}")
    return phases


def _milliseconds(name: str, value: str) -> float:
    number = NUMBER.fullmatch(value)
    duration_ms = float(number[1] or number[2]) if number else math.nan
    if not 0 <= duration_ms < MOST_MS:
        raise ReplyError(
            f"unexpected Server-Timing: duration {value[:40]!r} of {name[:40]!r}: expected a number of ms from 0 on"
        )
    return duration_ms

"""One repetition: its requests are measured, then it is finished; each leaves records."""

from __future__ import annotations

import math
import random
import re
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from collect.records import ModelRecord, RequestRecord, median_request_ms, response_time_ms
from experiments.base_station import crossing
from experiments.base_station.arrivals import Together
from experiments.base_station.exchange import Exchange, Kept, Way, excerpt, sender
from experiments.base_station.network import Start, alone
from experiments.base_station.sending import Ready, Traffic
from experiments.base_station.transport import packed
from experiments.workloads.data import turns
from experiments.workloads.workload import Draw, Outcome, Reply, ReplyError, Workload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from experiments.base_station.plan import Entry, ScenarioPlan, Site
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
    """A repetition as planned: ``cut`` is its base station's data, ``seed`` the run's, ``plan`` the plan's hash.

    ``position`` is the base station's place among all, and ``source`` its address from which requests are sent,
    ``None`` for any; ``kept`` are connections that outlast a repetition, where the scenario keeps them.
    """

    run: str
    plan: str
    seed: int
    base_station: str
    entry: Entry
    scenario: ScenarioPlan
    workload: Workload[Any]
    cut: Cut
    position: int = 0
    source: str | None = None
    kept: Kept | None = None

    @property
    def sites(self) -> Iterator[str]:
        """Where its requests go, one after the other, for ever; not all base stations begin with the same site."""
        route = self.scenario.routes[self.base_station]
        return islice(map(list(route).__getitem__, turns(list(route.values()))), self.position, None)

    def ready(self) -> Ready:
        """Return its requests, their bodies made."""
        training, body = self.cut.training, self.workload.body
        # Scenarios with the same traffic meet the same arrivals in a repetition, and draw the same bodies.
        seed = f"{self.seed} {self.entry.repetition} {self.entry.warmup} {self.base_station}"
        return Traffic(
            self.scenario.traffic,
            len(training),
            self.workload.kinds,
            self.workload.different,
            lambda share, due, turn: packed(
                body(training[share], due.kind, due.body_bytes, Draw(seed, turn)), self.scenario.encoding
            ),
            random.Random(seed),  # noqa: S311
        ).ready()

    def measure(
        self,
        ready: Ready,
        attempt: int,
        is_cold: Callable[[str | None], bool],
        links: str | None = None,
        added: Callable[[str], crossing.Delays] = lambda _: crossing.NOTHING,
        *,
        timeout_s: float,
        lost: Callable[[], Exception | None] = lambda: None,
        start: Callable[[], Start] = alone,
    ) -> list[RequestRecord]:
        """Send its requests, and return one record each, in their order.

        Args:
            ready: what `ready` returned.
            attempt: how often this repetition was measured before.
            is_cold: whether a replica answers for the first time.
            links: what tells the links in force from others.
            added: what they add to the round trips of connections to a node.
            timeout_s: of each request.
            lost: why it is no use to wait any longer, if so.
            start: tells when it begins, once all is ready.
        """
        begun, started_at = Start(0), ""

        def begin() -> int:
            nonlocal begun, started_at
            begun, started_at = start(), datetime.now(UTC).isoformat()
            return begun.begin_ns

        names = list(islice(self.sites, len(ready.requests)))
        sites = self.scenario.route(self.base_station)
        with ExitStack() as stack:
            senders = {
                name: stack.enter_context(
                    sender(
                        Way.to(self.scenario, site, self.workload, timeout_s=timeout_s, source=self.source, lost=lost),
                        self.kept,
                    )
                )
                for name, site in sites.items()
            }
            goes_on = self.scenario.loses_requests
            all_sent = ready.sent(lambda number: senders[names[number]], begin, goes_on=goes_on)
        requests = []
        for number, sent in enumerate(all_sent):
            exchange, site = sent.exchange, sites[names[number]]
            reply, phases_ms, error = self._read(site, exchange)
            delays = added(site.gateway)
            error = error or crossing.problem(site.gateway, exchange.round_trip, delays)
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
                    intended_ns=sent.intended_ns - begun.offset_ns,
                    sent_ns=begun.shared_ns(exchange.sent_ns),
                    connected_ns=begun.shared_ns(exchange.connected_ns),
                    uploaded_ns=begun.shared_ns(exchange.uploaded_ns),
                    first_byte_ns=begun.shared_ns(exchange.first_byte_ns),
                    last_byte_ns=begun.shared_ns(exchange.last_byte_ns),
                    failed_ns=begun.shared_ns(exchange.failed_ns),
                    request_bytes=len(sent.body),
                    response_bytes=len(exchange.body),
                    status=exchange.status,
                    error=error,
                    congestion_control=exchange.congestion_control,
                    replica=reply.replica,
                    node=reply.node,
                    cold=is_cold(reply.replica),
                    texts=self.workload.texts(self.cut.training[sent.share], sent.due.kind, sent.due.body_bytes),
                    parameters=reply.parameters,
                    accuracy_validation=reply.accuracy_validation,
                    accuracy_function=reply.accuracy_function,
                    phases_ms=phases_ms,
                    links=links,
                    requests=len(all_sent),
                    request_kind=sent.due.kind,
                    min_rtt_ms=exchange.round_trip.min_rtt_ms if exchange.round_trip else None,
                    retransmissions=exchange.retransmissions,
                    connection=exchange.connection,
                    protocol=exchange.protocol,
                    encoding=self.scenario.encoding,
                    links_rtt_ms=delays.lowest_ms if links else None,
                    qualities=reply.qualities,
                    site=names[number] if len(self.scenario.sites) > 1 else None,
                    clock_error_ms=begun.clock_error_ms,
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
        is_together = isinstance(self.scenario.traffic, Together)
        answered = self.answered(requests)
        error = next((request.error for request in answered if request.error), None) or self.misplaced(requests)
        if not answered:
            error = f"no request was answered, the first one: {requests[0].error}"
        if error is None and not is_together:
            error = self._late(requests)
        if error is None:
            outcome = self.workload.finish(self.cut, answered, self.seed)
        else:
            outcome = Outcome(parameters=self.workload.best(requests).parameters, error=error)
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
            response_time_ms=response_time_ms(answered) if is_together else median_request_ms(answered),
            chosen_request=outcome.chosen.request if outcome.chosen else None,
            parameters=outcome.parameters,
            accuracy_test=outcome.accuracy_test,
            fit_ms=outcome.fit_ms,
            training_texts=sum(map(len, self.cut.training)),
            test_texts=len(self.cut.test),
            error=outcome.error,
            links=links,
            arrivals=str(self.scenario.traffic.__struct_config__.tag),
            qualities=outcome.qualities,
            failed_requests=len(requests) - len(answered),
        )

    def answered(self, requests: Sequence[RequestRecord]) -> Sequence[RequestRecord]:
        """Return the requests without those that failed as a result, because events had taken away what they need.

        A reply that is wrong, links that were not crossed, or whatever else is no part of an event is none.
        """
        if not self.scenario.loses_requests:
            return requests
        return [one for one in requests if one.error is None or one.status in self.workload.statuses]

    def _read(self, site: Site, exchange: Exchange) -> tuple[Reply, dict[str, float], str | None]:
        """Return what a reply puts on record; what it should not hold is an error, with the beginning of its body."""
        if exchange.error is not None:
            return Reply(), {}, exchange.error
        try:
            phases_ms = server_timing(exchange.headers.get("server-timing", ""))
            return self.workload.reply(exchange.body), phases_ms, None
        except ReplyError as error:
            return Reply(), {}, f"{site.url}: {error}; it answered: {excerpt(exchange.body)}"

    def _late(self, requests: Sequence[RequestRecord]) -> str | None:
        """Return how late requests were sent, as a sentence, where that is later than planned."""
        late_ms = sorted((one.sent_ns - one.intended_ns) / 1e6 for one in requests if one.sent_ns is not None)
        p99_ms = late_ms[math.ceil(0.99 * len(late_ms)) - 1]
        if p99_ms <= self.scenario.max_late_ms:
            return None
        return (
            f"the base station was late: one request in a hundred was sent {p99_ms:.1f} ms or more after it was due, "
            f"{self.scenario.max_late_ms:g} ms are allowed; lower the rate, or raise traffic.max_late_ms"
        )

    def misplaced(self, requests: Sequence[RequestRecord]) -> str | None:
        """Return how the requests were served otherwise than planned, as a sentence; ``None`` where it is not known."""
        replicas, nodes = [r.replica for r in requests], [r.node for r in requests]
        if None in replicas or None in nodes:
            return None
        planned = sorted(self.scenario.nodes[: len(requests)])
        by_each = len(set(replicas)) == len(requests) and sorted(map(str, nodes)) == planned
        need_each = self.workload.replica_each and self.scenario.replica_each
        elsewhere = [
            request
            for request, site in zip(requests, self.sites, strict=False)
            if request.node not in self.scenario.sites[site].nodes
        ]
        if by_each if need_each else not elsewhere:
            return None
        if not need_each:
            return (
                f"request {elsewhere[0].request} was served by {elsewhere[0].replica} on {elsewhere[0].node}, where no "
                "replica of its site should be"
            )
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

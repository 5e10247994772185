"""Which records are data points: the repetitions of a run, by scenario, and the attempts that failed. No I/O."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, groupby
from typing import TYPE_CHECKING, NamedTuple

from collect.analysis import consistency, quality
from collect.analysis.network import joint, name_of
from collect.analysis.packed import Requests, pack, unpack_model
from collect.records import TOGETHER, ChangeRecord, NetworkRecord, RequestRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from collect.analysis.quality import Measure
    from collect.records import ModelRecord, Record

    _Measured = RequestRecord | ModelRecord | NetworkRecord

# Why an attempt that has no end is no data point.
INTERRUPTED = "interrupted before the base station had finished training"
# The paper's two first, in its order; any others follow by name.
PAPER_SCENARIOS = ("edge", "cloud")


class Key(NamedTuple):
    """What makes an attempt one; the attempts of a repetition differ in the last part only."""

    scenario: str
    base_station: str
    warmup: bool
    repetition: int
    attempt: int

    @classmethod
    def of(cls, record: Record) -> Key:
        """Return the attempt that a record is about."""
        return cls(record.scenario, record.base_station, record.warmup, record.repetition, record.attempt)


@dataclass(frozen=True, slots=True)
class Repetition:
    """A finished repetition that is a data point: its newest attempt's requests, in order, and what came of them.

    ``requests`` are those that were answered, ``unanswered`` those that failed as a result, as events had taken away
    what they need; where there are any, times and qualities are of the answered ones. ``started_at`` is when the first
    of its requests was sent. ``response_s`` is that of all requests where these were sent together, else the median of
    each one's, counted from when it was due. One that several base stations measured together has what each of them
    measured as its ``parts``, and the number of these for ``base_station``.
    """

    scenario: str
    base_station: str
    repetition: int
    block: int
    attempt: int
    response_s: float
    qualities: tuple[tuple[Measure, float], ...]
    fit_s: float | None
    requests: Sequence[RequestRecord]
    chosen_request: int | None
    training_texts: int
    test_texts: int
    started_at: str = ""
    arrivals: str = TOGETHER
    parts: tuple[Repetition, ...] = ()
    chosen_base_station: str | None = None
    unanswered: Sequence[RequestRecord] = ()

    @property
    def all_requests(self) -> tuple[RequestRecord, ...]:
        """All of its requests, the unanswered ones last."""
        return (*self.requests, *self.unanswered)

    @property
    def attempts(self) -> dict[str, int]:
        """The numbers of the attempts that it is, by base station."""
        return {part.base_station: part.attempt for part in self.parts or (self,)}

    def is_chosen(self, request: RequestRecord) -> bool:
        """Return whether a request of it had the best reply."""
        of = self.chosen_base_station
        return request.request == self.chosen_request and of in (None, request.base_station)

    @property
    def pair(self) -> tuple[str, int]:
        """What it shares with its partner in another scenario: base station and repetition, so the same split."""
        return (self.base_station, self.repetition)

    def quality(self, measure: Measure) -> float | None:
        """Return its value by a measure, ``None`` where it has none."""
        return next((value for own, value in self.qualities if own == measure), None)


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt that is no data point; ``measured_again`` when a later attempt took its place.

    ``started_at`` is empty where nothing was sent. ``attempts`` are the numbers of the attempts by base station, where
    several of them measured it together.
    """

    scenario: str
    base_station: str
    repetition: int
    attempt: int
    warmup: bool
    measured_again: bool
    error: str
    started_at: str = ""
    attempts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Measurements:
    """All that a run has measured.

    ``scenarios`` are its data points, which headline, tables and figures share: where most repetitions are there in
    every scenario, those that are. ``unpaired`` are finished ones whose partner failed in another scenario. ``changes``
    are those of links meanwhile, by scenario and attempt.
    """

    scenarios: dict[str, tuple[Repetition, ...]]
    failures: tuple[Failure, ...]
    warmups: int
    unpaired: tuple[Repetition, ...] = ()
    changes: dict[Key, tuple[ChangeRecord, ...]] = field(default_factory=dict)

    def changes_of(self, repetition: Repetition) -> tuple[ChangeRecord, ...]:
        """Return how links changed while a repetition was measured."""
        return tuple(
            change
            for name, attempt in repetition.attempts.items()
            for change in self.changes.get(Key(repetition.scenario, name, False, repetition.repetition, attempt), ())
        )

    @property
    def finished(self) -> tuple[Repetition, ...]:
        """All finished repetitions, those that do not count last."""
        return (*chain.from_iterable(self.scenarios.values()), *self.unpaired)

    def failed(self, *scenarios: str) -> int:
        """Return how many repetitions of these scenarios failed: no warm-ups, and none that was measured again."""
        return sum(
            failure.scenario in scenarios and not failure.warmup and not failure.measured_again
            for failure in self.failures
        )


@dataclass(slots=True)
class _Attempt:
    # Packed, as there may be a million.
    requests: dict[int, bytes] = field(default_factory=dict)
    model: bytes | None = None
    chosen: int = -1
    # Which of its lines is there twice, in words.
    twice: str | None = None
    # Whether several base stations agreed on when it starts.
    is_joint: bool = False

    @property
    def in_order(self) -> Requests:
        """Its requests by their numbers."""
        return Requests(tuple(self.requests[number] for number in sorted(self.requests)))


@dataclass(frozen=True, slots=True)
class _Refused:
    """An attempt that is no data point, and why."""

    reason: str
    started_at: str


class _Group(NamedTuple):
    """A repetition of several base stations."""

    scenario: str
    warmup: bool
    repetition: int


@dataclass(frozen=True, slots=True)
class LinksOff:
    """A time, in seconds since 1970, in which the links that leave a node were not in force, and why."""

    node: str
    from_s: float
    until_s: float
    problem: str


def gather(records: Iterable[Record], links_off: Sequence[LinksOff] = (), planned: Sequence[str] = ()) -> Measurements:
    """Sort the records of a run into data points and failures; of each repetition the newest attempt counts.

    A repetition whose records are not complete, or cannot be true, or that met links that were off, is a failure.

    Args:
        records: of the run.
        links_off: when the links that leave a node were not in force.
        planned: the names of the scenarios in the order of their file, where it is known.
    """
    changes: dict[Key, list[ChangeRecord]] = defaultdict(list)
    attempts, networks = _attempts(_without(records, changes))
    most = _most_requests(attempts)
    names = ordered({key.scenario for key in attempts}, planned)
    scenarios: dict[str, list[Repetition]] = {name: [] for name in names}
    failures = []
    warmups = 0
    is_joint = bool(networks) or any(attempt.is_joint for attempt in attempts.values())
    judged = {key: _judged(key, attempts.pop(key), most[key.scenario], links_off) for key in sorted(attempts)}
    for warmup, one in _joint(judged, networks) if is_joint else _each(judged):
        if isinstance(one, Failure):
            failures.append(one)
        elif warmup:
            warmups += 1
        else:
            scenarios[one.scenario].append(one)
    paired_up, unpaired = _population(scenarios)
    changed = {key: tuple(of_attempt) for key, of_attempt in changes.items()}
    return Measurements(paired_up, tuple(failures), warmups, unpaired, changed)


def _without(records: Iterable[Record], changes: dict[Key, list[ChangeRecord]]) -> Iterator[_Measured]:
    """Yield what was measured, and put changes of links aside."""
    for record in records:
        if isinstance(record, ChangeRecord):
            changes[Key.of(record)].append(record)
        else:
            yield record


def _each(judged: Mapping[Key, Repetition | _Refused]) -> Iterator[tuple[bool, Repetition | Failure]]:
    """Yield the newest attempts that are whole, and all that are not, with whether they are warm-ups."""
    for _, of_repetition in groupby(judged, lambda key: key[:-1]):
        keys = list(of_repetition)
        for key in keys:
            one, is_newest = judged[key], key is keys[-1]
            if isinstance(one, _Refused):
                names = (key.scenario, key.base_station, key.repetition, key.attempt, key.warmup)
                yield key.warmup, Failure(*names, not is_newest, one.reason, one.started_at)
            elif is_newest:
                yield key.warmup, one


def _joint(
    judged: Mapping[Key, Repetition | _Refused], networks: Mapping[_Group, NetworkRecord]
) -> Iterator[tuple[bool, Repetition | Failure]]:
    """Yield what several base stations measured together, as `_each` does.

    Attempts that are none of a repetition that all have finished were interrupted, or came before it.
    """
    stations = sorted({key.base_station for key in judged})
    for group, of_group in groupby(sorted(judged, key=_group), _group):
        keys = list(of_group)
        record = networks.get(group)
        counted = record.attempts if record is not None else {}
        rest: dict[int, dict[str, int]] = defaultdict(dict)
        for key in keys:
            if counted.get(key.base_station) != key.attempt:
                rest[key.attempt][key.base_station] = key.attempt
        is_newest = True
        for number, attempts in rest.items():
            is_before = all(attempt < counted.get(name, -1) for name, attempt in attempts.items())
            is_newest &= is_before
            again = is_before or number < max(rest)
            yield group.warmup, _failure(group, name_of(stations), attempts, again, INTERRUPTED, judged)
        if record is None:
            continue
        parts = {
            name: judged.get(Key(group.scenario, name, group.warmup, group.repetition, attempt))
            for name, attempt in counted.items()
        }
        found = joint(record, {name: one.reason if isinstance(one, _Refused) else one for name, one in parts.items()})
        if isinstance(found, str):
            yield group.warmup, _failure(group, name_of(stations), counted, not is_newest, found, judged)
        elif is_newest:
            yield group.warmup, found


def _failure(
    group: _Group,
    name: str,
    attempts: Mapping[str, int],
    measured_again: bool,
    error: str,
    judged: Mapping[Key, Repetition | _Refused],
) -> Failure:
    own = [
        judged[key]
        for station, attempt in attempts.items()
        if (key := Key(group.scenario, station, group.warmup, group.repetition, attempt)) in judged
    ]
    return Failure(
        scenario=group.scenario,
        base_station=name,
        repetition=group.repetition,
        attempt=max(attempts.values()),
        warmup=group.warmup,
        measured_again=measured_again,
        error=error,
        started_at=min((one.started_at for one in own), default=""),
        attempts=dict(attempts),
    )


def _group(key: Key | NetworkRecord) -> _Group:
    return _Group(key.scenario, key.warmup, key.repetition)


def _attempts(records: Iterable[_Measured]) -> tuple[dict[Key, _Attempt], dict[_Group, NetworkRecord]]:
    """Return the attempts, and of each repetition that several base stations measured what came of all of them."""
    attempts: dict[Key, _Attempt] = {}
    networks: dict[_Group, NetworkRecord] = {}
    names: dict[str, str] = {}
    for record in records:
        if isinstance(record, NetworkRecord):
            networks[_group(record)] = record
            continue
        # A million attempts share their names.
        scenario = names.setdefault(record.scenario, record.scenario)
        base_station = names.setdefault(record.base_station, record.base_station)
        key = Key(scenario, base_station, record.warmup, record.repetition, record.attempt)
        attempt = attempts.get(key)
        if attempt is None:
            attempt = attempts[key] = _Attempt()
        if isinstance(record, RequestRecord):
            if record.request in attempt.requests:
                attempt.twice = f"request {record.request} is on record twice"
            attempt.requests[record.request] = pack(record)
            attempt.is_joint = record.clock_error_ms is not None
        else:
            if attempt.model is not None:
                attempt.twice = "its end is on record twice"
            attempt.model = pack(record)
            attempt.chosen = -1 if record.chosen_request is None else record.chosen_request
    return attempts, networks


def _population(
    scenarios: Mapping[str, Sequence[Repetition]],
) -> tuple[dict[str, tuple[Repetition, ...]], tuple[Repetition, ...]]:
    """Return the repetitions that count, by scenario, and the finished ones that do not.

    Those count that every scenario has that has any. Where these are fewer than half of a scenario's, dropping the rest
    costs more than pairing: then all count.
    """
    pairs = [{repetition.pair for repetition in measured} for measured in scenarios.values() if measured]
    common = set.intersection(*pairs) if pairs else set()
    if 2 * len(common) < min(map(len, pairs), default=0):
        return {name: tuple(measured) for name, measured in scenarios.items()}, ()
    counted = {name: tuple(r for r in measured if r.pair in common) for name, measured in scenarios.items()}
    return counted, tuple(r for measured in scenarios.values() for r in measured if r.pair not in common)


def _most_requests(attempts: Mapping[Key, _Attempt]) -> dict[str, int]:
    """Return how many requests a repetition of each scenario has, as far as the records tell; the chosen one is one."""
    most: dict[str, int] = defaultdict(int)
    for key, attempt in attempts.items():
        most[key.scenario] = max(most[key.scenario], len(attempt.requests), attempt.chosen + 1)
    return most


def ordered(names: Iterable[str], planned: Sequence[str] = ()) -> list[str]:
    """Return scenario names in the order of the report: as planned; else the paper's two first, the others by name."""
    place = {name: number for number, name in enumerate(planned)}

    def key(name: str) -> tuple[int, bool, bool, str]:
        return place.get(name, len(place)), name not in PAPER_SCENARIOS, name == "cloud", name

    return sorted(names, key=key)


def paired(
    subject: Iterable[Repetition], reference: Iterable[Repetition]
) -> tuple[tuple[Repetition, ...], tuple[Repetition, ...]]:
    """Return the repetitions of both scenarios that have a partner, in one order."""
    of_subject = {repetition.pair: repetition for repetition in subject}
    of_reference = {repetition.pair: repetition for repetition in reference}
    pairs = sorted(of_subject.keys() & of_reference.keys())
    return tuple(of_subject[pair] for pair in pairs), tuple(of_reference[pair] for pair in pairs)


def started(repetition: Repetition) -> tuple[str, str]:
    """Return by what repetitions are sorted in the order in which each base station measured them."""
    return repetition.base_station, repetition.started_at


def _started_at(requests: Iterable[RequestRecord]) -> str:
    return min((request.started_at for request in requests), default="")


def _met(links_off: Sequence[LinksOff], started_at: str, response_s: float) -> LinksOff | None:
    """Return the first of the times that a repetition shares, if any; one that tells no time shares all."""
    if not links_off:  # as nearly always, and there may be a million repetitions
        return None
    try:
        start_s = datetime.fromisoformat(started_at).timestamp()
    except ValueError:
        return links_off[0]
    return next((off for off in links_off if off.from_s <= start_s + response_s and start_s <= off.until_s), None)


def _judged(
    key: Key, attempt: _Attempt, most_requests: int, links_off: Sequence[LinksOff] = ()
) -> Repetition | _Refused:
    """Return the repetition that an attempt is, or why it is none."""
    rows = attempt.in_order
    requests = list(rows)
    started_at = _started_at(requests)
    model = unpack_model(attempt.model) if attempt.model is not None else None
    reason = _reason(attempt, model, requests, most_requests)
    if model is None or model.response_time_ms is None or reason is not None:
        return _Refused(reason or INTERRUPTED, started_at)
    response_s = model.response_time_ms / 1000
    off = _met(links_off, started_at, response_s)
    if off is not None:
        return _Refused(f"the links that leave {off.node} were not in force: {off.problem}", started_at)
    return Repetition(
        scenario=key.scenario,
        base_station=key.base_station,
        repetition=key.repetition,
        block=model.block,
        attempt=key.attempt,
        response_s=response_s,
        qualities=quality.of(model),
        fit_s=None if model.fit_ms is None else model.fit_ms / 1000,
        requests=_those(rows, requests, lambda one: one.error is None) if model.failed_requests else rows,
        unanswered=_those(rows, requests, lambda one: one.error is not None) if model.failed_requests else (),
        chosen_request=model.chosen_request,
        training_texts=model.training_texts,
        test_texts=model.test_texts,
        started_at=started_at,
        arrivals=model.arrivals,
    )


def _those(rows: Requests, requests: Sequence[RequestRecord], which: Callable[[RequestRecord], bool]) -> Requests:
    """Return some of the requests as they are packed."""
    return Requests(tuple(row for row, request in zip(rows.rows, requests, strict=True) if which(request)))


def _reason(
    attempt: _Attempt, model: ModelRecord | None, requests: Sequence[RequestRecord], most_requests: int
) -> str | None:
    """Return what is wrong with the records of an attempt, if anything."""
    of_requests = [f"request {r.request}: {r.error}" for r in requests if r.error is not None]
    if model is None:
        return "; ".join([INTERRUPTED, *of_requests])
    if model.error is not None:
        return "; ".join([model.error, *of_requests])
    if model.response_time_ms is None:
        return "its record holds neither a response time nor an error"
    expected = most_requests if model.requests is None else model.requests
    contradiction = attempt.twice or consistency.problem(model, requests, expected)
    return f"its records cannot be true: {contradiction}" if contradiction else None

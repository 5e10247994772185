"""The tables of an export: their columns with units and meanings, from which its dictionary is written, too."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, TypeVar

from collect.analysis.phases import COMPUTE

if TYPE_CHECKING:
    from collections.abc import Callable

    from collect import load
    from collect.analysis.quality import Measure
    from collect.analysis.repetitions import Key
    from collect.analysis.starts import States
    from collect.links import LinkCheck
    from collect.records import ChangeRecord, ModelRecord, NetworkRecord, RequestRecord
    from collect.resources import Limited

Row = TypeVar("Row")
Kind = Literal["text", "integer", "number", "boolean"]
# The function's phases that have a column of their own.
PHASES = ("read", "queue", *COMPUTE)
STATE = (
    "What became of this attempt: 'data point' counts in the report; 'unpaired' finished, but its partner in another "
    "scenario failed; 'warm-up'; 'failed'; 'measured again' finished, but a later attempt took its place; 'refused' "
    "would count if the run's links or limited replicas had not been found off."
)


def _json(value: Any) -> str | None:
    return json.dumps(value, ensure_ascii=False, sort_keys=True) if value else None


@dataclass(frozen=True, slots=True)
class Column(Generic[Row]):
    """A column: its name, the unit of its values, what they mean, how a row's is found, and what kind it is of."""

    name: str
    unit: str
    meaning: str
    value: Callable[[Row], Any]
    kind: Kind = "text"


@dataclass(frozen=True, slots=True)
class Table(Generic[Row]):
    """A file of the export: the name, what a row is, the columns."""

    name: str
    row: str
    columns: tuple[Column[Row], ...]


class Sample(NamedTuple):
    """A request, with what became of its repetition."""

    record: RequestRecord
    state: str


class Measured(NamedTuple):
    """An attempt of a repetition: the end of it, ``None`` where it was interrupted, and its first request, if any."""

    key: Key
    state: str
    error: str | None
    end: ModelRecord | None
    first: RequestRecord | None


class Valued(NamedTuple):
    """An attempt of a repetition and its value by one measure."""

    key: Key
    state: str
    measure: Measure
    value: float


class Joint(NamedTuple):
    """What several base stations' replies came to, what became of it, and how long it took where it counts."""

    record: NetworkRecord
    state: str
    response_time_ms: float | None


class Changed(NamedTuple):
    """A change of a link or a node, and what became of its repetition."""

    record: ChangeRecord
    state: str


class Loaded(NamedTuple):
    """A second of a machine, and the nodes that are on it."""

    nodes: str
    cores: int | None
    sample: load.Sample


class Verified(NamedTuple):
    """A link at one moment, and what shaped it."""

    moment: str
    backend: str
    taken_at: str
    check: LinkCheck


def _of(name: str, unit: str, meaning: str, kind: Kind = "text") -> Column[Any]:
    """Return a column that the record of a row has under this name."""
    return Column(name, unit, meaning, lambda row: getattr(row.record, name), kind)


def _phase(name: str) -> Column[Sample]:
    meaning = f"The function's own time for '{name}', from its Server-Timing."
    return Column(f"phase_{name}_ms", "ms", meaning, lambda row: row.record.phases_ms.get(name), "number")


def _end(name: str, unit: str, meaning: str, kind: Kind = "integer") -> Column[Measured]:
    """Return a column of repetitions that the record of their end has under this name."""
    return Column(name, unit, meaning, lambda row: getattr(row.end, name, None), kind)


def _second(name: str, unit: str, meaning: str) -> Column[Loaded]:
    """Return a column of the load that a second of a machine has under this name."""
    return Column(name, unit, meaning, lambda row: getattr(row.sample, name), "number")


def _limited(name: str, unit: str, meaning: str, kind: Kind = "number") -> Column[Limited]:
    """Return a column of limited replicas."""
    return Column(name, unit, meaning, lambda row: getattr(row, name), kind)


def _told(state: str, meaning: str) -> Column[tuple[str, States]]:
    """Return a column of when a replica of a cluster came to a state."""
    sentence = f"When the cluster told that {meaning}, in seconds since 1970; empty where it did not."
    return Column(f"{state}_at_s", "s", sentence, lambda row: row[1].get(state), "number")


def _of_delay(name: str) -> Callable[[Verified], Any]:
    return lambda row: getattr(row.check.delay, name, None)


CLOCK = "On the base station's monotonic clock"
SAMPLES: Table[Sample] = Table(
    "samples",
    "a request of an attempt of a repetition",
    (
        _of("run", "", "The run's id."),
        _of("scenario", "", "The scenario."),
        _of("base_station", "", "The base station that sent it."),
        _of("warmup", "", "Whether the repetition is a warm-up, which never counts.", "boolean"),
        _of(
            "block",
            "",
            "The block of repetitions of one scenario that follow each other, numbered over the run.",
            "integer",
        ),
        _of(
            "repetition",
            "",
            "The repetition; of the same number in two scenarios are a pair, with the same split.",
            "integer",
        ),
        _of("attempt", "", "From 0; of each repetition the newest attempt counts.", "integer"),
        _of("request", "", "The request's number within its repetition, from 0.", "integer"),
        Column("state", "", STATE, lambda row: row.state),
        _of("started_at", "ISO 8601", "When it was sent, by the base station's clock."),
        _of("intended_ns", "ns", f"{CLOCK}, when it was to be sent.", "integer"),
        _of("sent_ns", "ns", f"{CLOCK}, just before it was sent.", "integer"),
        _of("connected_ns", "ns", f"{CLOCK}, when the connection stood.", "integer"),
        _of("uploaded_ns", "ns", f"{CLOCK}, when the gateway's TCP had acknowledged the last byte.", "integer"),
        _of("first_byte_ns", "ns", f"{CLOCK}, when the first byte of the reply came.", "integer"),
        _of("last_byte_ns", "ns", f"{CLOCK}, when the last byte of the reply came.", "integer"),
        *(_phase(name) for name in PHASES),
        Column(
            "other_phases_ms",
            "ms",
            "Any other phases of the function, as JSON by their names.",
            lambda row: _json({name: ms for name, ms in row.record.phases_ms.items() if name not in PHASES}),
        ),
        _of("failed_ns", "ns", f"{CLOCK}, when it failed; empty where a whole reply came.", "integer"),
        _of("request_bytes", "B", "The size of the request's body.", "integer"),
        _of("response_bytes", "B", "The size of the reply's body.", "integer"),
        _of("status", "", "The HTTP status of the reply, empty where there is none.", "integer"),
        _of("error", "", "Why the request failed, empty where it did not."),
        _of("congestion_control", "", "The congestion control that TCP used."),
        _of("connection", "", "'new', or 'kept' from an earlier request, then without connected_ns."),
        _of("protocol", "", "The version of HTTP, as the reply has it."),
        _of("encoding", "", "How the body was packed: 'plain', 'gzip' or 'zstd'; its size is that of the packed one."),
        _of("requests", "", "How many requests the repetition has, empty before schema 4.", "integer"),
        _of("request_kind", "", "What the workload calls this kind of request, empty where there is one."),
        _of(
            "min_rtt_ms",
            "ms",
            "The smallest round trip of its connection, as the base station's kernel saw it.",
            "number",
        ),
        _of("retransmissions", "", "How many segments of the upload were sent again.", "integer"),
        _of("links", "", "What tells the links that were in force from others."),
        _of("links_rtt_ms", "ms", "The shortest round trip that the links to the gateway and back can have.", "number"),
        _of("site", "", "The group of nodes that it was sent to, empty where there is only one."),
        _of(
            "clock_error_ms",
            "ms",
            "How far its times may be from the first base station's clock, by which several count.",
            "number",
        ),
        _of("node", "", "The node that served it."),
        _of("replica", "", "The replica that served it."),
        _of(
            "cold",
            "",
            "Whether its base station met the replica for the first time.",
            "boolean",
        ),
        _of("texts", "", "How many texts it carried.", "integer"),
        _of(
            "accuracy_validation",
            "0 to 1",
            "The reply's accuracy in cross-validation, by which replies are chosen.",
            "number",
        ),
        _of("accuracy_function", "0 to 1", "The reply's accuracy on the function's own test texts.", "number"),
        Column("parameters", "", "The reply's best parameters, as JSON.", lambda row: _json(row.record.parameters)),
        Column(
            "qualities",
            "",
            "What the reply says of its quality, as JSON by the measures of qualities.csv.",
            lambda row: _json(row.record.qualities),
        ),
    ),
)
REPETITIONS: Table[Measured] = Table(
    "repetitions",
    "an attempt of a repetition",
    (
        Column("scenario", "", "The scenario.", lambda row: row.key.scenario),
        Column("base_station", "", "The base station that measured it.", lambda row: row.key.base_station),
        Column("warmup", "", "Whether it is a warm-up, which never counts.", lambda row: row.key.warmup, "boolean"),
        Column(
            "block",
            "",
            "The block of repetitions of one scenario that follow each other, numbered over the run.",
            lambda row: getattr(row.end or row.first, "block", None),
            "integer",
        ),
        Column(
            "repetition",
            "",
            "The repetition; of the same number in two scenarios are a pair, with the same split.",
            lambda row: row.key.repetition,
            "integer",
        ),
        Column(
            "attempt",
            "",
            "From 0; of each repetition the newest attempt counts.",
            lambda row: row.key.attempt,
            "integer",
        ),
        Column("state", "", STATE, lambda row: row.state),
        Column("error", "", "Why it failed, empty where it did not.", lambda row: row.error),
        Column(
            "started_at",
            "ISO 8601",
            "When its first request was sent, by the base station's clock.",
            lambda row: getattr(row.first, "started_at", None),
        ),
        _end("requests", "", "How many requests it has."),
        _end(
            "failed_requests",
            "",
            "How many of them failed as a result, as events had taken away what they need; times are of the others.",
        ),
        _end(
            "response_time_ms",
            "ms",
            "From just before the first request was sent to the last byte of the last reply; where requests were not "
            "sent together, the median of each one's, from when it was due.",
            "number",
        ),
        _end("arrivals", "", "How its requests arrived: 'together', or as the scenario's traffic says.", "text"),
        _end("accuracy_test", "0 to 1", "The final model's accuracy on the test texts.", "number"),
        _end(
            "fit_ms",
            "ms",
            "How long the base station took to train the final model; not in the response time.",
            "number",
        ),
        _end("chosen_request", "", "The request whose reply had the best validation accuracy."),
        _end("links", "", "What tells the links that held to its end from others.", "text"),
        _end("training_texts", "", "How many texts the final model was trained on."),
        _end("test_texts", "", "How many texts it was tested on."),
        Column(
            "parameters",
            "",
            "The final model's parameters, as JSON.",
            lambda row: _json(getattr(row.end, "parameters", None)),
        ),
    ),
)
NETWORKS: Table[Joint] = Table(
    "networks",
    "what several base stations' replies of a repetition came to",
    (
        _of("scenario", "", "The scenario."),
        _of("warmup", "", "Whether it is a warm-up, which never counts.", "boolean"),
        _of("block", "", "The block of repetitions of one scenario that follow each other.", "integer"),
        _of("repetition", "", "The repetition.", "integer"),
        Column(
            "attempts",
            "",
            "The attempt of each base station that it consists of, as JSON.",
            lambda row: _json(row.record.attempts),
        ),
        Column("state", "", STATE, lambda row: row.state),
        Column(
            "response_time_ms",
            "ms",
            "From the first request of any base station to the last reply to any; where requests were not sent "
            "together, the median of each one's, from when it was due. Of what counts.",
            lambda row: row.response_time_ms,
            "number",
        ),
        _of("error", "", "Why it failed, empty where it did not."),
        _of("chosen_base_station", "", "Which of them got the reply with the best validation accuracy."),
        _of("chosen_request", "", "Its request's number.", "integer"),
        _of(
            "accuracy_test",
            "0 to 1",
            "The accuracy on the test texts of the model that all training texts were trained with.",
            "number",
        ),
        _of("fit_ms", "ms", "How long the first base station took to train it.", "number"),
        _of("training_texts", "", "How many texts it was trained on.", "integer"),
        _of("test_texts", "", "How many texts it was tested on.", "integer"),
        Column("parameters", "", "The model's parameters, as JSON.", lambda row: _json(row.record.parameters)),
    ),
)
CHANGES: Table[Changed] = Table(
    "changes",
    "what an event changed on a link or a node while an attempt of a repetition was measured",
    (
        _of("scenario", "", "The scenario."),
        _of("base_station", "", "The base station that had it changed, by whose clock the times are."),
        _of("warmup", "", "Whether the repetition is a warm-up, which never counts.", "boolean"),
        _of("repetition", "", "The repetition.", "integer"),
        _of("attempt", "", "From 0; of each repetition the newest attempt counts.", "integer"),
        Column("state", "", STATE, lambda row: row.state),
        _of("event", "", "The event's number in the scenario, from 0.", "integer"),
        _of("source", "", "The node that the link leaves, which changed it; or the node that changed."),
        _of("target", "", "The node that the link leads to; empty where the node itself changed."),
        _of("shape", "", "What is true of the link or node from then on."),
        _of("planned_ns", "ns", f"{CLOCK}, when it was to be; empty for before the repetition.", "integer"),
        _of("changed_ns", "ns", f"{CLOCK}, when it took effect; empty where the repetition ended before.", "integer"),
        _of("clock_error_ms", "ms", "How far these times may be from that clock.", "number"),
    ),
)
QUALITIES: Table[Valued] = Table(
    "qualities",
    "a measure of how good the replies of an attempt of a repetition were",
    (
        Column("scenario", "", "The scenario.", lambda row: row.key.scenario),
        Column("base_station", "", "The base station that measured it.", lambda row: row.key.base_station),
        Column("warmup", "", "Whether it is a warm-up, which never counts.", lambda row: row.key.warmup, "boolean"),
        Column("repetition", "", "The repetition.", lambda row: row.key.repetition, "integer"),
        Column("attempt", "", "From 0; of each repetition the newest counts.", lambda row: row.key.attempt, "integer"),
        Column("state", "", STATE, lambda row: row.state),
        Column("measure", "", "The measure; 'test accuracy' is that of the final model.", lambda row: row.measure.name),
        Column("unit", "", "The unit of its values.", lambda row: row.measure.unit),
        Column("better", "", "Which of two values is better: 'higher' or 'lower'.", lambda row: row.measure.better),
        Column("value", "its own", "The value; of several requests their mean.", lambda row: row.value, "number"),
    ),
)
LINKS: Table[Verified] = Table(
    "links",
    "an ordered pair of nodes in one verification",
    (
        Column(
            "moment",
            "",
            "'before' or 'after' the repetitions; with a number for those before the run was resumed.",
            lambda row: row.moment,
        ),
        Column("taken_at", "ISO 8601", "When the links were verified.", lambda row: row.taken_at),
        Column("backend", "", "What shaped the links.", lambda row: row.backend),
        Column("source", "", "The node that sends.", lambda row: row.check.link.source),
        Column("target", "", "The node that receives.", lambda row: row.check.link.target),
        Column("family", "", "4 or 6: the version of IP.", lambda row: row.check.family, "integer"),
        Column("shape", "", "What the link should be.", lambda row: row.check.link.shape),
        Column(
            "clock",
            "",
            "'shared': delays are one way; 'round-trip': there and back, because the nodes' clocks differ.",
            lambda row: row.check.clock,
        ),
        Column("probes_sent", "", "How many probes were sent.", lambda row: row.check.probes.sent, "integer"),
        Column("probes_received", "", "How many probes arrived.", lambda row: row.check.probes.received, "integer"),
        Column("loss_percent", "%", "The share of probes that was lost.", lambda row: row.check.loss.percent, "number"),
        Column(
            "loss_low_percent",
            "%",
            "The low end of its 95 % interval.",
            lambda row: row.check.loss.low_percent,
            "number",
        ),
        Column(
            "loss_high_percent",
            "%",
            "The high end of its 95 % interval.",
            lambda row: row.check.loss.high_percent,
            "number",
        ),
        Column(
            "reordered_percent",
            "%",
            "The share of probes that was reordered.",
            lambda row: getattr(row.check.reordered, "percent", None),
            "number",
        ),
        *(
            Column(f"delay_{name}", "ms", f"{meaning} of the probes' delays.", _of_delay(name), "number")
            for name, meaning in (
                ("median_ms", "The median"),
                ("quartile_sigma_ms", "The standard deviation by the quartiles"),
                ("mean_ms", "The mean"),
                ("sigma_ms", "The standard deviation"),
            )
        ),
        Column(
            "expected_median_ms",
            "ms",
            "The median that link and path together should have.",
            lambda row: getattr(row.check.expected, "median_ms", None),
            "number",
        ),
        Column(
            "expected_sigma_ms",
            "ms",
            "The standard deviation that they should have.",
            lambda row: getattr(row.check.expected, "sigma_ms", None),
            "number",
        ),
        Column(
            "tcp_mbit",
            "Mbit/s",
            "What one Reno connection got; shown, not judged.",
            lambda row: getattr(row.check.tcp, "mbit", None),
            "number",
        ),
        Column("ok", "", "Whether the link was within its bounds.", lambda row: row.check.ok, "boolean"),
        Column("problems", "", "What was off, empty where nothing was.", lambda row: "; ".join(row.check.problems)),
    ),
)
RESOURCES: Table[Limited] = Table(
    "resources",
    "a replica with less than its node, in one part of the run",
    (
        _limited("part", "", "From 1; a run has a part more each time that it was resumed.", "integer"),
        _limited("node", "", "The node of the replica.", "text"),
        _limited("service", "", "The service of the replica, named by the scenarios that it serves.", "text"),
        _limited("cpus", "CPUs", "What it has at most, of the scenario's resources; empty where all that there is."),
        _limited("memory_mib", "MiB", "The memory that it has at most; empty where all that there is.", "integer"),
        _limited("cpus_before", "CPUs", "What it had before the repetitions, by a fixed kind of work."),
        _limited("cpus_after", "CPUs", "What it had after them; empty where the part was cut off."),
        Column("ok", "", "Whether both were within the tolerance.", lambda row: not row.is_off, "boolean"),
        _limited(
            "throttled_percent",
            "%",
            "In how many of the periods of 100 ms in which it ran, from the one calibration to the other, the kernel "
            "stopped it; empty where that is unknown.",
        ),
        _limited("throttled_s", "s", "For how long the kernel stopped it in all."),
        _limited(
            "oom_kills",
            "",
            "How many of its processes the kernel ended meanwhile because its memory was used up; empty where that is "
            "unknown.",
            "integer",
        ),
    ),
)
PODS: Table[tuple[str, States]] = Table(
    "pods",
    "a replica that a cluster told of",
    (
        Column("replica", "", "Its name, which the records of requests have, too.", lambda row: row[0]),
        _told("created", "there is a pod for it"),
        _told("scheduled", "it has a node"),
        _told("started", "its containers run"),
        _told("ready", "the function is ready"),
        _told("gone", "it is gone"),
    ),
)
LOAD: Table[Loaded] = Table(
    "load",
    "a second of a machine",
    (
        Column("nodes", "", "The nodes that are on it, with blanks between.", lambda row: row.nodes),
        Column("cores", "", "How many cores it has.", lambda row: row.cores, "integer"),
        _second("at_s", "s", "Seconds since 1970, on its clock."),
        _second("cpu_percent", "%", "The share of all its cores' time in which they computed."),
        _second("steal_percent", "%", "The share that the hypervisor gave to others: CPU steal."),
        _second("memory_used_mib", "MiB", "The memory in use."),
        _second("memory_mib", "MiB", "The memory it has."),
        _second("frequency_mhz", "MHz", "The mean clock of its cores, empty where the kernel does not tell it."),
    ),
)
TABLES: tuple[Table[Any], ...] = (SAMPLES, REPETITIONS, NETWORKS, CHANGES, QUALITIES, LINKS, RESOURCES, PODS, LOAD)


class Described(NamedTuple):
    """A column of another file."""

    file: str
    table: Table[Any]
    column: Column[Any]


DICTIONARY: Table[Described] = Table(
    "dictionary",
    "a column of these files",
    (
        Column("file", "", "The file.", lambda row: row.file),
        Column("row", "", "What one row of the file is.", lambda row: row.table.row),
        Column("column", "", "The column's name, as the file has it.", lambda row: row.column.name),
        Column("type", "", "What its values are: text, integer, number or boolean.", lambda row: row.column.kind),
        Column("unit", "", "The unit of its values.", lambda row: row.column.unit),
        Column("meaning", "", "What its values mean.", lambda row: row.column.meaning),
    ),
)

"""The record format: what one line of ``raw/samples.jsonl`` holds.

Standard library and msgspec only, because the load driver carries this module to the base station. The file is
append-only: a line that was written is never changed. A repetition's request lines are appended together, in one write,
so a driver that is cut off leaves either all of them or none; its model line follows when the base station has trained.

Each line ends with its CRC-32, so a line that was changed since is not read as if it had been measured. Lines of schema
1 have neither a checksum nor the hash of the plan, those of schema 2 do not name their links, those of schema 3 tell
neither how their requests arrived nor the round trips of their connections, those of schema 4 have no qualities and
do not tell how connections were used; they are still read.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import zlib
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Literal

import msgspec
from msgspec import Meta, Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

SCHEMA_VERSION = 5
# The first schema whose lines have a checksum and the hash of their plan.
CHECKED_SCHEMA = 2
# The arrivals of requests that are sent at the same moment, as before schema 4 all were.
TOGETHER = "together"
# No repetition of a scenario has a line near this long; one that is longer is not read into memory.
LINE_BYTES = 1 << 20
# How many combinations of names are known to be valid: more than the scenarios and base stations of any run.
NAMES_KEPT = 1024
# By how many measures replies are judged, at most.
MOST_MEASURES = 16
# A measure's name and unit are parts of sentences, figures and tables.
MEASURE = r"\A[A-Za-z0-9]([A-Za-z0-9 ()%/.,+-]{0,38}[A-Za-z0-9)%])?\Z"
UNIT = r"\A[A-Za-z0-9 ()%/.,+-]{0,32}\Z"
# How deep the parameters of a reply may be nested: those of a model are one level.
DEPTH = 16
# The rest of a number that was cut off before its next digit.
CUT_NUMBER = re.compile(r"-|\.|e[+-]?")
CHECKSUM = re.compile(rb',"checksum":"([0-9a-f]{8})"\}\Z')
CHECKSUM_BYTES = len(b',"checksum":"00000000"}')
# The names of a record, by field. A scenario's is as the keys of scenario files allow it, part of file names and of the
# page; a base station is a host of an inventory. They are not part of the types, as a million records have a few names.
NAMES = {
    "run": re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"),
    "scenario": re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?"),
    "base_station": re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,252}"),
    "plan": re.compile(r"[0-9a-f]{16}"),
}

# What a reply or the system says: shown, never part of a name.
Text = Annotated[str, Meta(max_length=256)]
Sentence = Annotated[str, Meta(max_length=10_000)]
Count = Annotated[int, Meta(ge=0, le=2**53)]
Nanoseconds = Annotated[int, Meta(ge=-(2**62), le=2**62)]
Better = Literal["higher", "lower"]


class RecordError(ValueError):
    """A line of a record file does not follow this version of the format; the message names file and line."""


class NewerSchemaError(RecordError):
    """A line was written by a newer faasbed."""


class Quality(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """How good the replies of a repetition are by one measure, the mean over its requests, and which way is better."""

    measure: Annotated[str, Meta(pattern=MEASURE)]
    unit: Annotated[str, Meta(pattern=UNIT)]
    better: Better
    value: float


class _OfAttempt(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """What is on record of an attempt of a repetition."""

    run: str
    scenario: str
    base_station: str
    block: Count
    repetition: Count
    attempt: Count
    warmup: bool


class RequestRecord(
    _OfAttempt, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="request", gc=False
):
    """One request of one repetition, as the base station saw it.

    Times ``*_ns`` are CLOCK_MONOTONIC of the base station in nanoseconds; ``None`` where the request never came that
    far. Of several base stations they are those of the first one's clock, to ``clock_error_ms``; ``None`` of one alone.
    ``site`` is the group of nodes that the request was sent to, ``None`` where there is only one. ``phases_ms`` are the
    function's own, from its ``Server-Timing`` header. ``error`` is a sentence, or ``None`` for a request that was
    answered as expected, with a status of 200 to 299. ``plan`` is the hash of what was measured by
    (`experiments.base_station.plan`), ``None`` in schema 1. ``links`` tells the links that were in force from others;
    ``None`` where nothing was shaped, and before schema 3. ``min_rtt_ms`` is the smallest round trip of its connection
    and ``retransmissions`` how many segments were sent again, both as the base station's kernel measured them until the
    upload was acknowledged; ``links_rtt_ms`` is the shortest round trip that the links to the gateway and back can
    have, below which no connection that crosses them can be. ``requests`` is how many the repetition has, and
    ``request_kind`` what the workload calls this one among others. Before schema 4 all these are ``None``.
    ``qualities`` are what the reply says of itself, by the names of the measures that the scenario reads.
    ``failed_ns`` is when a request failed that got no whole reply, where that is known. ``connection`` is ``new``, or
    ``kept`` from an earlier request: then ``connected_ns`` is ``None``; ``protocol`` is the version of HTTP of the
    reply, and ``encoding`` how the body was packed, whose size is that of the packed one. Before schema 5 these are
    ``None``, and there are no qualities.
    """

    request: Count
    started_at: Text
    intended_ns: Nanoseconds
    sent_ns: Nanoseconds | None
    connected_ns: Nanoseconds | None
    uploaded_ns: Nanoseconds | None
    first_byte_ns: Nanoseconds | None
    last_byte_ns: Nanoseconds | None
    request_bytes: Count
    response_bytes: Count
    status: Count | None
    error: Sentence | None
    congestion_control: Text | None
    replica: Text | None
    node: Text | None
    cold: bool
    texts: Count
    parameters: dict[str, Any] | None
    accuracy_validation: float | None
    accuracy_function: float | None
    phases_ms: dict[Text, float] = {}
    plan: str | None = None
    links: Text | None = None
    requests: Count | None = None
    request_kind: Text | None = None
    min_rtt_ms: float | None = None
    retransmissions: Count | None = None
    links_rtt_ms: float | None = None
    site: Text | None = None
    clock_error_ms: float | None = None
    qualities: Annotated[dict[Text, float], Meta(max_length=MOST_MEASURES)] = {}
    connection: Text | None = None
    protocol: Text | None = None
    encoding: Text | None = None
    failed_ns: Nanoseconds | None = None
    schema: int = SCHEMA_VERSION


class ModelRecord(
    _OfAttempt, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="model", gc=False
):
    """What the base station did with a repetition's replies: trained on the whole training set, scored the test set.

    ``requests`` is how many requests the repetition has, ``None`` in schema 1. ``chosen_request`` is the request whose
    reply had the best validation accuracy. ``response_time_ms`` is `response_time_ms` where ``arrivals`` are
    ``together``, else `median_request_ms`. ``qualities`` are the means of those of its requests. ``failed_requests`` is
    how many of its requests failed as a result, because events had taken away what they need; times and qualities are
    those of the others. With ``error`` set the repetition failed and is not a data point; the request lines hold the
    reasons.
    """

    response_time_ms: float | None
    chosen_request: Count | None
    parameters: dict[str, Any] | None
    accuracy_test: float | None
    fit_ms: float | None
    training_texts: Count
    test_texts: Count
    error: Sentence | None
    requests: Count | None = None
    plan: str | None = None
    links: Text | None = None
    arrivals: Text = TOGETHER
    qualities: Annotated[tuple[Quality, ...], Meta(max_length=MOST_MEASURES)] = ()
    failed_requests: Count = 0
    schema: int = SCHEMA_VERSION


class NetworkRecord(
    _OfAttempt, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="network", gc=False
):
    """What the first of several base stations did with the replies that all of them got in a repetition.

    ``base_station`` is the first one, and ``attempts`` the numbers of those attempts that make the repetition, by base
    station; each has its own records. The parameters of the best reply of all train on all their training texts.
    """

    attempts: dict[Text, Count]
    chosen_base_station: Text | None
    chosen_request: Count | None
    parameters: dict[str, Any] | None
    accuracy_test: float | None
    fit_ms: float | None
    training_texts: Count
    test_texts: Count
    error: Sentence | None
    plan: str | None = None
    schema: int = SCHEMA_VERSION


class ChangeRecord(
    _OfAttempt, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="change", gc=False
):
    """What an event of the scenario changed while an attempt of a repetition was measured.

    ``event`` is its number in the scenario. It is about the link from ``source`` to ``target``, or without one about
    the node ``source``; ``shape`` is what is true of it from then on, in words. ``planned_ns`` is when it was to be,
    ``None`` for before the repetition, and ``changed_ns`` when it took effect, ``None`` where the repetition ended
    before: CLOCK_MONOTONIC of the first base station, whose ``base_station`` is, to ``clock_error_ms``. A node has left
    when its replicas have ended, and is there again when they answer.
    """

    event: Count
    source: Text
    target: Text | None
    shape: Text
    planned_ns: Nanoseconds | None
    changed_ns: Nanoseconds | None
    clock_error_ms: float
    plan: str | None = None
    schema: int = SCHEMA_VERSION


class _Head(Struct):
    schema: Any = None


Record = RequestRecord | ModelRecord | NetworkRecord | ChangeRecord
_DECODER = msgspec.json.Decoder(Record)
_HEAD = msgspec.json.Decoder(_Head)
_ENCODER = msgspec.json.Encoder()


def response_time_ms(requests: Sequence[RequestRecord]) -> float | None:
    """Return the time from the first request's start to the last reply's last byte; ``None`` where one has none."""
    sent = [request.sent_ns for request in requests if request.sent_ns is not None]
    last = [request.last_byte_ns for request in requests if request.last_byte_ns is not None]
    if len(last) != len(requests) or not sent:
        return None
    return (max(last) - min(sent)) / 1e6


def median_request_ms(requests: Sequence[RequestRecord]) -> float | None:
    """Return the median time from when a request was to be sent to its reply's last byte; ``None`` where one has none.

    Counted from when it was due, a request that waits for the driver or behind others is as slow as for who asked.
    """
    times = [(one.last_byte_ns - one.intended_ns) / 1e6 for one in requests if one.last_byte_ns is not None]
    return statistics.median(times) if len(times) == len(requests) and times else None


def dump(record: Record) -> str:
    """Return the record as one JSON line with its checksum, without the newline.

    Raises:
        ValueError: it holds what could not be read again, such as a number that is not finite, or more than is read.
    """
    body = _ENCODER.encode(record)
    if _decoded(body) != record:  # a number that is not finite became null
        raise RecordError(f"a value of this record cannot be written: {record}"[:300])
    if len(body) + CHECKSUM_BYTES > LINE_BYTES:
        raise RecordError(f"this record is longer than the {LINE_BYTES} bytes that are read of one: {record}"[:300])
    return f'{body[:-1].decode()},"checksum":"{zlib.crc32(body):08x}"}}'


def load(line: str | bytes) -> Record:
    """Return the record that a line holds.

    Raises:
        RecordError: the line is not JSON, of an unknown kind or schema, has other fields or types, or was changed since
            it was written. NewerSchemaError: it is of a schema that a newer faasbed writes.
    """
    content = line.encode("utf-8", "surrogatepass") if isinstance(line, str) else line
    if len(content) > LINE_BYTES:
        raise RecordError(f"longer than {LINE_BYTES} bytes")
    body = _body(content)
    if body is not None:
        return _checked(_decoded(body), has_checksum=True)
    checksum = CHECKSUM.search(content)
    record = _decoded(content[: checksum.start()] + b"}" if checksum else content)
    if checksum:
        raise RecordError("the line does not fit its checksum: it was changed since it was written")
    return _checked(record, has_checksum=False)


def _body(line: bytes) -> bytes | None:
    """Return what the checksum of a line was computed from, ``None`` where it does not fit or there is none."""
    body = line[:-CHECKSUM_BYTES] + b"}"
    return body if line[-CHECKSUM_BYTES:] == b',"checksum":"%08x"}' % zlib.crc32(body) else None


def _checked(record: Record, *, has_checksum: bool) -> Record:
    """Return a record that its line may hold, by schema and parameters."""
    if record.schema >= CHECKED_SCHEMA and (not has_checksum or record.plan is None):
        raise RecordError(
            f"no {'plan' if has_checksum else 'checksum'} in a line of schema {record.schema}: it was changed"
        )
    if not isinstance(record, ChangeRecord) and not _is_shallow(record.parameters, DEPTH):
        raise RecordError(f"invalid parameters: nested more than {DEPTH} deep")
    return record


def _decoded(body: bytes) -> Record:
    try:
        record: Record = _DECODER.decode(body)
    except msgspec.ValidationError as error:
        _refuse_schema(body)
        raise RecordError(f"invalid record: {str(error).replace('`', '')}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RecordError(f"not JSON ({str(error).removeprefix('JSON is malformed: ')})") from error
    except RecursionError as error:
        raise RecordError("not a record: nested too deeply") from error
    if not 1 <= record.schema <= SCHEMA_VERSION:
        _refuse_schema(body)
    _check_names(record.run, record.scenario, record.base_station, record.plan)
    return record


@lru_cache(NAMES_KEPT)
def _check_names(run: str, scenario: str, base_station: str, plan: str | None) -> None:
    """Refuse names that scenario files and inventories do not allow."""
    for (field, pattern), name in zip(NAMES.items(), (run, scenario, base_station, plan), strict=True):
        if name is not None and not pattern.fullmatch(name):
            raise RecordError(
                f"invalid record: invalid {field}: expected a name as scenario files and inventories have it"
            )


def _refuse_schema(body: bytes) -> None:
    """Refuse a line by its schema, where that is what is wrong with it."""
    try:
        schema = _HEAD.decode(body).schema
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    if type(schema) is int and schema > SCHEMA_VERSION:
        raise NewerSchemaError(f"schema {schema} is newer than this faasbed, which reads up to schema {SCHEMA_VERSION}")
    if schema is None:
        raise RecordError("no schema: it is not a record")
    if type(schema) is not int or schema < 1:
        raise RecordError(f"unknown schema {str(schema)[:40]!r}: expected a number up to {SCHEMA_VERSION}")


def _is_shallow(value: Any, depth: int) -> bool:
    """Tell whether a JSON value is nested no deeper than this."""
    kind = type(value)  # as JSON has it: no subclasses
    if kind is not dict and kind is not list:
        return True
    if depth == 0:
        return False
    for entry in value.values() if kind is dict else value:
        if type(entry) in (dict, list) and not _is_shallow(entry, depth - 1):
            return False
    return True


def append(path: Path, records: Iterable[Record]) -> None:
    """Append the records to a file in one write and wait until they are on disk.

    A file whose last line was cut off (a full disk, a power cut) gets a newline first, so the torn line stays alone.

    Raises:
        OSError: the disk is full or the file cannot be written; what was there before is untouched.
    """
    payload = "".join(dump(record) + "\n" for record in records).encode()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            payload = b"\n" + payload
        while payload:
            payload = payload[os.write(descriptor, payload) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path: Path) -> Iterator[Record]:
    """Yield the records of a file in the order they were written.

    A line that was torn by a crash is skipped, at the end of the file or in the middle, where ``append`` has closed
    it with a newline: its repetition is measured again.

    Raises:
        RecordError: a whole line is damaged; the message names file and line.
    """
    return (record for record in scan(path) if record is not None)


def scan(path: Path) -> Iterator[Record | None]:
    """Yield what ``read`` does, and ``None`` in the place of each torn line.

    Raises:
        RecordError: a whole line is damaged; the message names file and line.
    """
    with path.open("rb") as file:
        for number, line in enumerate(_lines(file), 1):
            try:
                body = _body(line)
                if body is not None:
                    yield _checked(_decoded(body), has_checksum=True)
                else:
                    yield None if _is_torn(line) else load(line)
            except RecordError as error:
                raise type(error)(f"{path}, line {number}: {error}") from error


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines without their newlines; what is longer than LINE_BYTES is not whole, zeros at its end aside."""
    while line := file.readline(LINE_BYTES):
        rest = line
        while len(rest) == LINE_BYTES and not rest.endswith(b"\n"):
            rest = file.readline(LINE_BYTES)
            line = line.rstrip(b"\0") + b"\0" if not rest.strip(b"\0\n") else line[:LINE_BYTES] + b"!"
        yield line.removesuffix(b"\n")


def _is_torn(line: bytes) -> bool:
    """Tell whether the end of a line is missing; a power cut leaves zeros in its place."""
    if len(line) > LINE_BYTES:
        return False
    written = line.rstrip(b"\0")
    if not written.startswith(b"{"):
        return not written.strip()
    return len(written) < len(line) or (not CHECKSUM.search(line) and _is_beginning(line))


def _is_beginning(line: bytes) -> bool:
    """Tell whether a line is the beginning of a JSON object: the first thing wrong with it is that it ends."""
    try:
        text = line.decode()
        json.loads(text)
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"  # cut within a character
    except json.JSONDecodeError as error:
        rest = text[error.pos :]
        if error.msg.startswith("Unterminated string") or CUT_NUMBER.fullmatch(rest):
            return True
        if error.msg.startswith("Invalid \\uXXXX"):
            return len(rest) <= len("uXXXX")
        return any(word.startswith(rest) for word in ("true", "false", "null"))
    except (ValueError, RecursionError):  # a number of too many digits, lists in lists: whole, and refused when read
        return False
    return False

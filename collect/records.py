"""The record format: what one line of ``raw/samples.jsonl`` holds.

Standard library only, because the load driver carries this module to the base station. The file is append-only: a
line that was written is never changed. A repetition's request lines are appended together, in one write, so a driver
that is cut off leaves either all of them or none; its model line follows when the base station has trained.
"""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import asdict, dataclass, field, fields
from types import UnionType
from typing import TYPE_CHECKING, Any, NoReturn, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

SCHEMA_VERSION = 1
# The rest of a number that was cut off before its next digit.
CUT_NUMBER = re.compile(r"-|\.|e[+-]?")


class RecordError(ValueError):
    """A line of a record file does not follow this version of the format; the message names file and line."""


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One request of one repetition, as the base station saw it.

    Times ``*_ns`` are CLOCK_MONOTONIC of the base station in nanoseconds; ``None`` where the request never came that
    far. ``phases_ms`` are the function's own, from its ``Server-Timing`` header. ``error`` is a sentence, or ``None``
    for a request that was answered with status 200.
    """

    run: str
    scenario: str
    base_station: str
    block: int
    repetition: int
    request: int
    attempt: int
    warmup: bool
    started_at: str
    intended_ns: int
    sent_ns: int | None
    connected_ns: int | None
    uploaded_ns: int | None
    first_byte_ns: int | None
    last_byte_ns: int | None
    request_bytes: int
    response_bytes: int
    status: int | None
    error: str | None
    congestion_control: str | None
    replica: str | None
    node: str | None
    cold: bool
    texts: int
    parameters: dict[str, Any] | None
    accuracy_validation: float | None
    accuracy_function: float | None
    phases_ms: dict[str, float] = field(default_factory=dict)
    schema: int = SCHEMA_VERSION
    kind: str = "request"


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """What the base station did with a repetition's replies: trained on the whole training set, scored the test set.

    ``chosen_request`` is the request whose reply had the best validation accuracy. ``response_time_ms`` runs from just
    before the first request was sent to the last byte of the last reply. With ``error`` set the repetition failed and
    is not a data point; the request lines hold the reasons.
    """

    run: str
    scenario: str
    base_station: str
    block: int
    repetition: int
    attempt: int
    warmup: bool
    response_time_ms: float | None
    chosen_request: int | None
    parameters: dict[str, Any] | None
    accuracy_test: float | None
    fit_ms: float | None
    training_texts: int
    test_texts: int
    error: str | None
    schema: int = SCHEMA_VERSION
    kind: str = "model"


Record = RequestRecord | ModelRecord
_KINDS: dict[str, type[RequestRecord | ModelRecord]] = {"request": RequestRecord, "model": ModelRecord}


def dump(record: Record) -> str:
    """Return the record as one JSON line, without the newline."""
    return json.dumps(asdict(record), separators=(",", ":"), allow_nan=False)


def load(line: str) -> Record:
    """Return the record that a line holds.

    Raises:
        RecordError: the line is not JSON, of another schema version, of an unknown kind, or has other fields or types.
    """
    try:
        data = json.loads(line, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        raise RecordError(f"not JSON ({error.msg} at column {error.colno})") from error
    if not isinstance(data, dict):
        raise RecordError("not a JSON object")
    if data.get("schema") != SCHEMA_VERSION:
        raise RecordError(f"unsupported schema version {data.get('schema')!r}: expected {SCHEMA_VERSION}")
    kind = _KINDS.get(str(data.get("kind")))
    if kind is None:
        raise RecordError(f"unknown kind {data.get('kind')!r}")
    expected = {entry.name for entry in fields(kind)}
    if expected != set(data):
        missing, unknown = sorted(expected - set(data)), sorted(set(data) - expected)
        problems = [
            f"{what} {', '.join(names)}" for what, names in (("missing", missing), ("unknown", unknown)) if names
        ]
        raise RecordError(f"invalid {data['kind']} record: {'; '.join(problems)}")
    hints = get_type_hints(kind)
    for name, value in data.items():
        if not _fits(value, hints[name]):
            raise RecordError(f"invalid {name} {value!r}: expected {_type_name(hints[name])}")
    return kind(**data)


def _refuse(constant: str) -> NoReturn:
    raise RecordError(f"invalid number {constant}: expected a finite number")


def _fits(value: Any, hint: Any) -> bool:
    """Tell whether a JSON value is of an annotated type; an integer is also a float, a boolean is not a number."""
    if hint is Any:
        return True
    if isinstance(hint, UnionType):
        return any(_fits(value, part) for part in get_args(hint))
    if get_origin(hint) is dict:
        return isinstance(value, dict) and all(_fits(entry, get_args(hint)[1]) for entry in value.values())
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return type(value) is hint


def _type_name(hint: Any) -> str:
    """Return an annotated type as an error names it: ``int``, ``finite number | None``, ``dict[str, Any] | None``."""
    name = hint.__name__ if type(hint) is type else str(hint)
    return name.replace("typing.", "").replace("float", "finite number")


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
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                text = line.decode().removesuffix("\n")
                yield None if _is_torn(text) else load(text)
            except (RecordError, UnicodeDecodeError) as error:
                raise RecordError(f"{path}, line {number}: {error}") from error


def _is_torn(line: str) -> bool:
    """Tell whether a line is the beginning of a JSON object: the first thing wrong with it is that it ends."""
    if not line.startswith("{"):
        return not line.strip()
    try:
        json.loads(line)
    except json.JSONDecodeError as error:
        rest = line[error.pos :]
        if error.msg.startswith("Unterminated string") or CUT_NUMBER.fullmatch(rest):
            return True
        if error.msg.startswith("Invalid \\uXXXX"):
            return len(rest) <= len("uXXXX")
        return any(word.startswith(rest) for word in ("true", "false", "null"))
    return False

"""A run as tables for other programs: samples, repetitions, links, load, and what each column means."""

from __future__ import annotations

import csv
import io
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

from collect import parquet, records
from collect.analysis import quality
from collect.analysis.repetitions import Key
from collect.folder import replacing
from collect.records import ChangeRecord, ModelRecord, NetworkRecord, RequestRecord
from collect.tables import (
    CHANGES,
    DICTIONARY,
    LINKS,
    LOAD,
    NETWORKS,
    PODS,
    QUALITIES,
    REPETITIONS,
    RESOURCES,
    SAMPLES,
    TABLES,
    Changed,
    Described,
    Joint,
    Loaded,
    Measured,
    Row,
    Sample,
    Table,
    Valued,
    Verified,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from collect.analysis.repetitions import Failure, Repetition
    from collect.records import Record
    from collect.run import Run

# A spreadsheet takes a text that begins with one of these for a formula, some also the wide ones of East Asian texts:
# OWASP, CSV Injection.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def write(run: Run, target: Path, *, refused: bool, form: str = "csv") -> list[Path]:
    """Write a run's tables and their dictionary to a folder, and return the files.

    Args:
        run: the run; its records are read again, so that they need not all be held.
        target: the folder; it is made, and files of these names in it are replaced.
        refused: whether what was measured is not a result.
        form: one of `FORMS`, which is also how the files' names end.

    Raises:
        CollectError: a package that the form needs is not installed.
        FolderError: the disk is full or a file cannot be written.
    """
    states = _states(run, refused=refused)
    described = [
        Described(f"{table.name}.{form}", table, column) for table in (*TABLES, DICTIONARY) for column in table.columns
    ]
    tables: list[tuple[Table[Any], Iterable[Any]]] = [
        (SAMPLES, _samples(run, states)),
        (REPETITIONS, _repetitions(run, states)),
        (NETWORKS, _networks(run, states)),
        (CHANGES, _changes(run, states)),
        (QUALITIES, _qualities(run, states)),
        (LINKS, _links(run)),
        (RESOURCES, run.limited),
        (PODS, sorted(run.pods.items())),
        (LOAD, _load(run)),
        (DICTIONARY, described),
    ]
    paths = []
    for table, rows in tables:
        paths.append(target / f"{table.name}.{form}")
        FORMS[form](paths[-1], table, rows)
    return paths


def cell(value: Any) -> str:
    """Return a value as a CSV's field: numbers in full, texts so that no spreadsheet takes them for formulas."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULA) else value
    return repr(value)


def _write_csv(path: Path, table: Table[Row], rows: Iterable[Row]) -> None:
    with replacing(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", errors="replace", newline="", write_through=True)
        # As RFC 4180 has it; with lines that end in \n alone the module leaves a \r without quotes, which ends a row.
        writer = csv.writer(text, lineterminator="\r\n")
        writer.writerow(column.name for column in table.columns)
        writer.writerows([cell(column.value(row)) for column in table.columns] for row in rows)
        text.detach()


# How a table is written, by the end of its file's name.
FORMS: dict[str, Callable[[Path, Table[Any], Iterable[Any]], None]] = {"csv": _write_csv, "parquet": parquet.write}


def _states(run: Run, *, refused: bool) -> dict[Key, tuple[str, str | None]]:
    """Return what became of each attempt that counts or failed, and why."""
    measured = run.measurements
    counted = chain.from_iterable(measured.scenarios.values())
    states = {key: ("refused" if refused else "data point", None) for one in counted for key in _attempts(one)}
    states |= {key: ("unpaired", None) for one in measured.unpaired for key in _attempts(one)}
    return states | {key: ("failed", one.error) for one in measured.failures for key in _failed(one)}


def _attempts(one: Repetition) -> Iterator[Key]:
    for base_station, attempt in one.attempts.items():
        yield Key(one.scenario, base_station, False, one.repetition, attempt)


def _failed(one: Failure) -> Iterator[Key]:
    for base_station, attempt in (one.attempts or {one.base_station: one.attempt}).items():
        yield Key(one.scenario, base_station, one.warmup, one.repetition, attempt)


def _records(run: Run) -> Iterator[Record]:
    return chain.from_iterable(map(records.read, run.folder.samples()))


def _state(key: Key, states: dict[Key, tuple[str, str | None]]) -> tuple[str, str | None]:
    return states.get(key, ("warm-up" if key.warmup else "measured again", None))


def _samples(run: Run, states: dict[Key, tuple[str, str | None]]) -> Iterator[Sample]:
    for record in _records(run):
        if isinstance(record, RequestRecord):
            yield Sample(record, _state(Key.of(record), states)[0])


def _repetitions(run: Run, states: dict[Key, tuple[str, str | None]]) -> Iterator[Measured]:
    """Yield the attempts in the order in which they were first on record."""
    attempts: dict[Key, list[Any]] = {}
    for record in _records(run):
        if isinstance(record, NetworkRecord | ChangeRecord):
            continue
        both = attempts.setdefault(Key.of(record), [None, None])
        place = 0 if isinstance(record, ModelRecord) else 1
        if both[place] is None:
            both[place] = record
    for key, (end, first) in attempts.items():
        yield Measured(key, *_state(key, states), end, first)


def _changes(run: Run, states: dict[Key, tuple[str, str | None]]) -> Iterator[Changed]:
    for record in _records(run):
        if isinstance(record, ChangeRecord):
            yield Changed(record, _state(Key.of(record), states)[0])


def _qualities(run: Run, states: dict[Key, tuple[str, str | None]]) -> Iterator[Valued]:
    for record in _records(run):
        if isinstance(record, ModelRecord):
            for measure, value in quality.of(record):
                yield Valued(Key.of(record), _state(Key.of(record), states)[0], measure, value)


def _networks(run: Run, states: dict[Key, tuple[str, str | None]]) -> Iterator[Joint]:
    """Yield what several base stations' replies came to; one whose attempts were measured again counts no more."""
    took_ms = {key: 1000 * one.response_s for one in run.measurements.finished for key in _attempts(one)}
    for record in _records(run):
        if isinstance(record, NetworkRecord):
            key = Key.of(record)
            yield Joint(record, _state(key, states)[0], took_ms.get(key))


def _links(run: Run) -> Iterator[Verified]:
    earlier = {f"{moment}-{number}": report for (moment, number), report in run.links_earlier.items()}
    for moment, report in (earlier | run.verifications).items():
        yield from map(Verified, repeat(moment), repeat(report.backend), repeat(report.taken_at), report.links)


def _load(run: Run) -> Iterator[Loaded]:
    for machine in run.load:
        yield from map(Loaded, repeat(" ".join(machine.nodes)), repeat(machine.cores), machine.samples)

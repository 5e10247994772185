"""Recorded links: a table of what a link was at which time, read in as events that give it these values."""

from __future__ import annotations

import csv
import io
from typing import Any

from pydantic import ValidationError

from experiments.base_station.arrivals import rows
from experiments.spec.events import MOST_EVENTS, LinkChangeSpec
from experiments.spec.fields import nearest

AT_S = "at_s"
TRUTH = {"true": True, "1": True, "false": False, "0": False}


def events(entry: dict[str, Any], text: str) -> list[dict[str, Any]]:
    """Return an entry of a scenario's ``events`` that names a trace as the events that it is, one a line.

    Args:
        entry: its keys without the file; its links have no values of their own.
        text: the trace, CSV: ``at_s`` and values of links by their names, ``down`` too; empty is as in ``links``.

    Raises:
        ValueError: it is none; the message names the line.
    """
    unused = next((key for key in entry if key != "links"), None)
    if unused is not None:
        raise ValueError(f"{unused}: not used beside file, whose lines say when links change, and how")
    links = entry.get("links")
    if not isinstance(links, list) or not all(isinstance(one, dict) and set(one) <= {"between"} for one in links):
        raise ValueError(
            "links: expected which ones it is about, without values, such as [{between: [base_stations, edge]}]"
        )
    reader = csv.DictReader(io.StringIO(text))
    _check_heading(list(reader.fieldnames or ()))
    found: list[dict[str, Any]] = []
    before_s = -1.0
    for where, row in rows(reader):
        if len(found) == MOST_EVENTS:
            raise ValueError(f"{where}: a scenario has {MOST_EVENTS} events at most: leave lines out")
        at_s = _number(row[AT_S], where, AT_S)
        if at_s <= before_s:
            raise ValueError(f"{where}: at_s {at_s:g} after {before_s:g}: a trace goes forward; sort it")
        before_s = at_s
        values = {key: _value(key, cell, where) for key, cell in row.items() if key != AT_S and cell.strip()}
        try:
            LinkChangeSpec.model_validate(values)
        except ValidationError as error:
            problem = error.errors()[0]
            key = ".".join(map(str, problem["loc"]))
            reason = str(problem["msg"]).removeprefix("Value error, ")
            raise ValueError(f"{where}: {f'{key}: ' if key else ''}{reason}") from error
        found.append({AT_S: at_s, "links": [{**link, **values} for link in links]})
    if not found:
        raise ValueError("it has no lines but its heading")
    return found


def _check_heading(names: list[str]) -> None:
    known = [AT_S, *(name for name in LinkChangeSpec.model_fields if name != "between")]
    if AT_S not in names or len(names) == 1 or len(set(names)) < len(names):
        raise ValueError(
            "line 1: expected a heading with at_s and values of links, such as at_s,delay_ms, got "
            f"{','.join(names):.80}"
        )
    unknown = next((name for name in names if name not in known), None)
    if unknown is not None:
        raise ValueError(f"line 1: unknown column {unknown!r:.60}; {nearest(unknown, known)}")


def _value(key: str, cell: str, where: str) -> Any:
    if key == "down":
        if cell.strip().lower() not in TRUTH:
            raise ValueError(f"{where}: down {cell[:40]!r}: expected true or false")
        return TRUTH[cell.strip().lower()]
    try:
        return float(cell)
    except ValueError:
        return cell.strip()


def _number(cell: str, where: str, name: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise ValueError(f"{where}: {name} {cell[:40]!r}: expected a number of seconds from 0 on")
    return value

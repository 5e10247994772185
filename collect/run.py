"""A run's folder, ``results/<run-id>/``: finding it, reading what it holds, writing into it."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from collect import records
from collect.analysis.repetitions import Measurements, gather
from collect.errors import CollectError
from collect.links import LinkReport

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

T = TypeVar("T")

SAMPLES = "samples.jsonl"
# What a folder under results must hold one of to be a run.
MARKS = ("scenario.yaml", "manifest.json", "raw")


class Step(BaseModel):
    """One step of a run as ``steps.json`` lists it."""

    model_config = ConfigDict(frozen=True)

    step: str
    seconds: float | None = None
    status: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """All that collect knows of a run; ``notes`` are sentences about what is missing or unreadable."""

    folder: Path
    measurements: Measurements
    scenario: str | None
    manifest: dict[str, Any]
    steps: tuple[Step, ...]
    links_before: LinkReport | None
    links_after: LinkReport | None
    notes: tuple[str, ...]


def find(results: Path, name: str | None) -> Path:
    """Return the folder of a run, by default of the one that was written to last.

    Raises:
        CollectError: there is no such run, or none at all.
    """
    if not results.is_dir():
        raise CollectError(f"There is no folder {results}. Measure first (make experiment), or name it by --results.")
    runs = sorted((path for path in results.iterdir() if _is_run(path)), key=_written_at)
    if not runs:
        raise CollectError(f"{results} holds no run yet. Measure first: make experiment.")
    if name is None:
        return runs[-1]
    for path in runs:
        if path.name == name:
            return path
    newest = ", ".join(path.name for path in reversed(runs[-3:]))
    raise CollectError(f"There is no run {name!r} in {results}. The newest there: {newest}.")


def load(folder: Path) -> Run:
    """Read a run's folder; what is optional and absent or damaged becomes a note.

    Raises:
        CollectError: there are no records, a line of them is damaged, or no repetition has finished.
    """
    measurements, torn = _measurements(folder)
    notes: list[str] = []
    if torn:
        notes.append(f"{torn} torn line{'s' * (torn > 1)} of {SAMPLES} passed over: the driver was cut off there.")
    return Run(
        folder=folder,
        measurements=measurements,
        scenario=_text(folder / "scenario.yaml", notes),
        manifest=_json(folder / "manifest.json", TypeAdapter(dict[str, Any]), notes) or {},
        steps=_json(folder / "steps.json", TypeAdapter(tuple[Step, ...]), notes) or (),
        links_before=_json(folder / "links" / "before.json", TypeAdapter(LinkReport), notes),
        links_after=_json(folder / "links" / "after.json", TypeAdapter(LinkReport), notes),
        # Evaluated last: the readers above have added to it.
        notes=tuple(notes),
    )


def inventory(folder: Path) -> str | None:
    """Return the inventory that the run's manifest names, or ``None``."""
    manifest = _json(folder / "manifest.json", TypeAdapter(dict[str, Any]), [])
    named = (manifest or {}).get("inventory")
    return named if isinstance(named, str) else None


def write(path: Path, content: str | bytes) -> None:
    """Write a file of the run whole or not at all, and make its folder.

    Raises:
        CollectError: the disk is full or the file cannot be written.
    """
    partial = path.with_name(path.name + ".partial")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_bytes(content.encode() if isinstance(content, str) else content)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what goes wrong while a file is written into a known error.

    Raises:
        CollectError: the disk is full or the file cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise CollectError(f"The disk is full: {path} was not written. Make room, then run this again.") from error
        raise CollectError(f"{path} cannot be written: {error.strerror}.") from error


def _is_run(path: Path) -> bool:
    return any((path / mark).exists() for mark in MARKS)


def _written_at(path: Path) -> tuple[float, str]:
    marks = [
        entry for entry in (path / "scenario.yaml", path / "manifest.json", path / "raw" / SAMPLES) if entry.exists()
    ]
    return max((entry.stat().st_mtime for entry in marks), default=path.stat().st_mtime), path.name


def _measurements(folder: Path) -> tuple[Measurements, int]:
    # With several base stations each one's file may lie in a folder of its own.
    files = sorted((folder / "raw").rglob(SAMPLES))
    if not files:
        raise CollectError(
            f"{folder / 'raw' / SAMPLES} is not there: the run has measured nothing yet, or its records are still on "
            f"the base station. Fetch them: python -m collect pull {folder.name}."
        )
    try:
        found = [record for path in files for record in records.scan(path)]
    except records.RecordError as error:
        raise CollectError(f"{error}. The line is damaged; restore the file, or pull it again.") from error
    except OSError as error:
        raise CollectError(f"{error.filename} cannot be read: {error.strerror}.") from error
    measurements = gather(record for record in found if record is not None)
    if not any(measurements.scenarios.values()):
        failures = measurements.failures
        why = f" Last failure: {failures[-1].error}." if failures else ""
        raise CollectError(
            f"No repetition of {folder.name} has finished ({len(failures)} failed, {measurements.warmups} warm-ups): "
            f"there is nothing to analyse.{why}"
        )
    return measurements, found.count(None)


def _text(path: Path, notes: list[str]) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        notes.append(f"{path.name} is missing from the run's folder.")
    except (OSError, UnicodeDecodeError) as error:
        notes.append(f"{path.name} cannot be read: {error}.")
    return None


def _json(path: Path, adapter: TypeAdapter[T], notes: list[str]) -> T | None:
    name = path.name if path.parent.name != "links" else f"links/{path.name}"
    try:
        return adapter.validate_json(path.read_bytes())
    except FileNotFoundError:
        notes.append(f"{name} is missing from the run's folder.")
    except OSError as error:
        notes.append(f"{name} cannot be read: {error.strerror}.")
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        notes.append(f"{name} is damaged and was passed over: {where + ': ' if where else ''}{first['msg']}.")
    return None

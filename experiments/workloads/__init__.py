"""The workloads that a scenario can name, and how one is made from a scenario's settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from experiments.workloads.data import Dataset
from experiments.workloads.http import Http
from experiments.workloads.training import Training
from experiments.workloads.workload import SettingsError, Workload

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from experiments.base_station.arrivals import Due

# Where a scenario file has a setting that does not stand under `workload`.
KEYS = {"model": "function.model", "options": "function.options"}
WORKLOADS: dict[str, type[Workload[Any]]] = {workload.name: workload for workload in (Training, Http)}


def resolve(name: str, settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a workload's settings with the files that they name read in.

    Raises:
        SettingsError: a file cannot be read, or there is no such workload.
    """
    return _named(name).resolve(settings, folder)


def check(name: str, settings: dict[str, Any]) -> None:
    """Refuse settings that would fail on the nodes.

    Raises:
        SettingsError: there is no such workload, or a setting is unknown or wrong; the message names the key.
    """
    workload = _named(name)
    workload.check(_converted(workload, settings))


def measures(name: str, settings: dict[str, Any]) -> tuple[str, ...]:
    """Return the names of the measures of which each repetition of a workload has a value; raises as `check`."""
    return make(name, settings, Dataset([], [])).measures


def check_trace(name: str, settings: dict[str, Any], requests: Iterable[Due]) -> None:
    """Refuse a trace whose kinds or sizes a workload does not have.

    Raises:
        SettingsError: the first request that it cannot send.
    """
    workload = make(name, settings, Dataset([], []))
    kinds = workload.kinds
    for number, due in enumerate(requests, 1):
        if due.kind is not None and due.kind not in kinds:
            known = f"has {', '.join(kinds)}" if kinds else "has no kinds"
            raise SettingsError(
                f"traffic: request {number} of the trace is of kind {due.kind!r:.60}; the workload {known}"
            )
        if due.body_bytes is not None and not workload.is_sized:
            raise SettingsError(
                f"traffic: request {number} of the trace has a size, but the bodies of the workload {name} are its data"
            )


def make(name: str, settings: dict[str, Any], data: Dataset) -> Workload[Any]:
    """Return the workload of a scenario; raises as `check`."""
    workload = _named(name)
    return workload(_converted(workload, settings), data)


def _named(name: str) -> type[Workload[Any]]:
    if name not in WORKLOADS:
        raise SettingsError(f"workload: unknown workload {name!r}; expected one of {', '.join(WORKLOADS)}")
    return WORKLOADS[name]


def _converted(workload: type[Workload[Any]], settings: dict[str, Any]) -> Any:
    known = [field.name for field in msgspec.structs.fields(workload.settings_type)]
    unknown = next((key for key in settings if key not in known), None)
    if unknown is not None:
        raise SettingsError(
            f"{KEYS.get(unknown, f'workload.{unknown}')}: the workload {workload.name} has no such setting; "
            f"it has {', '.join(known)}"
        )
    try:
        return msgspec.convert(settings, workload.settings_type)
    except msgspec.ValidationError as error:
        raise SettingsError(f"workload: {error}") from error

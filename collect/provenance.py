"""Where the records of a run come from: one run, one plan, one file a base station; others are refused."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from collect.errors import CollectError
from collect.records import CHECKED_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from collect.folder import RunFolder
    from collect.records import Record

# More than anybody compares in one run, and than a figure can show.
SCENARIOS = 64


def notes(folder: RunFolder, files: Mapping[Path, Sequence[Record]], manifest: Mapping[str, Any]) -> list[str]:
    """Return what a reader has to know about where the records come from, in sentences.

    Args:
        folder: the run's.
        files: the records of each file.
        manifest: the run's; a run before schema 2 has no plan in it.

    Raises:
        CollectError: records of other runs, plans or base stations are among them.
    """
    stations: dict[str, Path] = {}
    values: dict[str, set[Any]] = defaultdict(set)
    old = 0
    for path, records in files.items():
        own = {record.base_station for record in records}
        if len(own) > 1:
            raise CollectError(f"{path} holds records of {_listed(own)}: expected those of one base station")
        for name in own:
            if name in stations:
                raise CollectError(
                    f"{stations[name]} and {path} both hold records of base station {name}: keep the file that the "
                    "base station wrote, and move the other one out of the run's folder"
                )
            stations[name] = path
        for record in records:
            values["run"].add(record.run)
            values["plan"].add(record.plan)
            values["scenario"].add(record.scenario)
            old += record.schema < CHECKED_SCHEMA
    _refuse_others(folder, values, manifest)
    sentences = []
    if old:
        sentences.append(
            f"{old} line{'s' * (old > 1)} of schema 1, without checksum and plan: a change by hand would not be seen."
        )
    sentences += [
        f"The records are those of run {run}; the folder has another name." for run in values["run"] - {folder.id}
    ]
    return sentences


def _refuse_others(folder: RunFolder, values: Mapping[str, set[Any]], manifest: Mapping[str, Any]) -> None:
    for name, several in values.items():
        if name != "scenario" and len(several) > 1:
            raise CollectError(
                f"{folder.raw} holds records of {len(several)} {name}s ({_listed(several)}): expected one; records "
                "that were merged are not one measurement"
            )
    for name, expected in (("run", manifest.get("run")), ("plan", _plan(manifest))):
        if isinstance(expected, str) and values[name] - {None, expected}:
            raise CollectError(
                f"{folder.raw} holds records of {name} {_listed(values[name])}, but manifest.json names "
                f"{expected[:64]}: restore the folder's own records, or pull them again"
            )
    if len(values["scenario"]) > SCENARIOS:
        raise CollectError(
            f"{folder.raw} holds records of {len(values['scenario'])} scenarios: expected up to {SCENARIOS}"
        )


def _plan(manifest: Mapping[str, Any]) -> Any:
    plan = manifest.get("plan")
    return plan.get("hash") if isinstance(plan, dict) else None


def _listed(names: set[Any]) -> str:
    return ", ".join(sorted(str(name or "none") for name in names)[:4])

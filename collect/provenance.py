"""Where the records of a run come from: one run, one plan, one file a base station; others are refused."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from collect.errors import CollectError
from collect.folder import SAMPLES
from collect.records import CHECKED_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from collect.folder import RunFolder
    from collect.records import Record

# More than anybody compares in one run, and than a figure can show.
SCENARIOS = 64


class Origin:
    """Where the records of a run come from; they are observed one by one, while they are read."""

    def __init__(self) -> None:
        self._stations: dict[Path, set[str]] = defaultdict(set)
        self._names: set[tuple[str, str | None, str]] = set()
        self._old = 0
        self._torn = 0

    def observe(self, path: Path, scanned: Iterable[Record | None]) -> Iterator[Record]:
        """Yield the whole records of a file, each observed; ``None`` is a line that was cut off."""
        stations, names = self._stations[path], self._names
        for record in scanned:
            if record is None:
                self._torn += 1
                continue
            stations.add(record.base_station)
            names.add((record.run, record.plan, record.scenario))
            self._old += record.schema < CHECKED_SCHEMA
            yield record

    def notes(self, folder: RunFolder, manifest: Mapping[str, Any]) -> list[str]:
        """Return what a reader has to know about where the records come from, in sentences.

        Args:
            folder: the run's.
            manifest: the run's; a run before schema 2 has no plan in it.

        Raises:
            CollectError: records of other runs, plans or base stations are among them.
        """
        self._refuse_stations()
        values: dict[str, set[Any]] = {"run": set(), "plan": set(), "scenario": set()}
        for names in self._names:
            for several, name in zip(values.values(), names, strict=True):
                several.add(name)
        _refuse_others(folder, values, manifest)
        sentences = []
        if self._torn:
            lines = f"{self._torn} torn line{'s' * (self._torn > 1)}"
            sentences.append(f"{lines} of {SAMPLES} skipped: the driver was killed while writing.")
        if self._old:
            sentences.append(
                f"{self._old} line{'s' * (self._old > 1)} of schema 1, without checksum and plan: a change by hand "
                "would not be seen."
            )
        sentences += [
            f"The records are those of run {run}; the folder has another name." for run in values["run"] - {folder.id}
        ]
        return sentences

    def _refuse_stations(self) -> None:
        """Refuse a file of several base stations, and two files of one."""
        files: dict[str, Path] = {}
        for path, own in self._stations.items():
            if len(own) > 1:
                raise CollectError(f"{path} holds records of {_listed(own)}: expected those of one base station")
            for name in own:
                if name in files:
                    raise CollectError(
                        f"{files[name]} and {path} both hold records of base station {name}: keep the file that the "
                        "base station wrote, and move the other one out of the run's folder"
                    )
                files[name] = path


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

"""A run's folder, ``results/<run-id>/``: made, found again, written to."""

from __future__ import annotations

import errno
import json
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import yaml

from collect import records
from collect.records import ModelRecord
from experiments import spec
from experiments.errors import FaasbedError, RunError

if TYPE_CHECKING:
    from pathlib import Path

    from experiments.spec import Experiment

RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class RunFolder:
    """One execution of scenarios; ``path`` is absolute."""

    path: Path

    @property
    def id(self) -> str:
        """The run's id: its folder's name."""
        return self.path.name

    def write_json(self, name: str, data: Any) -> None:
        """Replace a file of the run whole or not at all.

        Raises:
            RunError: the disk is full or the folder cannot be written.
        """
        self.write_text(name, json.dumps(data, indent=1, ensure_ascii=False) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Replace a file of the run whole or not at all; raises as `write_json`."""
        target = self.path / name
        partial = target.with_name(target.name + ".partial")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(text, encoding="utf-8")
            partial.replace(target)
        except OSError as error:
            raise explain(error, target) from error

    def read_json(self, name: str) -> Any:
        """Return a file of the run, or ``None`` where there is none yet."""
        path = self.path / name
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def update_manifest(self, **entries: Any) -> None:
        """Add to ``manifest.json``."""
        self.write_json("manifest.json", {**(self.read_json("manifest.json") or {}), **entries})

    def experiment(self) -> Experiment:
        """Return the experiment as it was resolved when the run began."""
        return spec.resolved(self.path / "scenario.yaml")

    def measured(self) -> bool:
        """Return whether every repetition of the plan is on record here."""
        plan = self.read_json("plan.json")
        files = list((self.path / "raw").rglob("samples.jsonl"))
        if plan is None or len(files) < len(plan["base_stations"]):
            return False
        wanted = {(entry["scenario"], entry["repetition"], entry["warmup"]) for entry in plan["order"]}
        return all(
            wanted
            <= {
                (one.scenario, one.repetition, one.warmup) for one in records.read(path) if isinstance(one, ModelRecord)
            }
            for path in files
        )


def create(results: Path, experiment: Experiment) -> RunFolder:
    """Make the folder of a new run, named by the time and the experiment.

    Raises:
        RunError: the disk is full or the folder cannot be made.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    path = results.resolve() / f"{stamp}-{experiment.name}-{secrets.token_hex(2)}"
    try:
        path.mkdir(parents=True)
    except OSError as error:
        raise explain(error, path) from error
    run = RunFolder(path)
    run.write_text("scenario.yaml", yaml.safe_dump(experiment.model_dump(mode="json"), sort_keys=False))
    return run


def find(results: Path, name: str) -> RunFolder:
    """Return the folder of a run that was begun before.

    Raises:
        RunError: there is no such run.
    """
    path = results.resolve() / name
    if not RUN_ID.fullmatch(name) or not (path / "scenario.yaml").is_file():
        raise RunError(f"there is no run {name!r} in {results}; the run ids are the names of its folders")
    return RunFolder(path)


def explain(error: OSError, path: Path) -> FaasbedError:
    """Return what a failed write means for the user."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RunError(f"the disk is full: {path} was not written. Make room; what was measured before is kept.")
    return RunError(f"{path} cannot be written: {error.strerror}. Name another folder with --results.")

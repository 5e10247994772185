"""A run's folder, ``results/<run-id>/``: the names of its files, writing and reading them, and which runs there are."""

from __future__ import annotations

import errno
import json
import re
import secrets
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from nodes.errors import FaasbedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
SAMPLES = "samples.jsonl"
# A folder under results holds one of these if it is a run.
MARKS = ("scenario.yaml", "manifest.json", "raw")
# How many runs an error lists.
LISTED_RUNS = 3


class FolderError(FaasbedError):
    """A run that is not there, or a file of one that cannot be read or written."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one run; ``path`` is absolute."""

    path: Path

    @property
    def id(self) -> str:
        """The run's id: its folder's name."""
        return self.path.name

    @property
    def scenario(self) -> Path:
        """The experiment as it was resolved when the run began."""
        return self.path / "scenario.yaml"

    @property
    def manifest(self) -> Path:
        """What the run was measured with."""
        return self.path / "manifest.json"

    @property
    def steps(self) -> Path:
        """The steps that were taken, with times."""
        return self.path / "steps.json"

    @property
    def plan(self) -> Path:
        """What the base stations measure, in order."""
        return self.path / "plan.json"

    @property
    def dataset(self) -> Path:
        """The texts and labels."""
        return self.path / "dataset.json"

    @property
    def raw(self) -> Path:
        """The records: one file, or a folder for each of several base stations."""
        return self.path / "raw"

    @property
    def log(self) -> Path:
        """What Ansible printed, by playbook."""
        return self.path / "ansible"

    @property
    def summary(self) -> Path:
        """The numbers of the analysis."""
        return self.path / "analysis" / "summary.json"

    @property
    def figures(self) -> Path:
        """The figures, in three formats each."""
        return self.path / "figures"

    @property
    def report(self) -> Path:
        """The report."""
        return self.path / "report.html"

    def links(self, when: str) -> Path:
        """The verification of the links ``before`` or ``after`` the repetitions."""
        return self.path / "links" / f"{when}.json"

    def samples(self) -> list[Path]:
        """Return the files of records, in the order of the base stations' names."""
        return sorted(self.raw.rglob(SAMPLES))

    def update_manifest(self, **entries: Any) -> None:
        """Add to the manifest.

        Raises:
            FolderError: it cannot be read or written.
        """
        write_json(self.manifest, {**(read_json(self.manifest) or {}), **entries})


def create(results: Path, name: str, scenario: str) -> RunFolder:
    """Make the folder of a new run, named by the time and the experiment's name, with its scenario file.

    Raises:
        FolderError: the disk is full or the folder cannot be made.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    run = RunFolder(results.resolve() / f"{stamp}-{name}-{secrets.token_hex(2)}")
    with writing(run.path):
        run.path.mkdir(parents=True)
    write(run.scenario, scenario)
    return run


def find(results: Path, name: str | None = None) -> RunFolder:
    """Return the folder of a run, by default of the one that was written to last.

    Raises:
        FolderError: there is no such run, or none at all.
    """
    if not results.is_dir():
        raise FolderError(
            f"there is no folder {results}; run an experiment first (make experiment), or name the folder of the "
            "results with --results"
        )
    runs = sorted((run for path in results.resolve().iterdir() if is_run(run := RunFolder(path))), key=_written_at)
    if not runs:
        raise FolderError(f"{results} holds no run yet; run an experiment first (make experiment)")
    if name is None:
        return runs[-1]
    for run in runs:
        if run.id == name:
            return run
    newest = ", ".join(run.id for run in reversed(runs[-LISTED_RUNS:]))
    raise FolderError(f"there is no run {name!r} in {results}; the newest runs there: {newest}")


def is_run(run: RunFolder) -> bool:
    """Return whether a folder is a run's: by its name, which is nothing but an id, and by what it holds."""
    return RUN_ID.fullmatch(run.id) is not None and any((run.path / mark).exists() for mark in MARKS)


def _written_at(run: RunFolder) -> tuple[float, str]:
    marks = [path for path in (run.scenario, run.manifest, run.raw / SAMPLES) if path.exists()]
    return max((path.stat().st_mtime for path in marks), default=run.path.stat().st_mtime), run.id


def write(path: Path, content: str | bytes) -> None:
    """Replace a file whole or not at all, and make its folder.

    Raises:
        FolderError: the disk is full or the file cannot be written.
    """
    partial = path.with_name(path.name + ".partial")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_bytes(content.encode() if isinstance(content, str) else content)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def write_json(path: Path, data: Any) -> None:
    """Replace a JSON file; raises as `write`."""
    write(path, json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Return what a JSON file holds, or ``None`` where there is none.

    Raises:
        FolderError: the file cannot be read or is damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FolderError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise FolderError(f"{path} is damaged: {error}; restore the file, or begin a new run") from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what goes wrong while a file is written into a known error.

    Raises:
        FolderError: the disk is full or the file cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise FolderError(
                f"the disk is full: {path} was not written; free some space, then run this again "
                "(what was measured is kept)"
            ) from error
        raise FolderError(
            f"{path} cannot be written: {error.strerror}; name another folder with --results, or change its permissions"
        ) from error

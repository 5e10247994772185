"""A run's folder, ``results/<run-id>/``: the names of its files, writing and reading them, and which runs there are."""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
import stat
import tempfile
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, get_args

import msgspec

from nodes.errors import FaasbedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# A folder of inventories/, and nothing that could be a path.
INVENTORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
SAMPLES = "samples.jsonl"
# When links and limited replicas are measured, in each part of a run; a run has several where it was resumed.
Moment = Literal["before", "after"]
MOMENTS: tuple[Moment, ...] = get_args(Moment)
EARLIER = re.compile(r"(?:before|after)-([1-9][0-9]{0,5})\.json")
# A folder under results holds one of these if it is a run.
MARKS = ("scenario.yaml", "manifest.json", "raw")
# How many runs an error lists.
LISTED_RUNS = 3
# Beyond these a file or a folder is not what a run leaves: the largest run that was measured has a tenth of it.
FILE_BYTES = 64 << 20
SAMPLES_BYTES = 4 << 30
PLAN_BYTES = 1 << 30
ENTRIES = 100_000
# How deep JSON is nested: Ansible's facts, in the manifest, are the deepest.
DEPTH = 24
# Who puts what is written into its place, where it is not this process.
_HAND_OVER: ContextVar[Callable[[Path, BinaryIO], None] | None] = ContextVar("hand over", default=None)


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
    def load(self) -> Path:
        """How busy the nodes were: a folder for each."""
        return self.path / "load"

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
    def export(self) -> Path:
        """The tables for other programs, unless they are written elsewhere."""
        return self.path / "export"

    @property
    def report(self) -> Path:
        """The report."""
        return self.path / "report.html"

    def links(self, when: str) -> Path:
        """The verification of the links ``before`` or ``after`` the repetitions of the run's last part."""
        return self.path / "links" / f"{when}.json"

    def resources(self, when: str) -> Path:
        """What limited replicas had ``before`` or ``after`` the repetitions of the run's last part."""
        return self.path / "resources" / f"{when}.json"

    def samples(self) -> list[Path]:
        """Return the files of records, in the order of the base stations' names.

        Raises:
            FolderError: there is one where a base station's do not lie, such as a copy, or one of them is too large.
        """
        files = sorted(self.raw.rglob(SAMPLES))
        for path in files:
            if self.raw not in (path.parent, path.parent.parent):
                raise FolderError(
                    f"{path} is not where the records of a base station lie: move it out of the run's folder"
                )
            if path.stat().st_size > SAMPLES_BYTES:
                raise FolderError(f"{path} is larger than {SAMPLES_BYTES >> 30} GiB, so it is not read")
        return files

    def inventory(self, asked: str | None) -> str | None:
        """Return the inventory that a run was begun on, ``None`` where it has none on record.

        Args:
            asked: what the user asks for, a name of ``inventories/`` or a path; ``None`` where nothing.

        Raises:
            FolderError: the manifest names a path and the user does not: an inventory may be a program, so a path is
                taken from the user only.
        """
        manifest = read_json(self.manifest)
        name = manifest.get("inventory") if isinstance(manifest, dict) else None
        if asked is not None:
            if "/" in asked and Path(asked).resolve().is_relative_to(self.path):
                raise FolderError(
                    f"inventory {asked} is in the run's own folder: name one that is not part of the records"
                )
            return asked
        if name is None or (isinstance(name, str) and INVENTORY.fullmatch(name)):
            return name
        raise FolderError(
            f"the manifest of {self.id} names inventory {str(name)[:200]!r}: a path is not taken from a run's folder; "
            "name the inventory yourself (INVENTORY=, --inventory)"
        )

    def update_manifest(self, **entries: Any) -> None:
        """Add to the manifest.

        Raises:
            FolderError: it cannot be read or written.
        """
        known = read_json(self.manifest) or {}
        if not isinstance(known, dict):
            raise FolderError(f"{self.manifest} is damaged: expected an object; restore the file, or begin a new run")
        write_json(self.manifest, {**known, **entries})


def begin_part(of: Callable[[str], Path]) -> None:
    """Number what was measured before and after the last part of a run, as ``before-1.json`` and ``after-1.json``.

    It stays on record when the run goes on; what has the same number is of the same part.

    Args:
        of: `RunFolder.links` or `RunFolder.resources`.
    """
    if not of("before").exists():
        return
    parts = (_of_part(of, number) for number in count(1))
    unused = next(part for part in parts if not any(path.exists() for path in part.values()))
    for when, path in unused.items():
        if of(when).exists():
            of(when).rename(path)


def earlier_parts(of: Callable[[str], Path]) -> dict[int, dict[Moment, Path]]:
    """Return the numbers of the earlier parts of a run with the files that each has, by moment."""
    numbers = {
        int(match[1]) for path in of("before").parent.glob("*-*.json") if (match := EARLIER.fullmatch(path.name))
    }
    return {
        number: {when: path for when, path in _of_part(of, number).items() if path.exists()}
        for number in sorted(numbers)
    }


def _of_part(of: Callable[[str], Path], number: int) -> dict[Moment, Path]:
    return {when: of(f"{when}-{number}") for when in MOMENTS}


def create(results: Path, name: str, scenario: str) -> RunFolder:
    """Make the folder of a new run, named by the time and the experiment's name, with its scenario file.

    Raises:
        FolderError: the disk is full or the folder cannot be made.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    run = RunFolder(results.resolve() / f"{stamp}-{name}-{secrets.token_hex(2)}")
    with writing(run.path):
        run.path.mkdir(parents=True)
    try:
        write(run.scenario, scenario)
    except FolderError:
        shutil.rmtree(run.path, ignore_errors=True)
        raise
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
        return checked(runs[-1])
    for run in runs:
        if run.id == name:
            return checked(run)
    newest = ", ".join(run.id for run in reversed(runs[-LISTED_RUNS:]))
    raise FolderError(f"there is no run {name!r} in {results}; the newest runs there: {newest}")


def is_run(run: RunFolder) -> bool:
    """Return whether a folder is a run's: by its name, which is nothing but an id, and by what it holds."""
    return (
        RUN_ID.fullmatch(run.id) is not None
        and not run.path.is_symlink()
        and any(os.path.lexists(run.path / mark) for mark in MARKS)
    )


def checked(run: RunFolder) -> RunFolder:
    """Return a run whose folder holds folders and files only: one from elsewhere is data, and leads nowhere else.

    Raises:
        FolderError: it holds a symbolic link, a pipe or the like, or more files than a run leaves.
    """
    count = 0
    for parent, folders, files in os.walk(run.path, onerror=_refuse):
        for name in (*folders, *files):
            path = os.path.join(parent, name)  # noqa: PTH118 - of a hundred thousand names
            mode = os.lstat(path).st_mode
            if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
                kind = "symbolic link" if stat.S_ISLNK(mode) else "special file"
                raise FolderError(f"{path!r} is a {kind}: a run's folder holds folders and files only; remove it")
        count += len(folders) + len(files)
        if count > ENTRIES:
            raise FolderError(f"{run.path} holds more than {ENTRIES} files, so it is not read")
    return run


def _refuse(error: OSError) -> None:
    raise FolderError(f"{error.filename} cannot be read: {error.strerror}") from error


def _written_at(run: RunFolder) -> tuple[float, str]:
    marks = [path for path in (run.scenario, run.manifest, run.raw / SAMPLES) if os.path.lexists(path)]
    return max((path.lstat().st_mtime for path in marks), default=run.path.stat().st_mtime), run.id


def write(path: Path, content: str | bytes) -> None:
    """Replace a file whole or not at all, and make its folder.

    Raises:
        FolderError: the disk is full or the file cannot be written.
    """
    with replacing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes the place of the one at a path when it is whole, and make its folder.

    Raises:
        FolderError: the disk is full or the file cannot be written.
    """
    hand_over = _HAND_OVER.get()
    with writing(path):
        if hand_over is None:
            with replaced(path) as file:
                yield file
        else:
            with tempfile.TemporaryFile() as file:
                yield file
                file.flush()
                hand_over(path, file)


@contextmanager
def handed_over(hand_over: Callable[[Path, BinaryIO], None]) -> Iterator[None]:
    """Have every file that is written put into its place by somebody else, who gets its path and its content."""
    token = _HAND_OVER.set(hand_over)
    try:
        yield
    finally:
        _HAND_OVER.reset(token)


@contextmanager
def replaced(path: Path) -> Iterator[BinaryIO]:
    """Do as `replacing`, in this process; raises OSError."""
    partial = path.with_name(path.name + ".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        # A link that stands in its place is not followed.
        partial.unlink(missing_ok=True)
        with partial.open("xb") as file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, data: Any) -> None:
    """Replace a JSON file; raises as `write`."""
    write(path, json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def read_bytes(path: Path, limit: int = FILE_BYTES) -> bytes:
    """Return what a file holds.

    Raises:
        FileNotFoundError: there is none. FolderError: it cannot be read or is too large.
    """
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise FolderError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > limit:
        raise FolderError(f"{path} is larger than {limit >> 20} MiB, so it is not read")
    return content


def read_json(path: Path, limit: int = FILE_BYTES) -> Any:
    """Return what a JSON file holds, or ``None`` where there is none.

    Raises:
        FolderError: the file cannot be read, is too large or damaged.
    """
    try:
        data = msgspec.json.decode(read_bytes(path, limit))
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FolderError(f"{path} is damaged: {error}; restore the file, or begin a new run") from error
    if not is_shallow(data):
        raise FolderError(f"{path} is damaged: nested more than {DEPTH} deep; restore the file, or begin a new run")
    return data


def is_shallow(data: Any, depth: int = DEPTH) -> bool:
    """Return whether JSON's lists and mappings are nested no deeper than this."""
    if not isinstance(data, dict | list):
        return True
    entries = data.values() if isinstance(data, dict) else data
    return depth > 0 and all(is_shallow(entry, depth - 1) for entry in entries)


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

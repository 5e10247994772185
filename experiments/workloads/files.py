"""Files that a scenario names, read in on the controller so that the run's folder has all there is to it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from experiments.workloads.workload import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

# What the function takes, unless it is told otherwise (app/README.md).
BODY_BYTES = 64 << 20
# Of a folder's files, which a run keeps in its scenario and in its plan.
MOST_FILES, FOLDER_BYTES = 1_000, 8 << 20


def text(path: Path, key: str) -> str:
    """Return what a file of text holds (UTF-8).

    Raises:
        SettingsError: it cannot be read; the message names the key.
    """
    try:
        return content(path, key).decode()
    except UnicodeDecodeError:
        raise SettingsError(f"{key}: {path} cannot be read: it is not UTF-8") from None


def content(path: Path, key: str) -> bytes:
    """Return what a file holds; raises as `text`."""
    reason = "it is not a file"
    try:
        if os.path.isfile(path):  # noqa: PTH113 - Path's own raises where the name is too long
            with path.open("rb") as file:
                read = file.read(BODY_BYTES + 1)
            if len(read) <= BODY_BYTES:
                return read
            reason = f"it has more than {BODY_BYTES >> 20} MiB"
    except OSError as error:
        reason = str(error.strerror)
    raise SettingsError(f"{key}: {path} cannot be read: {reason}")


def contents(folder: Path, key: str) -> dict[str, bytes]:
    """Return what the files of a folder hold, by name and in their order; hidden ones and folders are passed over.

    Raises:
        SettingsError: it is not a folder, has no file, or more than a run's folder should keep.
    """
    try:
        if not os.path.isdir(folder):  # noqa: PTH112 - Path's own raises where the name is too long
            raise SettingsError(f"{key}: {folder} cannot be read: it is not a folder")
        names = sorted(entry.name for entry in os.scandir(folder) if entry.is_file() and not entry.name.startswith("."))
    except OSError as error:
        raise SettingsError(f"{key}: {folder} cannot be read: {error.strerror}") from error
    if not names:
        raise SettingsError(f"{key}: {folder} has no files; put the bodies of the requests there, a file each")
    if len(names) > MOST_FILES:
        raise SettingsError(
            f"{key}: {folder} has {len(names)} files, up to {MOST_FILES} can be sent; name a part of it"
        )
    found: dict[str, bytes] = {}
    for name in names:
        found[name] = content(folder / name, key)
        if sum(map(len, found.values())) > FOLDER_BYTES:
            raise SettingsError(
                f"{key}: the files of {folder} have more than {FOLDER_BYTES >> 20} MiB together, and the run keeps "
                "them all; name a part of it"
            )
    return found

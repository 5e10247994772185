"""Files that a scenario names, read in on the controller so that the run's folder has all there is to it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from experiments.workloads.workload import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

# What the function takes, unless it is told otherwise (app/README.md).
BODY_BYTES = 64 << 20


def text(path: Path, key: str) -> str:
    """Return what a file of text holds (UTF-8).

    Raises:
        SettingsError: it cannot be read; the message names the key.
    """
    reason = "it is not a file"
    try:
        if os.path.isfile(path):  # noqa: PTH113 - Path's own raises where the name is too long
            with path.open("rb") as file:
                content = file.read(BODY_BYTES + 1)
            if len(content) <= BODY_BYTES:
                return content.decode()
            reason = f"it has more than {BODY_BYTES >> 20} MiB"
    except OSError as error:
        reason = str(error.strerror)
    except UnicodeDecodeError:
        reason = "it is not UTF-8"
    raise SettingsError(f"{key}: {path} cannot be read: {reason}")

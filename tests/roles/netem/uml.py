"""Boots a user-mode Linux on this machine's own files, read-only, and returns what the guest saw."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

GUEST = Path(__file__).resolve().parent / "uml_guest.py"
MARK = "RESULT "


def unusable() -> str | None:
    """Return why this machine cannot boot the guest, or None."""
    if platform.machine() != "x86_64" or shutil.which("linux.uml") is None:
        return "linux.uml is not installed (Debian: apt-get install user-mode-linux)"
    return None if os.geteuid() == 0 else "the guest shapes links as root, which it is only where this process is"


def boot(purpose: str, timeout_s: float) -> dict[str, Any]:
    """Return what the guest saw of its purpose (look, scenes, fidelity).

    Raises:
        RuntimeError: it said no result, or failed; with what it said.
    """
    # Ahead of this machine's ordinary work, behind the emulators and probes of others.
    done = subprocess.run(
        [
            "chrt", "-f", "1", "linux.uml", "mem=768M", "rootfstype=hostfs", "rootflags=/", "ro", "quiet",
            f"init={sys.executable}", "con=null", "con0=null,fd:1", "--", "-B", str(GUEST), purpose,
        ],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False, timeout=timeout_s,
    )  # fmt: skip
    _, mark, rest = done.stdout.partition(MARK)
    if not mark:
        raise RuntimeError(f"the guest said no result:\n{done.stdout[-3000:]}")
    result: dict[str, Any] = json.loads(rest.splitlines()[0])
    if "error" in result:
        raise RuntimeError(result["error"])
    return result

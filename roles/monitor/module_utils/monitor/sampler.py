"""The sampler of a node's load: a detached process that is known by the files of its folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ansible.module_utils.node import files

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

PROGRAM, PID = "sampler.py", "pid"
# Which machine's load it is: nodes that are namespaces or containers share one.
MACHINE = "machine.json"


def running(folder: Path) -> list[int]:
    """Return the processes that sample into this folder, or below it.

    They are known by their files: a node that is a network namespace sees the processes of the others, too.
    """
    found = []
    for path in folder.rglob(PID):
        pid = int(files.read(path) or 0)
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:  # it has ended
            continue
        if os.fsencode(path.with_name(PROGRAM)) in words:
            found.append(pid)
    return found


def start(folder: Path, program: str, max_s: int, options: Mapping[str, Any] | None = None) -> subprocess.Popen[bytes]:
    """Start a sampler that outlives this process.

    Args:
        folder: where it writes, a file of its own.
        program: its text.
        max_s: seconds after which it ends by itself.
        options: what else it is told, as its text says.

    Returns:
        The process; it has begun.

    Raises:
        OSError: it cannot be started, or ended immediately.
    """
    files.write(folder / PROGRAM, program)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    files.write(folder / MACHINE, json.dumps({"boot": boot, "cores": os.cpu_count()}))
    target = folder / f"{time.time_ns() // 1_000_000}.jsonl"
    target.touch()
    sampler = subprocess.Popen(
        [sys.executable, str(folder / PROGRAM), str(target), str(max_s), json.dumps(options or {})],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
    )
    files.write(folder / PID, str(sampler.pid))
    # While a program is started its command line is empty, so `running` would not find it yet.
    if sampler.stdout is None:
        raise OSError("the sampler's output cannot be read")
    with sampler.stdout as output:
        if not output.readline():
            raise OSError(f"the sampler ended immediately with exit code {sampler.wait()}")
    return sampler


def remove(folder: Path) -> None:
    """Remove a folder with the files of samplers in it and below it."""
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()

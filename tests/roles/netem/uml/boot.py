"""Boots the guest for one of its programs and receives what that sends."""

from __future__ import annotations

import json
import os
import platform
import select
import shutil
import signal
import subprocess
import sys
from collections import deque
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uml.init import END, MESSAGE

if TYPE_CHECKING:
    from collections.abc import Iterator

IMPORTABLE = Path(__file__).resolve().parents[1]
LAST_LINES = 60
# What the guest says where it cannot put a program's registers back.
REGISTERS = b"ptrace set fp regs failed"


class GuestError(RuntimeError):
    """The guest failed, or ended before its program did; with its last output."""


@lru_cache
def unusable() -> str | None:
    """Return why this machine cannot boot the guest, or None."""
    if platform.machine() != "x86_64" or shutil.which("linux.uml") is None:
        return "linux.uml is not installed (Debian: apt-get install user-mode-linux)"
    if os.geteuid() != 0:
        return "the guest shapes links as root, which it is only where this process is"
    # Such a processor has more registers than user-mode Linux 6.1 puts back; a later one may.
    if "amx_tile" in Path("/proc/cpuinfo").read_text("ascii"):
        command = ["linux.uml", "mem=64M", "rootfstype=hostfs", "rootflags=/", "ro", "init=/bin/true", "con=null,fd:1"]
        booted = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False
        )
        if REGISTERS in booted.stdout:
            return f"user-mode Linux cannot run on this processor, which has AMX ({REGISTERS.decode()})"
    return None


def messages(program: str, *arguments: str, silence_s: float) -> Iterator[Any]:
    """Boot the guest for a module of this package and yield what that sends, as it comes.

    Args:
        program: the module's name.
        arguments: of its command line.
        silence_s: how long the guest may print nothing.

    Raises:
        GuestError: it failed, was silent for too long, or ended before its program did.
    """
    # Ahead of this machine's ordinary work, behind the emulators and probes of others.
    command = [
        "chrt", "-f", "1", "linux.uml", "mem=768M", "rootfstype=hostfs", "rootflags=/", "ro", "quiet",
        f"init={sys.executable}", "con=null", "con0=null,fd:1", f"PYTHONPATH={IMPORTABLE}",
        "--", "-B", "-m", f"uml.{program}", *arguments,
    ]  # fmt: skip
    output: deque[str] = deque(maxlen=LAST_LINES)
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    ) as guest:
        try:
            for line in _lines(guest, silence_s):
                text, mark, message = line.partition(MESSAGE)
                if mark:
                    yield json.loads(message)
                if text:
                    output.append(text)
        finally:
            with suppress(ProcessLookupError):  # it has ended, with all that it had started
                os.killpg(guest.pid, signal.SIGKILL)
    if END not in output:
        raise GuestError("\n".join(["the guest in user-mode Linux ended before its program did:", *output]))


def _lines(guest: subprocess.Popen[bytes], silence_s: float) -> Iterator[str]:
    """Yield the lines that a guest prints, until it ends or is silent for too long."""
    assert guest.stdout is not None
    unfinished = b""
    while select.select([guest.stdout], [], [], silence_s)[0]:
        if not (printed := os.read(guest.stdout.fileno(), 1 << 16)):
            break
        *lines, unfinished = (unfinished + printed).split(b"\n")
        yield from (line.decode(errors="replace").rstrip("\r") for line in lines)
    else:
        unfinished += f"\n(it printed nothing for {silence_s:g} s)".encode()
    yield from unfinished.decode(errors="replace").splitlines()

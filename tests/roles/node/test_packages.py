"""Who holds the lock of dpkg is named, and waited for."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from ansible.module_utils.node import packages
from replica import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# As dpkg does: a lock of fcntl(2), which ends with the process.
HOLD = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.lockf(f, fcntl.LOCK_EX); print(1, flush=True); sys.stdin.read()"


@contextmanager
def upgrading(lock: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            process.communicate("")


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "lock-frontend"
    monkeypatch.setattr(packages, "LOCKS", (tmp_path / "missing", path))
    return path


def test_who_installs_packages_is_named_until_it_has_ended(lock: Path) -> None:
    assert packages.installer() is None, "there is no dpkg"
    with upgrading(lock) as process:
        assert (packages.installer() or "").startswith(f"process {process.pid} ({sys.executable} -c import fcntl")
    eventually(lambda: packages.installer() is None, "the end of the upgrade")


def test_a_lock_that_nobody_holds_is_none(lock: Path) -> None:
    lock.touch()
    assert packages.installer() is None

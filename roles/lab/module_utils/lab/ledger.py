"""The record of what a lab has created on this machine: only what it names is ever removed."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import stat
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.lab.machine import boot
from ansible.module_utils.lab.plan import Lab, LabError
from ansible.module_utils.node.files import draft_of, read, write

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "made.json"
# What the folder may hold without a ledger: an unfinished one, the folder that Ansible creates for its connections when a
# playbook names a lab that does not exist, and the accelerator that was chosen for virtual machines.
WITHOUT_LEDGER = {draft_of(Path(NAME)).name, "cp", "accelerator"}
SHALLOWEST = 3  # parts of the path: "/", "var", "faasbed-lab"


@dataclass(frozen=True)
class Ledger:
    """The names of everything a lab has created or is about to create: written before the first of them exists."""

    boot: str
    state_dir: str
    namespaces: tuple[str, ...]
    links: tuple[str, ...]
    nodes: tuple[str, ...]
    containers: tuple[str, ...] = ()
    # settings of the kernel as they were before the first node ran, by their path below /proc/sys
    sysctls: dict[str, str] = field(default_factory=dict)
    # control groups that podman makes around those of containers, where there were none before the first node ran
    cgroups: tuple[str, ...] = ()

    def and_then(self, after: Ledger) -> Ledger:
        """The ledger of the time between this one and the one after: it has the names of both."""
        return replace(
            after,
            namespaces=tuple(sorted({*self.namespaces, *after.namespaces})),
            links=tuple(sorted({*self.links, *after.links})),
            nodes=tuple(sorted({*self.nodes, *after.nodes})),
            containers=tuple(sorted({*self.containers, *after.containers})),
        )

    def write(self, folder: Path) -> None:
        """Put the ledger in the lab's folder."""
        write(_file(folder), json.dumps(asdict(self), indent=2) + "\n", 0o600, folder_mode=0o700)


def ledger_of(lab: Lab) -> Ledger:
    """The ledger of the finished lab."""
    return Ledger(
        boot=boot(),
        state_dir=str(lab.state_dir),
        namespaces=tuple(sorted(lab.namespaces)),
        links=tuple(sorted(lab.links)),
        nodes=tuple(sorted(node.name for node in lab.nodes)),
    )


def read_ledger(folder: Path) -> Ledger | None:
    """The ledger in a lab's folder, None where there is no lab; after a reboot only the files are left.

    Raises:
        LabError: the folder is not a place for a lab, or holds something else.
    """
    _check_folder(folder)
    text = read(_file(folder))
    if text is None:
        if folder.exists() and any(path.name not in WITHOUT_LEDGER for path in folder.iterdir()):
            raise LabError(f"lab_dir={folder} holds something that is not a lab: name a folder of the lab's own.")
        return None
    try:
        entries: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in json.loads(text).items()
        }
        ledger = Ledger(**entries)
    except (ValueError, TypeError, AttributeError) as error:
        raise LabError(
            f"{_file(folder)} cannot be read ({error}): end the lab by hand, then remove {folder}."
        ) from error
    return (
        ledger
        if ledger.boot == boot()
        else replace(ledger, boot=boot(), namespaces=(), links=(), sysctls={}, cgroups=())
    )


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the lab's folder, so that nobody else changes the lab meanwhile.

    Raises:
        LabError: somebody else is at work on this lab.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LabError(f"Another run is making or removing the lab in {folder}: wait until it is done.") from error
        yield
    finally:
        os.close(handle)


def remove_lab_folder(folder: Path) -> None:
    """Remove the lab's folder, the ledger last: an interrupted removal can continue."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path != _file(folder):
            path.unlink()
    _file(folder).unlink(missing_ok=True)
    folder.rmdir()


def _file(folder: Path) -> Path:
    return folder / NAME


def _check_folder(folder: Path) -> None:
    if not folder.is_absolute() or len(folder.parts) < SHALLOWEST:
        raise LabError(f"lab_dir={folder}: name an absolute path of a folder of its own, such as /var/lib/faasbed-lab.")
    for parent in (folder, *folder.parents):
        if parent.exists():
            status = parent.stat()
            if status.st_uid != 0 or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise LabError(
                    f"lab_dir={folder}: others may write in {parent}, and sshd trusts no keys there; "
                    "choose a folder such as /var/lib/faasbed-lab."
                )

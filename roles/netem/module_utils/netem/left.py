"""Programs that the role leaves running beside the links of an interface, with a copy of its own code."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from ansible.module_utils.node.process import end, on_this_node
from ansible.module_utils.node.source import source

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

PACKAGES = ("ansible.module_utils.netem.", "ansible.module_utils.node.")
LEASE = "ansible.module_utils.netem.lease"
CHANGES = "ansible.module_utils.netem.changes"
IN_FORCE = "ansible.module_utils.netem.in_force"


class Left:
    """A program of this role for one interface, started with the interface, the folder and the emulator's path.

    Args:
        name: of its module.
        interface: the data interface.
        folder: where this node keeps what the role leaves on it.
        program: the emulator's path on this node.
        log: the name of the file in the folder that has what it prints.
    """

    def __init__(self, name: str, interface: str, folder: Path, program: str, log: str) -> None:
        self.folder = folder
        self.code = folder / "code"
        self.command = [sys.executable, "-B", "-m", name, interface, str(folder), program]
        self.log = folder / log

    def start(self, *more: str, pass_fds: Collection[int] = ()) -> None:
        """Start it with more arguments, and files that it inherits open."""
        leave_code(self.code)
        with self.log.open("w") as log:
            subprocess.Popen(
                [*self.command, *more], env={**os.environ, "PYTHONPATH": str(self.code)}, pass_fds=tuple(pass_fds),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/",
            )  # fmt: skip

    def pids(self) -> list[int]:
        """Return the pids of those that run, of any Python."""
        own = self.command[1:]
        return [pid for pid, _, words in on_this_node() if words[1 : len(own) + 1] == own]

    def end(self, what: str) -> None:
        """End those that run; `what` they are, as an error calls them."""
        end(self.pids(), what)
        self.log.unlink(missing_ok=True)


def leave_code(folder: Path) -> None:
    """Write the roles' own code of this process, wherever it was loaded from, as packages that import nothing else."""
    for name in [LEASE, IN_FORCE, CHANGES, *sys.modules]:
        if name.startswith(PACKAGES):
            file = folder.joinpath(*name.split(".")).with_suffix(".py")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(source(name))
    for package in folder.rglob("*/"):
        (package / "__init__.py").touch()

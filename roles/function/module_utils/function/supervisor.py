"""The supervisor of a node's replicas and gateways, spoken to by its own programs."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ansible.module_utils.node.errors import NodeError
from ansible.module_utils.node.process import ProcessError, attempt, run, search_path

if TYPE_CHECKING:
    import subprocess

# Of supervisorctl: nobody answers, or a program is not as it was asked to be (supervisor's LSB exit codes).
TOLD = (0, 1, 2, 4, 7)
STOP_S = 60.0
START = "start the supervisor"
LOOK_S = 0.05


class Supervisor:
    """A supervisor by the folder in which it keeps its files; it need not run.

    Args:
        folder: of supervisord.conf, of the process id and of log/.
        programs: the folder of supervisord and supervisorctl.
    """

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder = folder
        self.configuration = folder / "supervisord.conf"
        self.pid_file = folder / "supervisord.pid"
        self._programs = programs

    def update(self) -> str | None:
        """Have its programs be those of the configuration, and start it where it does not run.

        Programs whose configuration is another one have ended, and are started again, when this returns.

        Returns:
            What was done, in words; None where everything runs as configured.

        Raises:
            NodeError: it cannot be asked or started.
        """
        done = self._ask("update")
        if done.returncode == 0:
            return "update the programs of the supervisor" if done.stdout.strip() else None
        command = [str(self._programs / "supervisord"), "-c", str(self.configuration)]
        # Replicas and gateways have the environment of whoever starts their supervisor.
        run(*command, environment={**os.environ, "PATH": search_path()})
        return START

    def restart(self, program: str) -> None:
        """End a program, however it takes that, and start it.

        Raises:
            NodeError: that failed.
        """
        run(*self._control("restart", program))

    def shut_down(self) -> bool:
        """End it with everything it runs; return whether it ran. Where it was killed its programs have ended with it.

        Raises:
            NodeError: it cannot be asked, or goes on running.
        """
        if not self.configuration.exists() or self._ask("shutdown").returncode:
            return False
        until = time.monotonic() + STOP_S
        while self.pid_file.exists():
            if time.monotonic() > until:
                raise NodeError(
                    f"the supervisor did not stop within {STOP_S:.0f} s; see {self.folder}/log/supervisord.log"
                )
            time.sleep(LOOK_S)
        return True

    def runs(self) -> bool:
        """Return whether it runs, by its process id."""
        try:
            return Path("/proc", self.pid_file.read_text().strip()).is_dir()
        except OSError:
            return False

    def _ask(self, word: str) -> subprocess.CompletedProcess[str]:
        done = attempt(*self._control(word))
        if done.returncode not in TOLD:
            raise ProcessError(self._control(word), done.returncode, " ".join((done.stderr or done.stdout).split()))
        return done

    def _control(self, *words: str) -> list[str]:
        return [str(self._programs / "supervisorctl"), "-c", str(self.configuration), *words]

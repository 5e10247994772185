"""Fetches a run's raw records from the base stations, by the playbook ``playbooks/collect.yml``."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from collect.errors import CollectError

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parent.parent
PLAYBOOK = Path("playbooks") / "collect.yml"
TASK = re.compile(r"^(?:TASK|RUNNING HANDLER) \[(?P<name>[^\]]*)\]")
FAILED = re.compile(r"^fatal: \[(?P<host>[^\]]*)\]: \w+! => (?P<result>{.*})$")
ERROR = re.compile(r"^\[?ERROR\b.*$")
# One JSON object a failure, whatever the user's configuration says.
OUTPUT = {"ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "ANSIBLE_STDOUT_CALLBACK": "default", "ANSIBLE_NOCOLOR": "1"}
# How much of Ansible's own words an error repeats.
LONGEST_REASON = 400


def pull(folder: Path, inventory: str, told: Callable[[str], None], root: Path = ROOT) -> None:
    """Fetch the records of the run in ``folder`` into its ``raw/``; ``told`` hears the name of each task.

    Raises:
        CollectError: the inventory or the playbook is not there, or Ansible failed.
    """
    playbook = Path(sys.executable).with_name("ansible-playbook")
    hosts = root / "inventories" / inventory  # a path given as a whole stays itself
    if not hosts.exists():
        known = ", ".join(sorted(path.name for path in hosts.parent.glob("*") if path.is_dir())) or "none"
        raise CollectError(f"There is no inventory {inventory!r} in {hosts.parent}. Known: {known}.")
    if not playbook.exists():
        raise CollectError(f"{playbook} is not there: the environment is not set up. Run make setup.")
    variables = ["-e", f"collect_run={folder.name}", "-e", f"collect_into={(folder / 'raw').resolve()}"]
    command = [str(playbook), "-i", str(hosts), str(PLAYBOOK), *variables]
    failures: list[str] = []
    errors: list[str] = []
    with subprocess.Popen(
        command,
        cwd=root,
        env={**os.environ, **OUTPUT},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        for line in process.stdout or ():
            if task := TASK.match(line):
                told(task["name"])
            elif failed := FAILED.match(line):
                failures.append(_reason(failed["host"], failed["result"]))
            elif ERROR.match(line):
                errors.append(line.strip())
    if process.returncode:
        reason = next(iter([*failures, *errors]), f"ansible-playbook ended with code {process.returncode}")
        what = f"The records of {folder.name} could not be fetched from inventory {inventory}"
        raise CollectError(f"{what}: {reason[:LONGEST_REASON]}")


def _reason(host: str, result: str) -> str:
    """Return a failure in Ansible's words: the host and its message, without the result around it."""
    message = str(json.loads(result).get("msg", "no message"))
    return f"{host}: {' '.join(message.split())}"

"""Runs playbooks: the only module that talks to ansible-runner."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import ansible_runner

from nodes import inventory as inventories
from nodes.errors import InventoryError, PlaybookError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nodes.inventory import Inventory

ROOT = Path(__file__).resolve().parent.parent
# The task whose retries carry the driver's status, see roles/driver/tasks/follow.yml.
FOLLOWING = "Follow the measurement"
# How playbooks/callback_plugins/where_time_went.py begins what it says.
TIMES = "Where the time went"

# What tasks returned: by the task's name, by host.
Results = dict[str, dict[str, dict[str, Any]]]


class Listener(Protocol):
    """Hears what a playbook is doing."""

    def say(self, sentence: str) -> None:
        """Hear a sentence for the user."""

    def task(self, name: str) -> None:
        """Hear that a task begins."""

    def repetition(self, status: dict[str, Any]) -> None:
        """Hear how far the driver is."""


class Playbooks:
    """Runs this project's playbooks on one inventory.

    Args:
        inventory: the path of the inventory.
        listener: hears of every task.
        events: where each playbook's job events are kept, or ``None``.

    Attributes:
        times: which tasks of the last playbook took longest, in lines; empty when it took no time worth saying.
    """

    def __init__(self, inventory: Path, listener: Listener, events: Path | None = None) -> None:
        self._inventory = inventory.resolve()
        self._listener = listener
        self._events = events
        self.times = ""

    def run(self, playbook: str, **variables: Any) -> Results:
        """Run a playbook of ``playbooks/`` with extra variables and return what its tasks returned.

        Raises:
            PlaybookError: a task failed; the message is the task's own. UnreachableError: a node did not answer.
            KeyboardInterrupt: the user or the system asked to stop.
        """
        results: Results = {}
        failures: list[tuple[str, str]] = []

        def hear(event: dict[str, Any]) -> bool:
            self._hear(event, results, failures)
            return False

        # A fresh folder each time: what an older run left in env/extravars would leak into this one.
        with tempfile.TemporaryDirectory(prefix="faasbed-") as private, _borrowed():
            outcome = ansible_runner.run(
                private_data_dir=private,
                project_dir=str(ROOT),
                playbook=str(ROOT / "playbooks" / f"{playbook}.yml"),
                inventory=str(self._inventory),
                extravars=variables,
                event_handler=hear,
                envvars={"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
                quiet=True,
                ident="job",
            )
            if outcome.status == "canceled":
                _end_workers(private)
            self._keep(playbook, Path(private) / "artifacts" / "job")
            said = (Path(private) / "artifacts" / "job" / "stdout").read_text(errors="replace").strip()
        self.times = said[said.index(TIMES) :] if TIMES in said else ""
        if outcome.status == "canceled":
            raise KeyboardInterrupt
        if outcome.status != "successful":
            kind, message = failures[0] if failures else ("failed", said.splitlines()[-1] if said else outcome.status)
            raise (UnreachableError if kind == "unreachable" else PlaybookError)(message)
        return results

    def _hear(self, event: dict[str, Any], results: Results, failures: list[tuple[str, str]]) -> None:
        data = event.get("event_data", {})
        result = data.get("res") or {}
        task, host = data.get("task", ""), data.get("host", "")
        match event["event"]:
            case "playbook_on_task_start":
                self._listener.task(task)
            case "runner_retry" if task == FOLLOWING:
                self._follow(result)
            case "runner_on_ok":
                results.setdefault(task, {})[host] = result
                if task == FOLLOWING:
                    self._follow(result)
            case "runner_on_failed" if not data.get("ignore_errors"):
                failures.append(("failed", _sentence(host, task, result)))
            case "runner_on_unreachable":
                failures.append(("unreachable", _sentence(host, task, result)))

    def _follow(self, result: dict[str, Any]) -> None:
        if result.get("stdout"):
            self._listener.repetition(json.loads(result["stdout"]))

    def _keep(self, playbook: str, artifacts: Path) -> None:
        if self._events is None:
            return
        try:
            self._events.mkdir(parents=True, exist_ok=True)
            number = len(list(self._events.iterdir())) + 1
            target = self._events / f"{number:02}-{playbook}"
            shutil.copytree(artifacts, target, ignore=shutil.ignore_patterns("fact_cache", "command"))
        except OSError as error:  # what the playbook said matters more than its log
            self._listener.say(f"  the events of {playbook} could not be kept in {self._events}: {error}"[:300])


def read_inventory(name: str) -> Inventory:
    """Return a named inventory as Ansible reads it.

    Raises:
        InventoryError: there is none of this name, or Ansible cannot read it.
    """
    path = inventories.path_of(name)
    with tempfile.TemporaryDirectory(prefix="faasbed-") as private, _borrowed():
        listing, errors = ansible_runner.get_inventory(
            action="list",
            inventories=[str(path)],
            response_format="json",
            private_data_dir=private,
            quiet=True,
            # A file with an error in it is otherwise an inventory without nodes.
            envvars={
                "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
                "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true",
            },
        )
    if not isinstance(listing, dict):
        raise InventoryError(
            f"inventory {name}: {path} cannot be read: {' '.join(str(errors or listing).split())[:300]}"
        )
    return inventories.parse(name, listing)


def _end_workers(private: str) -> None:
    """End what a cancelled playbook left: ansible-runner kills one process group, Ansible's workers lead their own."""
    for entry in Path("/proc").iterdir():
        with suppress(OSError):  # no process, another user's, or it ended while we looked
            if entry.name.isdigit() and private.encode() in (entry / "cmdline").read_bytes():
                os.kill(int(entry.name), signal.SIGKILL)


@contextmanager
def _borrowed() -> Iterator[None]:
    """Lend ansible-runner what it takes from the process, and take it back.

    It looks for Ansible's programs on PATH, where this interpreter's own have to come first, and it takes SIGINT and
    SIGTERM to cancel its job, and keeps them.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    path = os.environ.get("PATH", os.defpath)
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{path}"
    try:
        yield
    finally:
        os.environ["PATH"] = path
        for number, handler in before.items():
            signal.signal(number, handler)


def _sentence(host: str, task: str, result: dict[str, Any]) -> str:
    said = result.get("msg") or result.get("stderr") or result.get("stdout") or "no reason given"
    if isinstance(said, list):
        said = "; ".join(map(str, said))
    items = [entry.get("msg") for entry in result.get("results", []) if isinstance(entry, dict) and entry.get("failed")]
    if items and items[0]:
        said = items[0]
    return f"{host}: {task}: {' '.join(str(said).split())}"

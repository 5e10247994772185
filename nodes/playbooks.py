"""Runs playbooks: the only module that talks to ansible-runner."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import ansible_runner

from nodes import inventory as inventories
from nodes.answers import Answers
from nodes.errors import InventoryError, PlaybookError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nodes.inventory import Inventory

ROOT = Path(__file__).resolve().parent.parent
# How playbooks/callback_plugins/where_time_went.py begins its lines.
TIMES = "Where the time went"
# The key of a module's result that tells how far it is, in the results of its retries too.
PROGRESS = "progress"
# Ansible's own task before each role: it fails with a message of its own and says nothing otherwise.
ARGUMENT_CHECK = "ansible.builtin.validate_argument_spec"
# What opens an expression, a statement or a comment of a template.
TEMPLATE_MARKS = ("{{", "{%", "{#")


class Listener(Protocol):
    """Hears what a playbook is doing."""

    def say(self, sentence: str) -> None:
        """Hear a sentence for the user."""

    def task(self, name: str) -> None:
        """Hear that a task begins."""

    def progress(self, host: str, progress: dict[str, Any]) -> None:
        """Hear how far a host is: what a module returned as ``progress``."""


class Playbooks:
    """Runs this project's playbooks on one inventory.

    Args:
        inventory: the path of the inventory.
        listener: hears of every task and of progress.
        log: where each playbook's output and job events are kept, or ``None``.
        root: the folder that holds ``playbooks/`` and ``ansible.cfg``.

    Attributes:
        times: which tasks of the last playbook took longest, in lines; empty when it was quick.
    """

    def __init__(self, inventory: Path, listener: Listener, log: Path | None = None, root: Path = ROOT) -> None:
        self._inventory = inventory.resolve()
        self._listener = listener
        self._log = log
        self._root = root
        self.times = ""

    def run(self, playbook: str, **variables: Any) -> Answers:
        """Run a playbook of ``playbooks/`` with extra variables, which are data, and return what its roles answered.

        Raises:
            PlaybookError: a task failed; the message is the task's own. UnreachableError: a node did not answer.
            KeyboardInterrupt: the user or the system asked to stop.
        """
        job = _Job(self._listener)
        # A fresh folder each time: what an older run left in env/extravars would leak into this one.
        with tempfile.TemporaryDirectory(prefix="faasbed-") as private, _borrowed():
            outcome = ansible_runner.run(
                private_data_dir=private,
                project_dir=str(self._root),
                playbook=str(self._root / "playbooks" / f"{playbook}.yml"),
                inventory=str(self._inventory),
                extravars=_as_data(variables),
                event_handler=job.hear,
                envvars={
                    "ANSIBLE_CONFIG": str(self._root / "ansible.cfg"),
                    "ANSIBLE_NOCOLOR": "1",
                    # ansible-runner sets it to false, and ssh then trusts every key, whatever the inventory says.
                    "ANSIBLE_HOST_KEY_CHECKING": "true",
                },
                quiet=True,
                ident="job",
            )
            if outcome.status == "canceled":
                _end_workers(private)
            self._keep(playbook, Path(private) / "artifacts" / "job")
            output = (Path(private) / "artifacts" / "job" / "stdout").read_text(errors="replace").strip()
        self.times = output[output.index(TIMES) :] if TIMES in output else ""
        if outcome.status == "canceled":
            raise KeyboardInterrupt
        if outcome.status != "successful":
            raise job.error or PlaybookError(output.splitlines()[-1] if output else f"{playbook}: {outcome.status}")
        return Answers(playbook, job.answers, job.changed)

    def _keep(self, playbook: str, artifacts: Path) -> None:
        if self._log is None:
            return
        try:
            self._log.mkdir(parents=True, exist_ok=True)
            number = len(list(self._log.iterdir())) + 1
            target = self._log / f"{number:02}-{playbook}"
            shutil.copytree(artifacts, target, ignore=shutil.ignore_patterns("fact_cache", "command"))
        except OSError as error:  # what the playbook did matters more than its log
            self._listener.say(f"  warning: the log of playbook {playbook} was not kept in {self._log}: {error}"[:300])


@dataclass(slots=True)
class _Job:
    """What the events of one playbook tell."""

    listener: Listener
    answers: dict[str, Any] = field(default_factory=dict)
    changed: int = 0
    error: PlaybookError | None = None

    def hear(self, event: dict[str, Any]) -> bool:
        """Take in one event; ``False``: ansible-runner need not keep it."""
        data = event.get("event_data", {})
        match event["event"]:
            case "playbook_on_task_start" if data.get("task_action") != ARGUMENT_CHECK:
                self.listener.task(data.get("task", ""))
            case "runner_retry" | "runner_on_ok":
                self._progress(data)
            case "runner_on_failed" if not data.get("ignore_errors"):
                self.error = self.error or PlaybookError(_sentence(data))
            case "runner_on_unreachable":
                self.error = self.error or UnreachableError(_sentence(data))
            case "playbook_on_stats":
                self.answers = data.get("artifact_data") or {}
                self.changed = sum(data.get("changed", {}).values())
        return False

    def _progress(self, data: dict[str, Any]) -> None:
        progress = (data.get("res") or {}).get(PROGRESS)
        if isinstance(progress, dict):
            self.listener.progress(data.get("host", ""), progress)


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


def _as_data(value: Any) -> Any:
    """Mark strings that Ansible would evaluate as templates: a name that holds one is data like any other."""
    match value:
        case str() if any(mark in value for mark in TEMPLATE_MARKS):
            return {"__ansible_unsafe": value}
        case dict():
            return {key: _as_data(entry) for key, entry in value.items()}
        case list() | tuple():
            return [_as_data(entry) for entry in value]
        case _:
            return value


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


def _sentence(data: dict[str, Any]) -> str:
    """Return a failure in one line: the host, the task and its message, or its first failed item's."""
    result = data.get("res") or {}
    message = result.get("msg") or result.get("stderr") or result.get("stdout") or "no reason given"
    if isinstance(message, list):
        message = "; ".join(map(str, message))
    items = [entry.get("msg") for entry in result.get("results", []) if isinstance(entry, dict) and entry.get("failed")]
    if items and items[0]:
        message = items[0]
    words = " ".join(str(message).split())
    return f"{data.get('host', '')}: {data.get('task', '')}: {_of_host_key(words) or words}"


def _of_host_key(words: str) -> str | None:
    """Return in a sentence that ssh refused a node's host key, which it says in twelve lines; else None."""
    if "Host key verification failed" not in words:
        return None
    if "HAS CHANGED" in words:
        key = re.search(r"SHA256:[A-Za-z0-9+/]+", words)
        return (
            f"the node's SSH host key{f' ({key[0]})' if key else ''} is not the one in known_hosts, so another machine "
            "may be answering; if the node was installed again, remove the old key with ssh-keygen -R and log in once"
        )
    return "the node's SSH host key is not in known_hosts; log in once with ssh and compare the key's fingerprint"

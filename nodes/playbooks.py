"""Runs playbooks: the only module that talks to ansible-runner."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import ansible_runner

from nodes import become, guard
from nodes import inventory as inventories
from nodes.answers import Answers
from nodes.errors import InventoryError, PlaybookError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nodes.become import Password
    from nodes.inventory import Inventory

ROOT = Path(__file__).resolve().parent.parent
# How playbooks/callback_plugins/where_time_went.py begins its lines.
TIMES = "Where the time went"
# The key of a module's result that tells how far it is, in the results of its retries too.
PROGRESS = "progress"
# Ansible refuses a locale that is not UTF-8, as LC_ALL=C and one that is not installed are.
UTF_8 = {"LC_ALL": "C.UTF-8"}
# What Ansible says of a command that failed, and how much of what the command printed stands in an error instead.
NON_ZERO = "non-zero return code"
PRINTED_CHARACTERS = 600
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
        password: with which the nodes' user becomes root, or ``None``.

    Attributes:
        times: which tasks of the last playbook took longest, in lines; empty when it was quick.
        warnings: those of the modules so far, each once.
    """

    def __init__(
        self,
        inventory: Path,
        listener: Listener,
        log: Path | None = None,
        root: Path = ROOT,
        password: Password | None = None,
    ) -> None:
        self._inventory = inventory.resolve()
        self._listener = listener
        self._log = log
        self._root = root
        self._password = password
        self.times = ""
        self.warnings: list[str] = []

    def run(self, playbook: str, **variables: Any) -> Answers:
        """Run a playbook of ``playbooks/`` with extra variables, which are data, and return what its roles answered.

        Raises:
            PlaybookError: a task failed; the message is the task's own. UnreachableError: a node did not answer.
            KeyboardInterrupt: the user or the system asked to stop.
        """
        job = _Job(self._listener)
        # A fresh folder each time: what an older run left in env/extravars would leak into this one.
        with (
            tempfile.TemporaryDirectory(prefix="faasbed-") as private,
            _guarded(private),
            _programs(),
            _stoppable() as stopped,
            self._become(Path(private)) as environment,
        ):
            outcome = ansible_runner.run(
                private_data_dir=private,
                project_dir=str(self._root),
                playbook=str(self._root / "playbooks" / f"{playbook}.yml"),
                inventory=str(self._inventory),
                extravars=_as_data(variables),
                event_handler=job.hear,
                cancel_callback=stopped,
                envvars={
                    "ANSIBLE_CONFIG": str(self._root / "ansible.cfg"),
                    **UTF_8,
                    "ANSIBLE_NOCOLOR": "1",
                    # ansible-runner sets it to false, and ssh then trusts every key, whatever the inventory says.
                    "ANSIBLE_HOST_KEY_CHECKING": "true",
                    # Ansible's own question would be seen by nobody, and waited for.
                    become.ASKED_BY: "false",
                    "ANSIBLE_ASK_PASS": "false",
                    **environment,
                },
                quiet=True,
                ident="job",
            )
            if stopped():  # ansible-runner ends one process group, Ansible's workers lead their own
                guard.end_playbook(private)
            self.warnings += [one for one in job.warnings if one not in self.warnings]
            self._keep(playbook, Path(private) / "artifacts" / "job")
            output = (Path(private) / "artifacts" / "job" / "stdout").read_text(errors="replace").strip()
        self.times = output[output.index(TIMES) :] if TIMES in output else ""
        if stopped():
            raise KeyboardInterrupt
        if outcome.status != "successful":
            raise job.error or PlaybookError(_last_error(output) or f"{playbook}: {outcome.status}")
        unreachable = {host: error for host, error in job.errors.items() if isinstance(error, UnreachableError)}
        return Answers(playbook, job.answers, job.changed, unreachable)

    @contextmanager
    def _become(self, folder: Path) -> Iterator[dict[str, str]]:
        """Yield the environment variables by which Ansible finds the password, if there is one."""
        if self._password is None:
            yield {}
            return
        with self._password.served(folder) as pipe:
            yield {"ANSIBLE_BECOME_PASSWORD_FILE": str(pipe)}

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
    errors: dict[str, PlaybookError] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def error(self) -> PlaybookError | None:
        """What ended the host that failed first: its last failure, as those before were rescued."""
        return next(iter(self.errors.values()), None)

    def hear(self, event: dict[str, Any]) -> bool:
        """Take in one event; ``False``: ansible-runner need not keep it."""
        data = event.get("event_data", {})
        if event["event"] in ("runner_on_ok", "runner_on_failed"):
            self._warn(data)
        match event["event"]:
            case "playbook_on_task_start" if data.get("task_action") != ARGUMENT_CHECK:
                self.listener.task(data.get("task", ""))
            case "runner_retry" | "runner_on_ok":
                self._progress(data)
            case "runner_on_failed" if not data.get("ignore_errors"):
                self.errors[data.get("host", "")] = PlaybookError(_sentence(data))
            case "runner_on_unreachable":
                self.errors[data.get("host", "")] = UnreachableError(_sentence(data))
            case "playbook_on_stats":
                self.answers = data.get("artifact_data") or {}
                self.changed = sum(data.get("changed", {}).values())
        return False

    def _warn(self, data: dict[str, Any]) -> None:
        """Say a module's warnings, each once."""
        for words in (data.get("res") or {}).get("warnings") or ():
            warning = f"{data.get('host', '')}: {' '.join(str(words).split())}"
            if warning not in self.warnings:
                self.warnings.append(warning)
                self.listener.say(f"  warning: {warning}")

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
    with tempfile.TemporaryDirectory(prefix="faasbed-") as private, _programs():
        listing, errors = ansible_runner.get_inventory(
            action="list",
            inventories=[str(path)],
            response_format="json",
            private_data_dir=private,
            quiet=True,
            # A file with an error in it is otherwise an inventory without nodes.
            envvars={
                "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
                **UTF_8,
                "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true",
            },
        )
    if not isinstance(listing, dict):
        raise InventoryError(
            f"inventory {name}: {path} cannot be read: {inventories.reason(str(errors or listing))}; compare "
            "inventories/edge/hosts.yml"
        )
    inventory = inventories.parse(name, listing)
    templates = inventory.templates()
    return inventory.with_values(_evaluated(path, templates)) if templates else inventory


def _evaluated(path: Path, templates: dict[str, list[str]]) -> dict[str, dict[str, Any]]:
    """Return the values of variables that are templates, by host, as Ansible sees them.

    Raises:
        InventoryError: one cannot be evaluated.
    """
    try:
        return dict(Playbooks(path, _Silent()).run("values", values_of=templates)["values"])
    except PlaybookError as error:
        raise InventoryError(f"inventory {path}: {error}") from error


class _Silent:
    """A listener that tells nobody."""

    def say(self, sentence: str) -> None:
        """Hear a sentence for the user."""

    def task(self, name: str) -> None:
        """Hear that a task begins."""

    def progress(self, host: str, progress: dict[str, Any]) -> None:
        """Hear how far a host is."""


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


@contextmanager
def _guarded(private: str) -> Iterator[None]:
    """Let another process end what runs in a folder, should this one end without doing so."""
    command = [sys.executable, "-I", "-S", guard.__file__, private]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as process:
        try:
            yield
        finally:
            process.communicate(b"ended")


@contextmanager
def _programs() -> Iterator[None]:
    """Put this interpreter's own programs first on PATH, where ansible-runner looks for Ansible's."""
    path = os.environ.get("PATH", os.defpath)
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{path}"
    try:
        yield
    finally:
        os.environ["PATH"] = path


@contextmanager
def _stoppable() -> Iterator[Callable[[], bool]]:
    """Yield whether the user or the system asked to stop: Ctrl-C, SIGTERM, a terminal that was closed.

    An exception in the middle of ansible-runner would leave its processes behind; it asks this instead.
    """
    asked = threading.Event()
    before = {}
    in_main_thread = threading.current_thread() is threading.main_thread()  # no other one may
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if in_main_thread else ():
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup does
            before[number] = signal.signal(number, lambda *_: asked.set())
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _last_error(output: str) -> str:
    """Return what Ansible says of an error that is no task's: its last line marked as one, else its last line."""
    lines = output.splitlines()
    marked = [line.partition("[ERROR]: ")[2] for line in lines if line.startswith("[ERROR]: ")]
    return marked[-1] if marked else lines[-1] if lines else ""


def _sentence(data: dict[str, Any]) -> str:
    """Return a failure in one line: the host, the task and its message, or its first failed item's."""
    result = data.get("res") or {}
    items = [entry for entry in result.get("results", []) if isinstance(entry, dict) and entry.get("failed")]
    words = " ".join(((items and _message(items[0])) or _message(result) or "no reason given").split())
    return f"{data.get('host', '')}: {data.get('task', '')}: {reworded(words)}"


def reworded(words: str) -> str:
    """Return what ssh or sudo says in many words, or only to people who know them, in a sentence; all else as it is."""
    return _of_host_key(words) or _of_silence(words) or _of_sudo(words) or words


def _message(result: dict[str, Any]) -> str:
    """Return a task's message; of a program that failed what it printed, which Ansible calls a non-zero return code."""
    message = result.get("msg") or ""
    if isinstance(message, list):
        message = "; ".join(map(str, message))
    printed = str(result.get("stderr") or result.get("stdout") or "").strip()[-PRINTED_CHARACTERS:]
    if message == NON_ZERO and printed:
        command = result.get("cmd") or []
        program = Path(str(command[0])).name if isinstance(command, list) and command else "the command"
        return f"{program} failed with exit code {result.get('rc')}: {printed}"
    return str(message) or printed


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


def _of_silence(words: str) -> str | None:
    """Return in a sentence that a node cannot be reached, with ssh's own reason; else None."""
    told = re.search(r"(?:can be reached over ssh|Failed to connect to the host via ssh):(.*)", words)
    if told is None:
        return None
    return f"the node does not answer over SSH ({told[1].strip(' :') or 'the connection was lost'})"


def _of_sudo(words: str) -> str | None:
    """Return in a sentence that the user may not become root; else None."""
    if "Missing sudo password" in words:
        return (
            "sudo asks the node's user for a password: run it again with ASK_BECOME_PASS=1 (--ask-become-pass), which "
            "asks you once"
        )
    if "Incorrect sudo password" in words:
        return (
            "sudo does not take this password for the node's user: run it again with ASK_BECOME_PASS=1, and another one"
        )
    return None

"""Programs that are run on the node, and processes that run there already."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ansible.module_utils.node.errors import NodeError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

NOT_STARTED = 127  # what a shell returns for a program that it cannot start
# Where administration's programs are; the PATH of a login user, and of root by sudo or su, may lack them.
SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")
END_TIMEOUT_S = 5.0
STDERR = 2


class ProcessError(NodeError):
    """A program failed: the sentence quotes the command and what the program printed.

    Args:
        command: program and arguments.
        returncode: its exit code; `NOT_STARTED` if it could not be started.
        message: what it printed, on one line.
    """

    def __init__(self, command: Iterable[str], returncode: int, message: str) -> None:
        self.command = tuple(command)
        self.returncode = returncode
        self.message = message
        super().__init__(f"`{' '.join(self.command)}` failed: {message or f'exit code {returncode}'}")


def search_path() -> str:
    """Return this process's PATH with the folders of administration's programs, which it may lack."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join([*folders, *(folder for folder in SBIN if folder not in folders)])


def which(program: str) -> str | None:
    """Return the path of a program, or None where the node has none."""
    return shutil.which(program, path=search_path())


def attempt(
    *command: str,
    text: str = "",
    environment: Mapping[str, str] | None = None,
    folder: str | None = None,
    pass_fds: Collection[int] = (),
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and return what came of it, whether or not it failed.

    Args:
        command: program and arguments.
        text: its standard input.
        environment: all of its environment variables; None passes on this process's, with messages in English and with
            the folders of administration's programs in PATH.
        folder: its working directory; None is this process's.
        pass_fds: open files that it inherits under the same numbers.

    Returns:
        Exit code, standard output and standard error; a program that cannot be started has the code `NOT_STARTED`.
    """
    try:
        return subprocess.run(
            command,
            input=text,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            cwd=folder,
            env={**os.environ, "LC_ALL": "C", "PATH": search_path()} if environment is None else dict(environment),
            pass_fds=tuple(pass_fds),
        )
    except OSError as error:
        return subprocess.CompletedProcess(command, NOT_STARTED, "", f"{command[0]}: {error.strerror}")


def run(
    *command: str,
    text: str = "",
    environment: Mapping[str, str] | None = None,
    folder: str | None = None,
    pass_fds: Collection[int] = (),
) -> str:
    """Run a program as `attempt` does and return its standard output.

    Raises:
        ProcessError: it failed or could not be started.
    """
    done = attempt(*command, text=text, environment=environment, folder=folder, pass_fds=pass_fds)
    if done.returncode:
        raise ProcessError(command, done.returncode, " ".join((done.stderr or done.stdout).split()))
    return done.stdout


def processes() -> Iterator[tuple[int, Path]]:
    """Yield the pid of each process and its folder below /proc, which is gone when the process has ended."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            yield int(entry.name), entry


def on_this_node() -> Iterator[tuple[int, str, list[str]]]:
    """Yield pid, name and command line of each process in this network namespace.

    Nodes that share a machine see each other's processes; a node's own are those in its network namespace.
    """
    here = os.readlink("/proc/self/ns/net")
    for pid, folder in processes():
        with suppress(OSError):  # it has ended meanwhile
            if os.readlink(folder / "ns" / "net") == here:
                words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
                yield pid, (folder / "comm").read_text().strip(), words


def detach(name: str, work: Callable[[], None], keep: Collection[int]) -> None:
    """Do something in a process that outlives this one, and is found by its name (`on_this_node`), not by a pid file.

    Args:
        name: the process's.
        work: what it does.
        keep: the open files that it does this with. It closes all others: a lock among them would outlive this process.
    """
    if os.fork():
        return
    try:
        for inherited in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
            if inherited > STDERR and inherited not in keep:
                with suppress(OSError):  # the listing's own, which is closed already
                    os.close(inherited)
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for standard in range(STDERR + 1):
            os.dup2(nothing, standard)
        Path("/proc/self/comm").write_text(name)
        work()
    finally:
        os._exit(0)


def end(pids: Iterable[int], what: str = "processes", timeout_s: float = END_TIMEOUT_S) -> None:
    """End processes by SIGTERM, after the timeout by SIGKILL, and return when they have ended.

    One that is still ending would hold its port or its interface. Processes that have ended already are passed over.

    Args:
        pids: the processes.
        what: what they are, as the error calls them.
        timeout_s: how long to wait after each of the two signals.

    Raises:
        NodeError: a process outlives SIGKILL.
    """
    handles: dict[int, int] = {}
    try:
        for pid in pids:
            try:
                handles[os.pidfd_open(pid)] = pid
            except ProcessLookupError:
                continue
        alive = set(handles)
        for number in (signal.SIGTERM, signal.SIGKILL):
            for handle in alive:
                try:
                    signal.pidfd_send_signal(handle, number)
                except ProcessLookupError:
                    continue
            alive = _outliving(alive, timeout_s)
            if not alive:
                return
        left = ", ".join(str(handles[handle]) for handle in sorted(alive))
        raise NodeError(f"{what} {left} do not end, not even by SIGKILL: see `ps -o pid,stat,wchan,args -p {left}`.")
    finally:
        for handle in handles:
            os.close(handle)


def _outliving(handles: set[int], timeout_s: float) -> set[int]:
    """Return the handles of processes that have not ended within the timeout."""
    poll = select.poll()
    for handle in handles:
        poll.register(handle, select.POLLIN)
    alive, deadline = set(handles), time.monotonic() + timeout_s
    while alive and (left_s := deadline - time.monotonic()) > 0:
        for handle, _event in poll.poll(left_s * 1000):
            poll.unregister(handle)
            alive.discard(handle)
    return alive

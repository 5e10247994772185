"""The changes of keys, files and processes after which the nodes of a lab answer, or are removed."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ansible.module_utils.lab import machine
from ansible.module_utils.lab.plan import Lab, LabError, Node
from ansible.module_utils.node.change import Change
from ansible.module_utils.node.files import read, write
from ansible.module_utils.node.process import end

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ansible.module_utils.lab.machine import Process

TOOLS = ("ip", "mount", "nsenter", "ssh", "ssh-keygen", "sshd", "taskset", "unshare")
STARTED_WITHIN_S = 10.0
ROUNDS = 5  # of ending processes that start others while they end
UNLOCKED_ROOT = "root:*:19000:0:99999:7:::\n"


def controller_changes(lab: Lab, usable_cores: int) -> Iterator[Change]:
    """What is missing or different among what the controller needs to reach the nodes and to describe them."""
    yield from _key_changes(lab.client_key, "the key of the controller")
    for node in lab.nodes:
        yield from _key_changes(lab.host_key(node), f"the host key of {node.name}")
    yield from _folder_change(lab.control_sockets)
    yield from file_change(lab.folder / "known_hosts", partial(_known_hosts, lab))
    yield from file_change(lab.folder / "nodes.json", partial(lab.description, usable_cores))


def file_changes(lab: Lab) -> Iterator[Change]:
    """What is missing or different among the folders and files of nodes that are namespaces."""
    yield from _folder_change(lab.state_dir)
    for node in lab.nodes:
        for folder in (lab.home(node), lab.home(node) / "home", lab.home(node) / "tmp"):
            yield from _folder_change(folder)
        yield from file_change(lab.sshd(node) / "sshd_config", partial(lab.sshd_config, node))
    yield from file_change(lab.folder / "authorized_keys", partial(public_key, lab.client_key))


def process_changes(lab: Lab, launcher: Path) -> Iterator[Change]:
    """Nodes whose sshd does not answer, or was started in another way than it would be now."""
    everything = machine.processes(lab.state_dir)
    for node in lab.nodes:
        network, home = machine.network_of(lab.namespace(node)), machine.identity(lab.home(node))
        inside = [process for process in everything if process.network == network]
        at_home = [process for process in everything if home is not None and process.state == home]
        as_now = read(_started(lab, node)) == _way(lab, node, launcher)
        if as_now and at_home and set(at_home) <= set(inside):
            if not machine.greets(node.management_address, timeout_s=2.0):
                yield Change(f"start the sshd of {node.name} again", partial(_restart, lab, node, launcher))
        else:
            yield from end_changes(lab.state_dir, [lab.namespace(node)], [lab.home(node)])
            yield Change(f"start {node.name}{_pinned(node)}", partial(_start, lab, node, launcher))


def end_changes(state_dir: Path, namespaces: Iterable[str], homes: Iterable[Path]) -> Iterator[Change]:
    """Processes that live in these namespaces, or see one of these folders at the nodes' state_dir."""
    left = machine.processes(state_dir)
    belongings = [
        *((f"in the namespace {namespace}", partial(_is_inside, namespace)) for namespace in namespaces),
        *((f"that use {home}", partial(_is_at, home)) for home in homes),
    ]
    for where, belongs in belongings:
        if any(belongs(process) for process in left):
            yield Change(f"end the processes {where}", partial(_end_all, state_dir, belongs))
        left = [process for process in left if not belongs(process)]


def connection_changes(sockets: Path) -> Iterator[Change]:
    """SSH connections that Ansible keeps open for its next run."""
    for path in machine.sockets(sockets):
        yield Change(f"close the SSH connection {path.name}", partial(_close, path))


def folder_removal(folder: Path) -> Iterator[Change]:
    """The removal of one of the lab's own folders with everything in it."""
    if folder.exists():
        yield Change(f"remove {folder}", partial(shutil.rmtree, folder))


def mount_point_removal(state_dir: Path, homes: Iterable[Path]) -> Iterator[Change]:
    """The empty folder on which each node mounted its own; it stays while another lab's nodes use it."""
    if not state_dir.is_dir() or any(state_dir.iterdir()):
        return
    harmless = {None, *map(machine.identity, homes)}
    if all(process.state in harmless for process in machine.processes(state_dir)):
        yield Change(f"remove {state_dir}", state_dir.rmdir)


def _is_inside(namespace: str, process: Process) -> bool:
    return process.network == machine.network_of(namespace)


def _is_at(home: Path, process: Process) -> bool:
    return process.state is not None and process.state == machine.identity(home)


def _end_all(state_dir: Path, belongs: Callable[[Process], bool]) -> None:
    for _round in range(ROUNDS):
        pids = [process.pid for process in machine.processes(state_dir) if belongs(process)]
        if not pids:
            return
        end(pids)
    raise LabError(
        f"New processes keep starting while the lab ends them, last {pids}: end the program that starts them."
    )


def _start(lab: Lab, node: Node, launcher: Path) -> None:
    _started(lab, node).unlink(missing_ok=True)
    namespaces = ["unshare", "--mount", "--uts", "--propagation", "private"]
    enter = ["sh", str(launcher), node.name, str(lab.home(node)), str(lab.state_dir), _shadow(lab)]
    machine.run(["ip", "netns", "exec", lab.namespace(node), *_taskset(node), *namespaces, *enter, *_sshd(lab, node)])
    _await(lab, node)
    write(_started(lab, node), _way(lab, node, launcher), 0o600, folder_mode=0o700)


def _restart(lab: Lab, node: Node, launcher: Path) -> None:
    """Restart sshd in the mounts of what else runs on the node; if nothing does, restart the node."""
    inside = partial(_is_inside, lab.namespace(node))
    living = [process.pid for process in machine.processes(lab.state_dir) if inside(process)]
    work = [pid for pid in living if not machine.program(pid).startswith("sshd")]
    end([pid for pid in living if pid not in work])
    if not work:
        _start(lab, node, launcher)
        return
    enter = ["nsenter", "--target", str(work[0]), "--mount", "--uts", "--net"]
    machine.run([*enter, *_taskset(node), *_sshd(lab, node)])
    _await(lab, node)


def _await(lab: Lab, node: Node) -> None:
    address = node.management_address
    if not machine.answers(address, STARTED_WITHIN_S):
        raise LabError(
            f"The sshd of {node.name} does not answer at {address} within {STARTED_WITHIN_S:.0f} s: "
            f"see {lab.sshd(node)}/log, and whether a firewall or a VPN takes {lab.management_network}."
        )


def _close(socket: Path) -> None:
    """End the ssh process behind a control socket; one that has ended already has only left its socket."""
    try:
        machine.run(["ssh", "-F", "none", "-o", f"ControlPath={socket}", "-O", "exit", "node"])
    except LabError:
        socket.unlink(missing_ok=True)


def _key_changes(key: Path, what: str) -> Iterator[Change]:
    if not (key.exists() and key.with_suffix(".pub").exists()):
        yield Change(f"generate {what}", partial(_generate, key))


def _generate(key: Path) -> None:
    key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for half in (key, key.with_suffix(".pub")):
        half.unlink(missing_ok=True)
    machine.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "faasbed", "-f", str(key)])


def _folder_change(folder: Path) -> Iterator[Change]:
    if not folder.is_dir():
        yield Change(f"make the folder {folder}", partial(folder.mkdir, parents=True, exist_ok=True))


def file_change(path: Path, text: Callable[[], str], mode: int = 0o600) -> Iterator[Change]:
    """A file that has another text or is missing; a text made of keys may be known only when the change is carried out."""
    try:
        expected: str | None = text()
    except FileNotFoundError:
        expected = None  # made of keys that do not exist yet
    if expected is None or read(path) != expected:
        yield Change(f"write {path}", lambda: write(path, text(), mode, folder_mode=0o700))


def _known_hosts(lab: Lab) -> str:
    return "".join(f"{node.management_address} {public_key(lab.host_key(node))}" for node in lab.nodes)


def public_key(key: Path) -> str:
    """The public half of a key as a line, without its comment.

    Raises:
        FileNotFoundError: the key is not there yet.
    """
    if not key.exists():
        raise FileNotFoundError(key)  # a public half alone is about to be replaced
    kind, value, *_comment = key.with_suffix(".pub").read_text(encoding="ascii").split()
    return f"{kind} {value}\n"


def _shadow(lab: Lab) -> str:
    """The path of a shadow file for the node; empty where the machine's own lets root in by key.

    sshd without PAM refuses an account that is locked by `!`, as root is on Ubuntu.
    """
    lines = (read(Path("/etc/shadow")) or "").splitlines()
    if not any(line.startswith("root:!") for line in lines):
        return ""
    path = lab.folder / "sshd" / "shadow"
    write(path, UNLOCKED_ROOT, 0o600, folder_mode=0o700)
    return str(path)


def _way(lab: Lab, node: Node, launcher: Path) -> str:
    """Everything a running node was started with: if it differs from now, the node is restarted."""
    key = read(lab.host_key(node).with_suffix(".pub")) or ""
    return "\n".join([key, lab.sshd_config(node), str(node.cores), str(lab.state_dir), launcher.read_text("utf-8")])


def _started(lab: Lab, node: Node) -> Path:
    return lab.sshd(node) / "started"


def _sshd(lab: Lab, node: Node) -> list[str]:
    """The node's sshd; it requires its own absolute path."""
    program = str(shutil.which("sshd", path=machine.SEARCH_PATH))
    return [program, "-E", str(lab.sshd(node) / "log"), "-f", str(lab.sshd(node) / "sshd_config")]


def _taskset(node: Node) -> list[str]:
    return ["taskset", "--cpu-list", ",".join(map(str, node.cores))] if node.cores else []


def _pinned(node: Node) -> str:
    return f" on core {','.join(map(str, node.cores))}" if node.cores else ""

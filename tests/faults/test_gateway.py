"""Faults of replicas, of their gateway and of what keeps both running, on a lab with the platform `process`."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from replica import DEADLINE_S, FUNCTIONS, eventually
from testbed import ROOT, TrialLab, changed, trial_lab

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.long, pytest.mark.lab(judges_links=False)]
NODES: dict[str, tuple[str, ...]] = {"base_stations": ("bs",), "edge": ("edge-1",)}
GATEWAY, REPLICA = 31080, 32080
TIMEOUT_S = 10
FIRE = """
import json, sys
from experiments.base_station.exchange import Way, fire
way = Way(url=sys.argv[1], host="words", congestion_control="cubic", timeout_s=float(sys.argv[2]))
(exchange,) = fire(way, [sys.stdin.buffer.read()])
print(json.dumps([exchange.status, exchange.error, exchange.body.decode()]))
"""


class Service:
    """The service `words` on edge-1, and the load driver's request to it from bs."""

    def __init__(self, lab: TrialLab, project: Path) -> None:
        self.lab = lab
        self.folder = lab.state_dir / "function"
        service = {"name": "words", "nodes": ["edge-1"], "gateway": "edge-1", "port": GATEWAY}
        self._variables = {
            "runtime_root": str(project),
            "function_module": "app.other_function",
            "function_services": [{**service, "congestion_control": "cubic", "timeout_s": TIMEOUT_S}],
        }

    def playbook(self, **more: object) -> subprocess.CompletedProcess[str]:
        """Deploy it, or what the variables say."""
        return self.lab.playbook("playbooks/function.yml", "-e", json.dumps(self._variables | more))

    def deploy(self) -> int:
        """Deploy it and return how much that changed on edge-1."""
        return changed(self.playbook())["edge-1"]

    def begin(self, **request: object) -> subprocess.Popen[str]:
        """Send a request as the load driver does, and do not wait for what comes of it."""
        url = f"http://{self.lab.data_address(1)}:{GATEWAY}/"
        command = ["ip", "netns", "exec", self.lab.namespace("bs"), sys.executable, "-c", FIRE, url, str(DEADLINE_S)]
        with tempfile.TemporaryFile("w+") as body:
            json.dump({"text": "one two", **request}, body)
            body.seek(0)
            return subprocess.Popen(command, cwd=ROOT, stdin=body, stdout=subprocess.PIPE, text=True)

    def ask(self, **request: object) -> tuple[int | None, str, str]:
        """Send a request as the load driver does, and return its status, its error and the reply."""
        return ended(self.begin(**request))

    def answers(self) -> bool:
        """Whether a request is answered."""
        return self.ask()[0] == 200

    def pid(self, program: str) -> int:
        """The process of a program of the supervisor's, or of the supervisor itself."""
        control = [str(Path(sys.executable).with_name("supervisorctl")), "-c", f"{self.folder}/supervisord.conf", "pid"]
        found = self.lab.ssh("edge-1", *control, *([program] if program else []))
        assert found.returncode == 0, found.stdout + found.stderr
        return int(found.stdout)


def ended(request: subprocess.Popen[str]) -> tuple[int | None, str, str]:
    """What came of a request: status, error and reply."""
    output, _ = request.communicate(timeout=DEADLINE_S)
    status, error, body = json.loads(output)
    return status, error or "", body


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's code with the tests' own function in it."""
    folder = tmp_path_factory.mktemp("project")
    for package in ("app", "collect", "experiments"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(FUNCTIONS / "other_function.py", folder / "app")
    return folder


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrialLab]:
    """A base station and a compute node."""
    with trial_lab(tmp_path_factory.mktemp("lab")) as made:
        made.describe(NODES)
        assert changed(made.make())
        yield made


@pytest.fixture
def service(lab: TrialLab, project: Path) -> Service:
    """The service, deployed where that of the test before does not stand any more."""
    service = Service(lab, project)
    if not service.answers():
        service.deploy()
        assert service.answers()
    return service


@contextmanager
def little_memory(name: str, limit_bytes: int, pid: int) -> Iterator[None]:
    """Give a process that runs no more than so much memory beyond what it has (control groups, v1 or v2)."""
    root = Path("/sys/fs/cgroup")
    is_v1 = (root / "memory").is_dir()
    group = (root / "memory" if is_v1 else root) / name
    limit = group / ("memory.limit_in_bytes" if is_v1 else "memory.max")
    try:
        group.mkdir()
        limit.write_text(str(limit_bytes))
    except OSError as error:
        pytest.skip(f"no control group with a limit of memory can be made here: {error}")
    try:
        (group / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        eventually(lambda: not (group / "cgroup.procs").read_text(), "the end of the group's processes")
        group.rmdir()


@pytest.mark.fault(
    what="the kernel ends a replica in a request because its memory is used up",
    step="measure",
    on="local",
    seen="the gateway answers 503 in its place, that repetition fails, and the supervisor starts the replica again",
    ends="with the replica's start, some seconds",
    reads="answered 503: gateway on edge-1, replica …:32080: upstream connect error or disconnect/reset before headers… "
    "(see log/replica-words.log of its node)",
)
def test_a_replica_out_of_memory_is_started_again(service: Service, reads: Callable[[str], None]) -> None:
    pid = service.pid("replica:replica-words")
    with little_memory(f"faasbed-{service.lab.prefix}", 64 << 20, pid):
        status, error, _ = service.ask(does="fill")
        assert status == 503
        reads(error)
    eventually(service.answers, "an answer of the replica that was started again")
    assert service.pid("replica:replica-words") != pid


@pytest.mark.fault(
    what="a replica is stopped (SIGSTOP) in a request",
    step="measure",
    on="local",
    seen="the gateway answers 504 at the deadline of the request, and that repetition fails; deploying starts a replica "
    "again that takes connections and answers nobody",
    ends="with the next deployment (`make provision`, or going on with the run)",
    reads="answered 504: gateway on edge-1, replica …:32080: upstream request timeout (see log/replica-words.log of its node)",
)
def test_a_replica_that_is_stopped_is_started_again_by_a_deployment(
    service: Service, tmp_path: Path, reads: Callable[[str], None]
) -> None:
    pid = service.pid("replica:replica-words")
    request = service.begin(does="wait", until=str(tmp_path / "never"))
    eventually(lambda: "function_in_flight 1.0" in figures(service), "the request's arrival")
    os.kill(pid, signal.SIGSTOP)
    status, error, _ = ended(request)
    assert status == 504
    reads(error)
    assert service.deploy() == 1
    assert service.answers()
    assert service.pid("replica:replica-words") != pid
    assert service.deploy() == 0


def figures(service: Service) -> str:
    """The replica's /metrics, asked on its node."""
    url = f"http://{service.lab.data_address(1)}:{REPLICA}/metrics"
    ask = f"import urllib.request as u; print(u.urlopen({url!r}, timeout=30).read().decode())"
    return service.lab.ssh("edge-1", shlex.join(["python3", "-c", ask])).stdout


@pytest.mark.fault(
    what="the supervisor of a node is killed (SIGKILL)",
    step="measure",
    on="local",
    seen="replicas and gateways of the node end with it, and repetitions fail; deploying starts all of it again, and "
    "removing removes all of it",
    ends="with the next deployment (`make provision`, or going on with the run)",
    reads="cannot be reached: [Errno 111] Connection refused",
)
def test_a_killed_supervisor_leaves_nothing_and_is_started_again(
    service: Service, reads: Callable[[str], None]
) -> None:
    def kill() -> None:
        programs = [service.pid(name) for name in ("replica:replica-words", "gateway:gateway-words")]
        os.kill(service.pid(""), signal.SIGKILL)
        eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in programs), "the end of its programs")

    kill()
    reads(service.ask()[1])
    assert service.deploy() > 0
    assert service.answers()
    assert service.deploy() == 0
    kill()
    assert changed(service.playbook(function_action="remove"))["edge-1"] == 1
    assert service.lab.ssh("edge-1", "test", "!", "-e", str(service.folder)).returncode == 0
    assert changed(service.playbook(function_action="remove"))["edge-1"] == 0


@pytest.mark.fault(
    what="the gateway is killed (SIGKILL) in an upload",
    step="measure",
    on="local",
    seen="that repetition fails, and the supervisor starts the gateway again",
    ends="with the gateway's start, about a second",
    reads="http://…:31080/: the connection broke (…)",
)
def test_a_gateway_killed_in_an_upload_is_started_again(service: Service, reads: Callable[[str], None]) -> None:
    pid = service.pid("gateway:gateway-words")
    os.kill(pid, signal.SIGSTOP)  # so that the upload comes no further than the kernel's buffers
    request = service.begin(text="word " * 4_000_000)
    eventually(lambda: unread_bytes(service) > 100_000, "the upload's beginning")
    os.kill(pid, signal.SIGKILL)
    status, error, _ = ended(request)
    assert status is None
    reads(error)
    eventually(service.answers, "an answer through the gateway that was started again")
    assert service.pid("gateway:gateway-words") != pid


def unread_bytes(service: Service) -> int:
    """What the gateway's kernel has taken and the gateway has not read."""
    sockets = service.lab.ssh("edge-1", "ss", "-Htn", "state", "established", "sport", "=", f":{GATEWAY}").stdout
    return sum(int(line.split()[0]) for line in sockets.splitlines())


HALF_HEADS = """
import resource, select, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
def connect():
    connection = socket.create_connection((sys.argv[1], int(sys.argv[2])), 30)
    try:
        connection.sendall(b"POST / HTTP/1.1\\r\\nHost: words\\r\\nX-Slow: ")
    except OSError:  # the gateway takes no more
        pass
    return connection
held = [connect() for _ in range(1100)]
print("held", flush=True)
poll = select.poll()
while not select.select([sys.stdin], [], [], 0.05)[0]:  # whoever was sent away comes back at once
    poll = select.poll()
    for connection in held:
        poll.register(connection, select.POLLIN)
    closed = {number for number, _ in poll.poll(0)}
    held = [connect() if connection.fileno() in closed else connection for connection in held]
print("quiet", flush=True)
sys.stdin.readline()
sys.stdin.readline()
"""


@pytest.mark.fault(
    what="1100 connections that send half a head each, more than the gateway has descriptors",
    step="measure",
    on="local",
    seen="the gateway takes 400 connections and closes further ones, also the load driver's: that repetition fails; a "
    "connection whose head is not whole after ten seconds makes room",
    ends="ten seconds after the last such connection, though they are kept open",
    reads="http://…:31080/: the connection broke (…)",
)
def test_a_gateway_recovers_from_more_connections_than_it_takes(service: Service, reads: Callable[[str], None]) -> None:
    pid = service.pid("gateway:gateway-words")
    with inside(service.lab, "bs", HALF_HEADS, service.lab.data_address(1), str(GATEWAY)) as senders:
        assert line(senders) == "held"
        status, error, _ = service.ask()
        assert status is None
        reads(error)
        say(senders, "no more\n")
        assert line(senders) == "quiet"
        eventually(service.answers, "an answer beside connections that are kept open")
    assert service.pid("gateway:gateway-words") == pid


LISTEN = """
import itertools, socket, sys, time
for _ in itertools.count():
    try:
        listening = socket.create_server((sys.argv[1], int(sys.argv[2])))
        break
    except OSError:  # somebody else has it
        time.sleep(0.001)
print("listening", flush=True)
sys.stdin.readline()
"""


@contextmanager
def inside(lab: TrialLab, node: str, program: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a Python program on a node until the end of the block."""
    command = ["ip", "netns", "exec", lab.namespace(node), "python3", "-c", program, *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def line(process: subprocess.Popen[str]) -> str:
    """The next line that it prints."""
    assert process.stdout
    return process.stdout.readline().strip()


def say(process: subprocess.Popen[str], words: str) -> None:
    """Write to what it reads."""
    assert process.stdin
    process.stdin.write(words)
    process.stdin.flush()


@pytest.mark.fault(
    what="another program takes the port of a gateway or of a replica between the preflight and the start",
    step="provision",
    on="local",
    seen="the deployment fails before it starts anything",
    ends="with the next deployment after that program has ended",
    reads="Port … of … on edge-1 is in use by another program: process … (…). End it, or give the service another port in "
    "function_services.",
)
def test_a_port_that_another_program_has_is_refused_with_its_holder(
    lab: TrialLab, project: Path, reads: Callable[[str], None]
) -> None:
    service = Service(lab, project)
    service.playbook(function_action="remove")
    for port in (GATEWAY, REPLICA):
        with inside(lab, "edge-1", LISTEN, lab.data_address(1), str(port)) as other:
            assert line(other) == "listening"
            refused = service.playbook()
            assert refused.returncode != 0
            reads(refused.stdout)
            assert f"Port {port} of {lab.data_address(1)}" in refused.stdout
            assert f"process {other.pid} " in refused.stdout
    assert service.deploy() > 0
    assert service.answers()


@pytest.mark.fault(
    what="another program takes the port of a replica while that starts again",
    step="measure",
    on="local",
    seen="repetitions fail with what that program answers; deploying names it at once",
    ends="when that program has ended: the supervisor tries to start the replica until then",
    reads="Port 32080 of … on edge-1 is in use by another program: process … (…).",
)
def test_a_port_that_is_taken_from_a_replica_is_refused_with_its_holder(
    service: Service, reads: Callable[[str], None]
) -> None:
    address = service.lab.data_address(1)
    with inside(service.lab, "edge-1", LISTEN, address, str(REPLICA)) as other:
        os.kill(service.pid("replica:replica-words"), signal.SIGKILL)
        assert line(other) == "listening"
        refused = service.playbook()
        assert refused.returncode != 0
        reads(refused.stdout)
    assert service.deploy() == 0
    assert service.answers()

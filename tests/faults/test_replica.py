"""Faults of one replica: a real `python -m app`, its kernels, its memory and its processes."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from processes import children, running
from replica import DEADLINE_S, Replica, eventually, send

from experiments.base_station.exchange import Way, fire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


MIB = 2**20


def request(texts: int = 60, **options: object) -> dict[str, Any]:
    """A small request to the classifier."""
    x = {str(number): f"word{number % 5} {'moon' if number % 2 else 'earth'}" for number in range(texts)}
    return {"x_dict": x, "y_dict": {key: "uv"[int(key) % 2] for key in x}, **options}


# With one kernel, which is compiled in a second or two; the project's own take twenty.
COMPILED_FUNCTION = """
from typing import NamedTuple
import msgspec, numba, numpy

class Request(msgspec.Struct):
    numbers: list[float]

class Outcome(NamedTuple):
    reply: dict
    phases_ms: dict

@numba.njit(cache=True)
def total(numbers):
    return numbers.sum()

def run(request, cancelled):
    return Outcome({"sum": total(numpy.array(request.numbers))}, {})

def warm_up():
    total(numpy.zeros(2))
"""


def searching(replica: int) -> set[int]:
    """The processes of the groups that a replica's children lead."""
    leaders = children(replica)
    return {pid for pid, process in running().items() if process.group in leaders}


@pytest.mark.fault(
    what="a request needs more memory than the replica may have",
    step="measure",
    on="loopback",
    seen="that request is refused and its repetition fails; the replica goes on",
    ends="with that request",
    reads="needs more memory than there is here",
)
def test_what_a_body_needs_beyond_the_memory_is_refused_and_the_replica_lives(reads: Callable[[str], None]) -> None:
    # As in a container with 1 GiB; the texts of one valid body would take three times that.
    with Replica("app.function", most_memory_bytes=1024 * MIB, max_body_bytes=64 * MIB) as replica:
        replica.warm()
        small = request()
        large = " ".join(f"{number:x}" for number in range(6_000_000))
        response = replica.client.post("/", content=json.dumps({**small, "x_dict": {**small["x_dict"], "0": large}}))
        assert response.status_code == 413, response.text
        reads(response.json()["detail"])
        assert replica.client.post("/", json=small).status_code == 200


@pytest.mark.fault(
    what="a replica is killed (SIGKILL) in a request with engine plain",
    step="measure",
    on="loopback",
    seen="the search and its workers end with it; the request's connection breaks and its repetition fails",
    ends="at once",
    reads="http://…: the connection broke (…)",
)
def test_a_plain_search_ends_with_a_replica_that_was_killed(reads: Callable[[str], None]) -> None:
    with Replica("app.function") as replica, ThreadPoolExecutor(1) as pool:
        replica.warm()
        idle = searching(replica.process.pid)  # the process for searches that may never end
        body = json.dumps(request(model="rf", repeats=100, engine="plain")).encode()
        way = Way(url=replica.url, host="function", congestion_control="cubic", timeout_s=DEADLINE_S)
        sent = pool.submit(fire, way, [body])
        eventually(lambda: len(searching(replica.process.pid) - idle) > 2, "the search and its workers")
        searches = searching(replica.process.pid)
        replica.process.kill()
        eventually(lambda: not searches & running().keys(), "the end of the search and its workers")
        (exchange,) = sent.result()
        reads(str(exchange.error))


@pytest.mark.fault(
    what="the compiled kernels are damaged, as after a power cut",
    step="provision",
    on="loopback",
    seen="the replica compiles them again and becomes ready",
    ends="with that compilation, some 20 s of a core",
    reads="The function could not be warmed up; trying again without the compiled kernels that were there",
)
def test_damaged_kernels_are_compiled_again(tmp_path: Path, reads: Callable[[str], None]) -> None:
    cache = tmp_path / "compiled"
    (tmp_path / "compiled_function.py").write_text(COMPILED_FUNCTION)

    def live() -> str:
        with Replica("compiled_function", path=tmp_path, variables={"NUMBA_CACHE_DIR": str(cache)}) as replica:
            eventually(lambda: "warming up." not in replica.client.get("/readyz").text, "the end of warming up")
            answered = send(replica, {"numbers": [1.0, 2.0, 4.0]})
            assert replica.client.get("/readyz").status_code == 200, "".join(replica.log)
            assert answered.json()["sum"] == 7
            return "".join(replica.log)

    assert "trying again" not in live()
    kernels = [path for path in cache.rglob("*") if path.is_file()]
    assert kernels
    for path in kernels:
        os.truncate(path, path.stat().st_size // 2)
    reads(live())
    assert "trying again" not in live()


@pytest.mark.long
@pytest.mark.fault(
    what="another process holds the lock of the compiled kernels and does not release it",
    step="provision",
    on="loopback",
    seen="the replica waits 180 s for it, then compiles without it and becomes ready",
    ends="after 180 s",
    reads="Compiling kernels though another process has locked … for 180 s; `lslocks` shows which",
)
def test_a_lock_that_is_never_released_does_not_keep_a_replica_from_starting(
    tmp_path: Path, reads: Callable[[str], None]
) -> None:
    handle = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with Replica(variables={"NUMBA_CACHE_DIR": str(tmp_path)}) as replica:
            assert replica.client.get("/readyz").status_code == 503
            eventually(lambda: replica.client.get("/readyz").status_code == 200, "readiness", 2 * DEADLINE_S)
            assert send(replica, {"text": "one two"}).json()["words"] == 2
        reads("".join(replica.log))
    finally:
        os.close(handle)


KERNELS = "/tmp/compiled"


@contextmanager
def little_shared_memory() -> Iterator[tuple[str, ...]]:
    """A command before another that shows it a full /dev/shm, and /tmp (with an image's kernels) and /var/tmp read-only."""
    mounts = (
        "mount -t tmpfs -o size=256k none /dev/shm && mount -t tmpfs none /tmp && mount -t tmpfs -o ro none /var/tmp"
        f" && mkdir {KERNELS} && head -c 200k /dev/zero > {KERNELS}/kernel.nbc && mount -o remount,ro /tmp"
        " && (head -c 1M /dev/zero > /dev/shm/filler || true) && echo mounted && read wait"
    )
    command = ["unshare", "--mount", "sh", "-c", mounts]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert holder.stdout
    try:
        if holder.stdout.readline() != "mounted\n":
            pytest.skip("no file system can be mounted here: that needs root")
        yield ("nsenter", "--mount", "--target", str(holder.pid))
    finally:
        holder.communicate("end\n", timeout=DEADLINE_S)


@pytest.mark.fault(
    what="/dev/shm, where a replica keeps its copy of the image's kernels, is full, then has room again",
    step="provision",
    on="loopback",
    seen="the replica copies them elsewhere, where another folder has room; else it ends, and Kubernetes starts it again",
    ends="when there is room",
    reads="python -m app: the compiled kernels of … (1 MiB) cannot be copied to /dev/shm (No space left on device), /tmp "
    "(Read-only file system), /var/tmp (Read-only file system): free some space there, or set TMPDIR to a folder with room",
)
def test_a_full_dev_shm_is_named_and_room_elsewhere_is_used(reads: Callable[[str], None]) -> None:
    variables = {"FUNCTION_COMPILED": KERNELS, "TMPDIR": "/dev/shm"}

    def answers(within: tuple[str, ...]) -> bool:
        with Replica(within=within, variables=variables) as replica:
            return send(replica, {"text": "one two"}).status_code == 200

    with little_shared_memory() as within:
        with pytest.raises(AssertionError) as ended, Replica(within=within, variables=variables):
            pass
        reads(str(ended.value))
        subprocess.run([*within, "mount", "-o", "remount,rw", "/var/tmp"], check=True)
        assert answers(within)
        subprocess.run([*within, "mount", "-o", "remount,ro", "/var/tmp"], check=True)
        subprocess.run([*within, "rm", "/dev/shm/filler"], check=True)
        assert answers(within)

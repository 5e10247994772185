"""What happens to a search whose client, or whose replica, goes away."""

from __future__ import annotations

import os
import random
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest
from processes import children, command, running
from replica import Replica, eventually, head
from small_request import texts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DRAWN = random.Random(1)
# Words that say nothing of the labels: libsvm would not end within hours.
ENDLESS: dict[str, Any] = {
    "x_dict": {str(n): " ".join(f"word{DRAWN.randrange(30)}" for _ in range(8)) for n in range(2000)},
    "y_dict": {str(n): DRAWN.choice("ab") for n in range(2000)},
    "model": "svc",
    "grid": {"C": [1e10], "kernel": ["linear"]},
}
SMALL = texts(40) | {"model": "svc"}


@pytest.fixture
def replica() -> Iterator[Replica]:
    with Replica("app.function") as served:
        served.warm()
        yield served


def searches_of(parent: int) -> list[int]:
    """The processes in which a replica searches."""
    return [pid for pid in children(parent) if b"app.search.apart" in command(pid)]


def cpu_ticks(process: int) -> int:
    """The processor time that a process has had, in clock ticks."""
    user, system = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    return int(user) + int(system)


def begin_endless(replica: Replica) -> tuple[socket.socket, int]:
    """Send the request and wait until its search works; returns the connection and the search's process."""
    (search,) = searches_of(replica.process.pid)
    idle = cpu_ticks(search)
    body = msgspec.json.encode(ENDLESS)
    client = socket.create_connection(("127.0.0.1", replica.port))
    client.sendall(head(len(body)) + body)
    # More than it takes to read and vectorise the texts.
    eventually(lambda: cpu_ticks(search) > idle + 500, "five seconds of a search")
    return client, search


@pytest.mark.long
@pytest.mark.fault(
    what="the client leaves during a search that would not end (svc, C = 1e10)",
    step="measure",
    on="loopback",
    seen="the search's process is ended with all its threads, and another one waits for the next request",
    ends="at once",
    reads=[],
)
def test_a_search_without_an_end_is_ended_when_its_client_leaves(replica: Replica) -> None:
    client, search = begin_endless(replica)
    client.close()
    eventually(lambda: search not in searches_of(replica.process.pid), "the end of the search", within_s=60)
    reply = httpx.post(replica.url, json=SMALL, timeout=60)
    assert reply.status_code == 200
    assert len(searches_of(replica.process.pid)) == 1


@pytest.mark.long
@pytest.mark.fault(
    what="the search of a replica is killed (kill -9, or by the kernel for lack of memory)",
    step="measure",
    on="loopback",
    seen="the request is refused with 413, and the replica serves the next one",
    ends="at once",
    reads="The request needs more memory than there is here; send less.",
)
def test_a_search_that_is_killed_is_a_refusal_and_the_replica_lives(
    replica: Replica, reads: Callable[[str], None]
) -> None:
    client, search = begin_endless(replica)
    with client:
        os.kill(search, signal.SIGKILL)
        client.settimeout(60)
        answer = ""
        while not answer.endswith("}"):
            answer += client.recv(65536).decode()
    assert answer.startswith("HTTP/1.1 413 ")
    reads(answer)
    assert httpx.post(replica.url, json=SMALL, timeout=60).status_code == 200


@pytest.mark.long
@pytest.mark.fault(
    what="a replica is killed (kill -9) during a search that would not end",
    step="measure",
    on="loopback",
    seen="the search ends with it",
    ends="at once",
    reads=[],
)
def test_a_search_ends_with_its_replica(replica: Replica) -> None:
    client, search = begin_endless(replica)
    with client:
        replica.process.kill()
        replica.process.wait()
        eventually(lambda: search not in running(), "the end of the search", within_s=60)

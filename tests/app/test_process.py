"""A real `python -m app` on the loopback: what only a process, a socket and a signal can show."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import socket
import statistics
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import zstandard
from replica import DEADLINE_S, Replica, connect, eventually, head, send

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.once

MIB = 2**20


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


def waiting_request(until: Path, text: str = "one two") -> dict[str, str]:
    return {"text": text, "does": "wait", "until": str(until)}


def occupy(replica: Replica, pool: ThreadPoolExecutor, until: Path) -> Future[httpx.Response]:
    """Start a request that runs until ``until`` exists."""
    first = pool.submit(send, replica, waiting_request(until))
    eventually(replica.running, "running the first request")
    return first


def answer(connection: socket.socket) -> tuple[int, str]:
    """Status and body of the answer on a raw connection that the server closes."""
    received = b""
    while piece := connection.recv(65536):
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode()


def test_health_figures_and_readiness_are_answered_while_a_request_runs(pool: ThreadPoolExecutor, tmp_path: Path):
    with Replica() as replica:
        first = occupy(replica, pool, tmp_path / "end")
        assert replica.client.get("/healthz").json() == {"status": "ok"}
        assert replica.client.get("/readyz").status_code == 200
        assert replica.figure("function_in_flight") == 1
        (tmp_path / "end").touch()
        assert first.result().json()["words"] == 2


def test_requests_run_one_after_the_other_in_the_order_they_came(pool: ThreadPoolExecutor, tmp_path: Path):
    ended: list[str] = []

    def watch(name: str) -> None:
        assert send(replica, waiting_request(tmp_path / name)).status_code == 200
        ended.append(name)

    with Replica() as replica:
        requests = [pool.submit(watch, "1")]
        eventually(replica.running, "running the first request")
        for count, name in enumerate("234", 1):
            requests.append(pool.submit(watch, name))
            eventually(lambda n=count: replica.figure("function_waiting") == n, f"{count} waiting")  # type: ignore[misc]
        (tmp_path / "3").touch()  # may end as soon as it runs; that it does not run before its turn is the point
        (tmp_path / "4").touch()
        assert not ended
        (tmp_path / "1").touch()
        requests[0].result()
        eventually(lambda: replica.figure("function_waiting") == 2 and replica.running(), "the second running")
        assert ended == ["1"]
        (tmp_path / "2").touch()
        for request in requests:
            request.result()
        assert sorted(ended[1:]) == ["2", "3", "4"]


def test_who_comes_when_the_queue_is_full_is_told_when_to_come_back(pool: ThreadPoolExecutor, tmp_path: Path):
    with Replica(queue_limit=1) as replica:
        first = occupy(replica, pool, tmp_path / "end")
        second = pool.submit(send, replica, {"text": "waits"})
        eventually(lambda: replica.figure("function_waiting") == 1, "the second waiting")
        third = send(replica, {"text": "too much"})
        assert third.status_code == 503
        assert int(third.headers["retry-after"]) >= 1
        assert third.json()["detail"].startswith("One request runs and 1 wait")
        (tmp_path / "end").touch()
        assert [first.result().status_code, second.result().status_code] == [200, 200]


def test_bodies_that_wait_stay_under_one_bound(pool: ThreadPoolExecutor, tmp_path: Path):
    with Replica(max_body_bytes=100_000, max_held_bytes=150_000) as replica:
        first = occupy(replica, pool, tmp_path / "end")
        second = pool.submit(send, replica, {"text": "x" * 90_000})
        eventually(lambda: replica.figure("function_held_bytes") > 90_000, "holding the second's body")
        third = send(replica, {"text": "x" * 90_000})
        assert third.status_code == 503
        (tmp_path / "end").touch()
        assert [first.result().status_code, second.result().status_code] == [200, 200]


def test_a_client_that_goes_away_ends_its_search(tmp_path: Path):
    with Replica() as replica:
        body = json.dumps(waiting_request(tmp_path / "never")).encode()
        with connect(replica) as connection:
            connection.sendall(head(len(body)) + body)
            eventually(replica.running, "running")
        eventually(lambda: not replica.running(), "the end of a search that waits for ever")
        assert replica.figure('function_requests_total{status="499"}') == 1
        assert send(replica, {"text": "next"}).status_code == 200


def test_a_client_that_goes_away_while_waiting_leaves_the_queue(pool: ThreadPoolExecutor, tmp_path: Path):
    with Replica() as replica:
        first = occupy(replica, pool, tmp_path / "end")
        body = json.dumps(waiting_request(tmp_path / "never")).encode()
        with connect(replica) as connection:
            connection.sendall(head(len(body)) + body)
            eventually(lambda: replica.figure("function_waiting") == 1, "waiting")
        eventually(lambda: replica.figure("function_waiting") == 0, "leaving the queue")
        assert not first.done()
        (tmp_path / "end").touch()
        assert first.result().status_code == 200


def test_sigterm_finishes_the_running_request_and_sends_the_others_elsewhere(pool: ThreadPoolExecutor, tmp_path: Path):
    with Replica() as replica:
        first = occupy(replica, pool, tmp_path / "end")
        second = pool.submit(send, replica, {"text": "waits"})
        eventually(lambda: replica.figure("function_waiting") == 1, "the second waiting")
        held_bytes = replica.figure("function_held_bytes")
        with connect(replica) as sender:
            sender.sendall(head(1000) + b"{")
            eventually(lambda: replica.figure("function_held_bytes") == held_bytes + 1, "the third sending")
            replica.process.send_signal(signal.SIGTERM)
            assert second.result().status_code == 503
            assert int(second.result().headers["retry-after"]) >= 1
            assert answer(sender)[0] == 503
        assert replica.process.poll() is None
        with pytest.raises(ConnectionRefusedError):
            connect(replica)
        (tmp_path / "end").touch()
        assert first.result().json()["words"] == 2
        assert replica.process.wait(DEADLINE_S) in (0, -signal.SIGTERM)


def test_a_sender_that_falls_silent_is_told_and_dropped():
    with Replica(read_timeout_s=2) as replica, connect(replica) as connection:
        connection.sendall(head(1000) + b'{"text"')
        status, body = answer(connection)
        assert status == 408
        assert "did not arrive in time" in json.loads(body)["detail"]
        assert send(replica, {"text": "next"}).status_code == 200


def test_a_connection_that_never_asks_is_closed():
    with Replica(read_timeout_s=2) as replica, connect(replica) as silent, connect(replica) as slow:
        slow.sendall(b"POST / HTTP/1.1\r\nHost: fun")
        assert (silent.recv(1), slow.recv(1)) == (b"", b"")


@pytest.mark.parametrize("at_once", [False, True])
def test_of_more_connections_than_are_meant_those_go_that_have_been_idle_longest(
    pool: ThreadPoolExecutor, tmp_path: Path, *, at_once: bool
):
    # Nobody is closed for asking nothing.
    with Replica(read_timeout_s=2 * DEADLINE_S) as replica, ExitStack() as stack:
        served = occupy(replica, pool, tmp_path / "end")
        if at_once:  # the kernel takes them meanwhile
            replica.process.send_signal(signal.SIGSTOP)
        held = [stack.enter_context(connect(replica)) for _ in range(300)]
        replica.process.send_signal(signal.SIGCONT)
        assert httpx.get(f"{replica.url}/healthz").status_code == 200, "health is asked on a new connection"
        assert [dropped(connection) for connection in held[:40]] == [True] * 40
        held[-1].sendall(b"GET /healthz HTTP/1.1\r\nHost: function\r\n\r\n")
        assert held[-1].recv(15) == b"HTTP/1.1 200 OK"
        (tmp_path / "end").touch()
        assert served.result().status_code == 200, "what is served is not closed"


def test_where_every_connection_is_served_another_one_is_not_taken(pool: ThreadPoolExecutor, tmp_path: Path):
    with Replica(queue_limit=300) as replica, ExitStack() as stack:
        sending = [stack.enter_context(connect(replica)) for _ in range(256)]
        for connection in sending:
            connection.sendall(head(1000) + b"{")
        # Those before may not have been taken yet.
        eventually(lambda: dropped(stack.enter_context(connect(replica))), "a connection that is not taken")


def test_only_the_gateway_is_answered_where_it_is_named():
    with Replica(clients="127.0.0.2, ::1") as replica:
        others = [
            connect(replica),
            socket.create_connection(("127.0.0.1", replica.port), source_address=("127.0.0.3", 0)),
        ]
        for other in others:
            with other:
                assert dropped(other)
        with socket.create_connection(("127.0.0.1", replica.port), source_address=("127.0.0.2", 0)) as gateway:
            gateway.sendall(b"GET /healthz HTTP/1.1\r\nHost: function\r\nConnection: close\r\n\r\n")
            assert answer(gateway) == (200, '{"status":"ok"}')


def test_slow_senders_neither_fill_the_queue_nor_hold_up_the_others():
    with Replica() as replica, ExitStack() as stack:
        slow = [stack.enter_context(connect(replica)) for _ in range(40)]
        for connection in slow:
            connection.sendall(head(1000) + b"{")
        eventually(lambda: replica.figure("function_held_bytes") == 40, "forty bodies being sent")
        assert send(replica, {"text": "one two"}).json()["words"] == 2


def test_an_answer_reaches_a_client_that_has_closed_its_side(tmp_path: Path):
    with Replica() as replica, connect(replica) as connection:
        body = json.dumps(waiting_request(tmp_path / "end")).encode()
        connection.sendall(head(len(body)) + body)
        connection.shutdown(socket.SHUT_WR)
        eventually(replica.running, "running")
        interim = b"HTTP/1.1 102 Processing\r\n\r\n"
        assert connection.recv(len(interim), socket.MSG_WAITALL) == interim
        (tmp_path / "end").touch()
        received = b"".join(iter(lambda: connection.recv(65536), b"")).replace(interim, b"")
        assert received.startswith(b"HTTP/1.1 200 OK")
        assert b'"words":2' in received


def test_a_request_with_the_whole_address_is_served():
    with Replica() as replica, connect(replica) as connection:
        body = b'{"text": "one two"}'
        text = head(len(body), "Connection: close").decode().replace("POST / ", "POST http://elsewhere:80/ ")
        connection.sendall(text.encode() + body)
        status, answered = answer(connection)
        assert (status, json.loads(answered)["words"]) == (200, 2)


def test_ten_thousand_folds_take_no_more_memory_than_ten(pool: ThreadPoolExecutor):
    texts, options = 20_000, {"model": "mnb", "grid": {"alpha": [1]}, "folds": 100, "repeats": 100}
    request = {
        "x_dict": {str(number): f"word{number % 50} thing{number % 3}" for number in range(texts)},
        "y_dict": {str(number): "uv"[number % 2] for number in range(texts)},
    }
    with Replica("app.function") as replica:
        replica.warm()
        few = replica.client.post("/", json={**request, **options, "folds": 10, "repeats": 1})
        assert few.status_code == 200
        before = peak_bytes(replica)
        body = json.dumps({**request, **options}).encode()
        with connect(replica) as connection:
            connection.sendall(head(len(body)) + body)
            eventually(replica.running, "running")
            used_s = cpu_s(replica)
            # A second of work is some hundred of ten thousand folds; their rows together are 1.6 GB.
            eventually(lambda: cpu_s(replica) > used_s + 2, "two seconds of work")
        eventually(lambda: not replica.running(), "the end of a search that nobody waits for")
        assert peak_bytes(replica) - before < 200 * MIB


def cpu_s(replica: Replica) -> float:
    fields = Path(f"/proc/{replica.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def dropped(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_body_over_the_limit_is_refused_while_it_streams_in():
    with Replica(max_body_bytes=MIB) as replica, connect(replica) as connection:
        connection.sendall(head(None))
        piece = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        for _ in range(24):  # 1.5 MiB of a body that never ends
            connection.sendall(piece)
        status, body = answer(connection)
        assert status == 413
        assert "more than 1048576 bytes" in json.loads(body)["detail"]


def peak_bytes(replica: Replica) -> int:
    status = Path(f"/proc/{replica.process.pid}/status").read_text()
    (peak_kib,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return int(peak_kib) * 1024


def test_no_body_takes_more_than_ten_times_the_limit():
    limit = 16 * MIB
    label = '"":"",'
    worst = {
        "one wide text": '{"x_dict":{"a":"' + "x" * (limit - 100) + '\U0001f600"}}',
        "tiny texts": '{"x_dict":{' + ",".join(f'"{i:x}":""' for i in range(limit // 16 // 6)) + '},"y_dict":{}}',
        "one key over and over": '{"x_dict":{' + label * (limit // len(label) - 10) + '"":""}}',
        "numbers": '{"grid":{"C":[' + "0.1," * (limit // 16 - 100) + "1]}}",
        "lists": '{"grid":{"C":[' + "[]," * (limit // 16 - 100) + "[]]}}",
        "brackets": '{"grid":{"C":' + "[" * (limit - 1000),
    }
    with Replica("app.function", max_body_bytes=limit) as replica:
        replica.warm()
        before = peak_bytes(replica)
        for name, body in worst.items():
            response = replica.client.post("/", content=body.encode())
            assert response.status_code in (400, 413, 422), name
            grown_bytes = peak_bytes(replica) - before
            print(f"{name}: {response.status_code}, {grown_bytes / limit:.1f} times the limit")
            assert grown_bytes < 10 * limit, name
        for encoding, compress in (("gzip", gzip.compress), ("zstd", zstandard.compress)):
            bomb = compress(b" " * (16 * limit))
            assert len(bomb) < limit
            response = replica.client.post("/", content=bomb, headers={"Content-Encoding": encoding})
            assert response.status_code == 413
            assert "when decompressed" in response.json()["detail"]
            grown_bytes = peak_bytes(replica) - before
            print(f"a bomb of {encoding}: {grown_bytes / limit:.1f} times the limit")
            assert grown_bytes < 10 * limit


def test_nothing_tells_of_the_server_and_nothing_is_logged_of_a_request():
    with Replica() as replica:
        response = replica.client.post("/", json={"text": "hush"})
        assert "server" not in response.headers
        replica.process.send_signal(signal.SIGTERM)
        replica.process.wait(DEADLINE_S)
        # a number by itself: the process's own may have 200 in it
        assert not [line for line in replica.log if re.search(r"POST|\b200\b|hush", line)]


def test_it_listens_where_it_is_told_and_nowhere_else():
    with Replica() as replica, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", replica.port), timeout=DEADLINE_S)


def test_answers_do_not_wait_for_the_acknowledgement_of_their_head():
    with Replica() as replica:
        kept, fresh = [], []
        for _ in range(30):
            started = time.perf_counter()
            replica.client.get("/healthz")
            kept.append(time.perf_counter() - started)
            # The control: the peer of a new connection acknowledges at once, whatever the server waits for.
            started = time.perf_counter()
            with connect(replica) as connection:
                connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: function\r\nConnection: close\r\n\r\n")
                while connection.recv(4096):
                    pass
            fresh.append(time.perf_counter() - started)
        # Nagle and a delayed acknowledgement add 40 ms to an answer on a connection that is kept.
        assert statistics.median(kept) < statistics.median(fresh) + 0.02


def test_the_documented_function_is_served_by_its_name(root: Path, tmp_path: Path):
    page = (root / "docs" / "your-own-function.md").read_text()
    (source,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len([line for line in source.splitlines() if line]) <= 25
    (tmp_path / "word_count.py").write_text(source)
    with Replica("word_count", path=tmp_path) as replica:
        replica.warm()
        reply = replica.client.post("/", json={"texts": ["one two two"]}).json()
        assert (reply["words"], reply["replica"]) == ({"two": 2, "one": 1}, "edge-1-a")
        assert replica.client.post("/", json={"texts": []}).status_code == 422
        schemas = replica.client.get("/openapi.json").json()["components"]["schemas"]
        assert "most" in schemas["Request"]["properties"]


def test_a_body_that_the_memory_does_not_hold_is_refused_and_the_next_one_served() -> None:
    with Replica(
        most_memory_bytes=200 * MIB, max_body_bytes=400 * MIB, variables={"OPENBLAS_NUM_THREADS": "1"}
    ) as replica:
        large = json.dumps({"text": "a" * (300 * MIB)}).encode()
        response = replica.client.post("/", content=large, headers={"Content-Type": "application/json"})
        assert (response.status_code, response.json()["detail"]) == (
            413,
            "The body needs more memory than there is here; send less.",
        )
        assert send(replica, {"text": "one two"}).json()["words"] == 2

"""A real `python -m app` on the loopback: what only a process, a socket and a signal can show."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import statistics
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from replica import DEADLINE_S, Replica, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 2**20


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


def waiting_request(until: Path, text: str = "one two") -> dict[str, str]:
    return {"text": text, "does": "wait", "until": str(until)}


def send(replica: Replica, request: dict[str, Any]) -> httpx.Response:
    return httpx.post(replica.url, json=request, timeout=DEADLINE_S)


def occupy(replica: Replica, pool: ThreadPoolExecutor, until: Path) -> Future[httpx.Response]:
    """Start a request that runs until ``until`` exists."""
    first = pool.submit(send, replica, waiting_request(until))
    eventually(replica.running, "running the first request")
    return first


def connect(replica: Replica) -> socket.socket:
    return socket.create_connection(("127.0.0.1", replica.port), timeout=DEADLINE_S)


def answer(connection: socket.socket) -> tuple[int, str]:
    """Status and body of the answer on a raw connection that the server closes."""
    received = b""
    while piece := connection.recv(65536):
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode()


def head(length: int | None, *more: str) -> bytes:
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    return "\r\n".join(("POST / HTTP/1.1", "Host: function", framing, *more, "", "")).encode()


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
            eventually(lambda n=count: replica.figure("function_waiting") == n, f"{count} waiting")
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


def test_a_client_that_goes_away_ends_its_search_within_a_second(tmp_path: Path):
    with Replica() as replica:
        body = json.dumps(waiting_request(tmp_path / "never")).encode()
        with connect(replica) as connection:
            connection.sendall(head(len(body)) + body)
            eventually(replica.running, "running")
        eventually(lambda: not replica.running(), "the end of the search", within_s=1.0)
        assert replica.figure('function_requests_total{status="499"}') == 1
        assert send(replica, {"text": "next"}).status_code == 200


def test_a_client_that_goes_away_while_waiting_leaves_the_queue(pool: ThreadPoolExecutor, tmp_path: Path):
    with Replica() as replica:
        first = occupy(replica, pool, tmp_path / "end")
        body = json.dumps(waiting_request(tmp_path / "never")).encode()
        with connect(replica) as connection:
            connection.sendall(head(len(body)) + body)
            eventually(lambda: replica.figure("function_waiting") == 1, "waiting")
        eventually(lambda: replica.figure("function_waiting") == 0, "leaving the queue", within_s=1.0)
        assert not first.done()
        (tmp_path / "end").touch()
        assert first.result().status_code == 200


def test_sigterm_finishes_the_running_request_and_sends_the_others_elsewhere(pool: ThreadPoolExecutor, tmp_path: Path):
    with Replica() as replica:
        first = occupy(replica, pool, tmp_path / "end")
        second = pool.submit(send, replica, {"text": "waits"})
        eventually(lambda: replica.figure("function_waiting") == 1, "the second waiting")
        with connect(replica) as sender:
            sender.sendall(head(1000) + b"{")
            eventually(lambda: replica.figure("function_waiting") == 2, "the third sending")
            replica.process.send_signal(signal.SIGTERM)
            assert second.result().status_code == 503
            assert answer(sender)[0] == 503
        assert replica.process.poll() is None
        with pytest.raises(ConnectionRefusedError):
            connect(replica)
        (tmp_path / "end").touch()
        assert first.result().json()["words"] == 2
        assert replica.process.wait(5) in (0, -signal.SIGTERM)


def test_a_sender_that_falls_silent_is_told_and_dropped():
    with Replica(read_timeout_s=0.2) as replica, connect(replica) as connection:
        connection.sendall(head(1000) + b'{"text"')
        status, body = answer(connection)
        assert status == 408
        assert "did not arrive in time" in json.loads(body)["detail"]
        assert send(replica, {"text": "next"}).status_code == 200


def test_a_connection_that_never_asks_is_closed():
    with Replica(read_timeout_s=0.2) as replica, connect(replica) as silent, connect(replica) as slow:
        slow.sendall(b"POST / HTTP/1.1\r\nHost: fun")
        assert (silent.recv(1), slow.recv(1)) == (b"", b"")


def test_more_connections_than_are_meant_are_not_taken_but_those_that_are_there_are_served():
    with Replica() as replica:
        replica.client.get("/healthz")
        held = [connect(replica) for _ in range(300)]
        try:
            assert replica.client.get("/healthz").status_code == 200
            assert [dropped(connection) for connection in held[-40:]] == [True] * 40
        finally:
            for connection in held:
                connection.close()


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


def test_a_length_over_the_limit_is_refused_before_a_byte_is_sent():
    with Replica(max_body_bytes=MIB) as replica, connect(replica) as connection:
        connection.sendall(head(2 * MIB, "Expect: 100-continue"))
        assert connection.recv(17) == b"HTTP/1.1 413 Requ"[:17]


def test_what_is_no_http_is_refused_in_one_sentence():
    with Replica() as replica, connect(replica) as connection:
        connection.sendall(b"what is this?\r\n\r\n")
        assert answer(connection) == (400, '{"detail":"This is no valid HTTP/1.1 request."}')


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


def test_nothing_tells_of_the_server_and_nothing_is_logged_of_a_request():
    with Replica() as replica:
        response = replica.client.post("/", json={"text": "hush"})
        assert "server" not in response.headers
        replica.process.send_signal(signal.SIGTERM)
        replica.process.wait(DEADLINE_S)
        assert not [line for line in replica.log if "POST" in line or "200" in line]


def test_it_listens_where_it_is_told_and_nowhere_else():
    with Replica() as replica, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", replica.port), timeout=DEADLINE_S)


def test_answers_do_not_wait_for_the_acknowledgement_of_their_head():
    with Replica() as replica:
        durations = []
        for _ in range(30):
            started = time.perf_counter()
            replica.client.get("/healthz")
            durations.append(time.perf_counter() - started)
        assert statistics.median(durations) < 0.03  # Nagle and a delayed acknowledgement make it 44 ms


@pytest.fixture(scope="module")
def classifier() -> Iterator[Replica]:
    with Replica("app.function") as replica:
        replica.warm()
        yield replica


def grown(news: Path, times: int) -> dict[str, Any]:
    """The peer's example, ``times`` over, no text like another."""
    example = json.loads(news.read_text())
    return {
        "x_dict": {f"{i}-{key}": f"{text} copy{i}" for i in range(times) for key, text in example["x_dict"].items()},
        "y_dict": {f"{i}-{key}": label for i in range(times) for key, label in example["y_dict"].items()},
        "model": "pac",
    }


def test_the_classifier_becomes_ready(classifier: Replica):
    assert classifier.client.get("/readyz").json() == {"status": "ready"}


def test_health_is_answered_at_once_while_a_classifier_trains(
    classifier: Replica, pool: ThreadPoolExecutor, news: Path
):
    training = pool.submit(send, classifier, grown(news, 8) | {"repeats": 10})
    eventually(classifier.running, "training")
    durations = []
    while not training.done():
        started = time.perf_counter()
        assert classifier.client.get("/healthz").status_code == 200
        durations.append(time.perf_counter() - started)
    assert training.result().status_code == 200, training.result().text
    assert len(durations) >= 20
    slowest_s = statistics.quantiles(durations, n=100)[98]
    print(f"{len(durations)} answers, median {statistics.median(durations) * 1e3:.1f} ms, p99 {slowest_s * 1e3:.1f} ms")
    assert slowest_s < 0.25


def processor_s(replica: Replica) -> float:
    """Processor time of the replica's own process, in seconds."""
    fields = Path(f"/proc/{replica.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def children(replica: Replica) -> str:
    tasks = Path(f"/proc/{replica.process.pid}/task").glob("*/children")
    return "".join(task.read_text() for task in tasks)


@pytest.mark.parametrize("engine", ["fast", "plain"])
def test_a_training_whose_client_goes_away_ends_within_a_second(classifier: Replica, news: Path, engine: str):
    body = json.dumps(grown(news, 8) | {"repeats": 100, "engine": engine}).encode()
    started_s = processor_s(classifier)
    with connect(classifier) as connection:
        connection.sendall(head(len(body)) + body)
        eventually(classifier.running, "running")
        if engine == "fast":
            eventually(lambda: processor_s(classifier) > started_s + 1, "a second of training")
        else:
            eventually(lambda: bool(children(classifier)), "a process that trains")
    eventually(lambda: not classifier.running(), "the end of the training", within_s=1.0)
    assert not children(classifier)


def test_parsing_twelve_megabytes_is_less_than_a_tenth_of_the_response_time(classifier: Replica, news: Path):
    body = json.dumps(grown(news, 8)).encode()
    assert len(body) > 12_000_000
    started = time.perf_counter()
    response = classifier.client.post("/", content=body)
    response_ms = (time.perf_counter() - started) * 1e3
    phases = {name: float(ms) for name, ms in re.findall(r"(\w+);dur=([\d.]+)", response.headers["server-timing"])}
    print(f"{len(body)} bytes, response {response_ms:.0f} ms, {phases}")
    assert phases["parse"] < response_ms / 10


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

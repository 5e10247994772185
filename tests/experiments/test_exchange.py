"""Requests on real connections: sent together, timed stage by stage, and a sentence for each way to fail."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import zlib
from contextlib import suppress
from pathlib import Path

import pytest
from loopback import Reply, Request, answer, function

from experiments.base_station.connecting import undisturbed
from experiments.base_station.exchange import REPLY_BYTES, Exchange, Way, fire

# Without root only some of those that the kernel has may be asked for.
LISTED = "available" if os.geteuid() == 0 else "allowed"
AVAILABLE = Path(f"/proc/sys/net/ipv4/tcp_{LISTED}_congestion_control").read_text(encoding="ascii").split()
BODY = json.dumps({"x_dict": {"0": "text"}}).encode()


def send(
    url: str, count: int = 1, *, body: bytes = BODY, timeout_s: float = 20, congestion_control: str = AVAILABLE[0]
) -> list[Exchange]:
    way = Way(url=url, host="edge.faasbed.local", congestion_control=congestion_control, timeout_s=timeout_s)
    return fire(way, [body] * count)


def failure(url: str, **how: float | str | bytes) -> str:
    """Return the sentence of a request that fails."""
    (exchange,) = send(url, **how)  # type: ignore[arg-type]
    assert exchange.error is not None
    assert exchange.error.startswith(url)
    assert "\n" not in exchange.error
    return exchange.error.removeprefix(url)


def test_who_starts_requests_gives_way_to_nobody_where_root_and_is_as_before_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = os.sched_getscheduler(0), os.sched_getparam(0).sched_priority
    with undisturbed():
        if os.geteuid() == 0:
            assert os.sched_getscheduler(0) == os.SCHED_FIFO
    assert (os.sched_getscheduler(0), os.sched_getparam(0).sched_priority) == before

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    with undisturbed():
        assert os.sched_getscheduler(0) == before[0]


def test_requests_are_under_way_together_and_their_replies_keep_their_order() -> None:
    together = threading.Barrier(4)

    def echo(number: int, request: Request) -> Reply:
        together.wait(20)  # broken unless all four are here at once
        return Reply(json.dumps(request.order["number"]).encode())

    with function(echo) as listening:
        bodies = [json.dumps({"number": number}).encode() for number in range(4)]
        exchanges = fire(
            Way(url=listening.url, host="edge.faasbed.local", congestion_control=AVAILABLE[0], timeout_s=20), bodies
        )
        assert [json.loads(exchange.body) for exchange in exchanges] == [0, 1, 2, 3]
        assert {request.host for request in listening.requests} == {"edge.faasbed.local"}
    first_end = min(exchange.last_byte_ns or 0 for exchange in exchanges)
    assert all((exchange.sent_ns or 0) < first_end for exchange in exchanges)


def test_the_stages_of_a_request_have_their_times() -> None:
    with function() as listening:
        before = time.monotonic_ns()
        (exchange,) = send(listening.url, body=json.dumps({"text": "word " * 400_000}).encode())
        after = time.monotonic_ns()
    assert exchange.error is None
    assert exchange.status == 200
    assert exchange.headers["server-timing"] == "parse;dur=1.5, search;dur=20"
    times = [
        *(exchange.sent_ns, exchange.connected_ns, exchange.uploaded_ns),
        *(exchange.first_byte_ns, exchange.last_byte_ns),
    ]
    assert [before, *times, after] == sorted(time or 0 for time in [before, *times, after])
    assert (exchange.connected_ns or 0) < listening.requests[0].received_ns < (exchange.first_byte_ns or 0)


def test_an_upload_has_ended_when_the_peer_has_it_not_when_the_kernel_took_it() -> None:
    body = b"x" * 200_000  # less than this end's buffer takes, more than the other end's does
    read = threading.Event()
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        started: list[int] = []

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                read.wait(20)
                started.append(time.monotonic_ns())
                left = len(body)
                while left > 0:
                    left -= len(connection.recv(65_536).rpartition(b"\r\n\r\n")[2])
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

        peer = threading.Thread(target=serve)
        peer.start()
        opened = threading.Timer(0.3, read.set)
        opened.start()
        (exchange,) = send(f"http://127.0.0.1:{listener.getsockname()[1]}/", body=body)
        peer.join()
        opened.join()
    assert exchange.error is None
    assert (exchange.uploaded_ns or 0) > started[0]


@pytest.mark.parametrize("name", AVAILABLE)
def test_congestion_control_is_set_and_read_on_the_connection_itself(name: str) -> None:
    with function() as listening:
        assert [exchange.congestion_control for exchange in send(listening.url, 2, congestion_control=name)] == [
            name
        ] * 2


def test_a_congestion_control_that_this_kernel_lacks_is_named() -> None:
    with function() as listening:
        message = failure(listening.url, congestion_control="nosuch")
    assert "this kernel has no TCP congestion control nosuch" in message


def test_a_port_where_nobody_listens_is_a_sentence() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # nobody else gets the port, and nobody listens
        assert "cannot be reached: " in failure(f"http://127.0.0.1:{held.getsockname()[1]}/")


def test_a_connection_that_never_stands_is_called_that_also_where_the_time_is_up_for_the_whole_exchange() -> None:
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)  # one connection waits to be accepted; what follows gets no answer
        for waiting in (first, second):
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        message = failure(f"http://127.0.0.1:{full.getsockname()[1]}/", timeout_s=0.5)
    assert message == " cannot be reached: timed out"


def test_a_reply_that_does_not_come_is_a_sentence_and_keeps_the_times_so_far() -> None:
    with function() as listening:
        listening.hold_from(0)
        (exchange,) = send(listening.url, timeout_s=0.3)
    assert exchange.error == f"{listening.url} did not answer in time (0.3 s)"
    assert exchange.uploaded_ns is not None
    assert exchange.first_byte_ns is exchange.last_byte_ns is exchange.status is None


@pytest.mark.timeout(60)
@pytest.mark.parametrize("is_packed", [False, True])
def test_a_reply_without_end_is_read_to_a_limit_only(is_packed: bool) -> None:
    packed = zlib.compressobj(wbits=31)
    zeros = bytes(1 << 20)

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):  # the client leaves
            connection.recv(65_536)
            encoding = b"Content-Encoding: gzip\r\n" if is_packed else b""
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + encoding + b"\r\n")
            for _ in range(4 * REPLY_BYTES // len(zeros)):
                chunk = packed.compress(zeros) if is_packed else zeros
                connection.sendall(b"%x\r\n%s\r\n" % (len(chunk), chunk) if chunk else b"")

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        peer = threading.Thread(target=serve, args=(listener,))
        peer.start()
        (exchange,) = send(f"http://127.0.0.1:{listener.getsockname()[1]}/", timeout_s=50)
        peer.join()
    assert "answered with more than 64 MiB: " in str(exchange.error)
    assert REPLY_BYTES < len(exchange.body) < 2 * REPLY_BYTES


@pytest.mark.timeout(20)
@pytest.mark.parametrize("size", [300_000, 20_000_000])
def test_a_peer_that_does_not_read_is_waited_for_no_longer_than_any_other(size: int) -> None:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        message = failure(f"http://127.0.0.1:{listener.getsockname()[1]}/", body=b"x" * size, timeout_s=0.3)
    assert message == " did not answer in time (0.3 s)"


@pytest.mark.timeout(60)
def test_the_time_out_is_a_deadline_for_the_whole_exchange() -> None:
    """A peer that sends a byte now and then, each well within the time-out, is not waited for beyond it."""
    ended = threading.Event()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def drip() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                while not ended.wait(0.05):
                    connection.sendall(b"x")

        peer = threading.Thread(target=drip)
        peer.start()
        try:
            message = failure(f"http://127.0.0.1:{listener.getsockname()[1]}/", timeout_s=0.5)
        finally:
            ended.set()
            peer.join()
    assert message == " did not answer in time (0.5 s)"


def test_another_status_is_a_sentence_with_the_beginning_of_what_was_said() -> None:
    page = b"<html>\n  <p>no healthy\n  upstream</p>\n" + b"x" * 1000
    with function(lambda *_: Reply(page, status=503)) as listening:
        message = failure(listening.url)
    assert message.startswith(" answered 503: <html> <p>no healthy upstream</p> xxx")
    assert len(message) < 300


def test_a_connection_that_breaks_in_the_middle_of_a_reply_is_a_sentence() -> None:
    with function(lambda *_: Reply(b"x" * 1000, broken=True)) as listening:
        assert ": the connection broke (RemoteProtocolError: " in failure(listening.url)


def test_a_failure_of_one_request_leaves_the_others_alone() -> None:
    def respond(number: int, request: Request) -> Reply:
        return Reply(b"busy", status=503) if number == 1 else answer(number, request)

    with function(respond) as listening:
        exchanges = send(listening.url, 3)
    assert sorted(exchange.status or 0 for exchange in exchanges) == [200, 200, 503]
    assert sum(exchange.error is None for exchange in exchanges) == 2


def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with function() as listening:
        assert send(listening.url)[0].error is None

from __future__ import annotations

import asyncio
import gzip
import random
import time
import tracemalloc
import zlib
from typing import TYPE_CHECKING

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Cancelled
from app.serving.body import Body, check_headers, decompress, read_body
from app.serving.client import Client, ClientGoneError
from app.serving.refusal import Refusal

if TYPE_CHECKING:
    from starlette.types import Message, Receive

LIMIT = 1_000_000


def sender(*pieces: bytes, ends: bool = True) -> Receive:
    """What ASGI tells of a client that sends these pieces, and then ends, or falls silent."""
    messages: list[Message] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    if ends:
        messages.append({"type": "http.request", "body": b"", "more_body": False})
    queue = iter(messages)

    async def receive() -> Message:
        for message in queue:
            return message
        await asyncio.Event().wait()
        raise AssertionError

    return receive


def read(receive: Receive, *, largest: int = LIMIT, timeout_s: float = 600.0, most_held: int = LIMIT) -> Body:
    held = 0

    def hold(size: int) -> None:
        nonlocal held
        held += size
        if held > most_held:
            raise Refusal(503, "full")

    return asyncio.run(read_body(Client(receive), "identity", largest=largest, timeout_s=timeout_s, hold=hold))


def test_a_body_is_its_pieces_in_order():
    assert read(sender(b"one ", b"", b"two ", b"three")).content == b"one two three"


def test_a_body_of_exactly_the_limit_is_read():
    assert len(read(sender(b"x" * 600, b"x" * 400), largest=1000).content) == 1000


def test_a_body_over_the_limit_is_refused_at_the_piece_that_passes_it():
    with pytest.raises(Refusal) as refusal:
        read(sender(b"x" * 600, b"x" * 401, b"never read", ends=False), largest=1000)
    assert refusal.value.status == 413


def test_what_cannot_be_held_is_refused():
    with pytest.raises(Refusal) as refusal:
        read(sender(b"x" * 600, b"x" * 600, ends=False), most_held=1000)
    assert refusal.value.status == 503


def test_a_sender_that_falls_silent_is_given_up():
    with pytest.raises(Refusal) as refusal:
        read(sender(b"some", ends=False), timeout_s=0.05)
    assert refusal.value.status == 408


def test_a_sender_that_dribbles_is_given_up_after_ten_times_the_timeout(monkeypatch: pytest.MonkeyPatch):
    pieces = 0

    async def dribble() -> Message:
        nonlocal pieces
        pieces += 1
        loop = asyncio.get_running_loop()
        now = loop.time()
        monkeypatch.setattr(loop, "time", lambda: now + 45)  # the client's pace
        await asyncio.sleep(0)
        return {"type": "http.request", "body": b"x", "more_body": True}

    with pytest.raises(Refusal) as refusal:
        read(dribble, timeout_s=60)
    assert refusal.value.status == 408
    assert 600 / 45 < pieces < 600 / 45 + 2


def test_a_client_that_goes_away_while_sending_is_noticed():
    async def leave() -> Message:
        return {"type": "http.disconnect"}

    with pytest.raises(ClientGoneError):
        read(leave)


@pytest.mark.parametrize(
    "content_type",
    ["", "application/json", "application/json; charset=utf-8", 'application/json;charset="UTF-8"',
     "application/problem+json", "application/x-www-form-urlencoded"],
)  # fmt: skip
def test_json_is_taken_under_its_name_without_one_and_under_curls_default(content_type: str):
    assert check_headers({"content-type": content_type}, LIMIT) == "identity"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "multipart/form-data; boundary=x"}, 415),
        ({"content-type": "text/csv"}, 415),
        ({"content-type": "application/json; charset=latin-1"}, 415),
        ({"content-encoding": "br"}, 415),
        ({"content-encoding": "gzip, zstd"}, 415),
        ({"content-length": str(LIMIT + 1)}, 413),
    ],
)
def test_headers_alone_are_enough_to_refuse(headers: dict[str, str], status: int):
    with pytest.raises(Refusal) as refusal:
        check_headers(headers, LIMIT)
    assert refusal.value.status == status


def packed(content: bytes, encoding: str) -> bytes:
    return gzip.compress(content) if encoding == "gzip" else zstandard.compress(content)


def plain(content: bytes, encoding: str, largest: int = LIMIT) -> bytes:
    return bytes(decompress(Body(bytearray(content), encoding, 0.0), largest))


@given(st.binary(max_size=3000), st.sampled_from(["gzip", "zstd"]), st.integers(1, 3))
def test_what_was_compressed_comes_back(content: bytes, encoding: str, times: int):
    assert plain(packed(content, encoding) * times, encoding) == content * times


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_many_pieces_of_input_and_output_come_back(encoding: str):
    content = random.Random(1).randbytes(900_000) + b"x" * 90_000
    assert plain(packed(content, encoding), encoding) == content


def test_members_of_gzip_cost_what_they_are_and_not_the_square_of_their_number():
    empty = gzip.compress(b"")
    few, many = (empty * count for count in (5_000, 40_000))
    # Of the two, in one run: eight times as much, where the square is 64 times as much.
    cost = {}
    for name, content in (("few", few), ("many", many)):
        started = time.process_time()
        assert plain(content, "gzip") == b""
        cost[name] = time.process_time() - started
    assert cost["many"] < 20 * cost["few"], cost


def test_unpacking_ends_when_nobody_waits_for_it():
    with pytest.raises(Cancelled):
        decompress(Body(bytearray(gzip.compress(b"{}")), "gzip", 0.0), LIMIT, lambda: True)
    with pytest.raises(Cancelled):
        decompress(Body(bytearray(zstandard.compress(b"{}")), "zstd", 0.0), LIMIT, lambda: True)


def test_zeros_behind_a_gzip_body_are_taken_as_gzip_takes_them():
    assert plain(gzip.compress(b"{}") + bytes(1000), "gzip") == b"{}"
    for rest in (bytes(1000) + b"x", b"x" + bytes(1000)):
        with pytest.raises(Refusal):
            plain(gzip.compress(b"{}") + rest, "gzip")


def test_members_of_gzip_may_end_anywhere_in_a_piece():
    one, two = random.Random(1).randbytes(300_000), random.Random(2).randbytes(500_000)
    assert plain(gzip.compress(one) + gzip.compress(two) + gzip.compress(b"end"), "gzip") == one + two + b"end"


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_bomb_is_refused_without_the_memory_it_asks_for(encoding: str):
    bomb = packed(b"\0" * 200_000_000, encoding)
    assert len(bomb) < LIMIT
    tracemalloc.start()
    try:
        with pytest.raises(Refusal) as refusal:
            plain(bomb, encoding)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert refusal.value.status == 413
    assert peak_bytes < 4 * LIMIT


def test_a_zstd_frame_that_asks_for_a_huge_window_is_refused():
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    with pytest.raises(Refusal) as refusal:
        plain(compressor.compress(b"{}") + compressor.flush(), "zstd")
    assert refusal.value.status == 400


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (b"{}", "gzip"),
        (b"{}", "zstd"),
        (gzip.compress(b"{}" * 1000)[:-5], "gzip"),
        (gzip.compress(b"{}") + b"rubbish", "gzip"),
        (zlib.compress(b"{}"), "gzip"),
        (zstandard.compress(b"{}" * 1000) + b"rubbish", "zstd"),
    ],
)
def test_broken_compression_is_refused(content: bytes, encoding: str):
    with pytest.raises(Refusal) as refusal:
        plain(content, encoding)
    assert refusal.value.status == 400


@given(st.binary(max_size=500), st.sampled_from(["gzip", "zstd"]), st.booleans())
def test_any_bytes_are_unpacked_or_refused(content: bytes, encoding: str, flip: bool):
    if flip:
        content = packed(content, encoding)[:-1] + b"\0"
    refused = []
    try:
        plain(content, encoding)
    except Refusal as refusal:
        refused.append(refusal.status)
    assert refused in ([], [400])

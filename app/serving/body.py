"""A request's body: read from the network and decompressed, both within limits."""

from __future__ import annotations

import asyncio
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import zstandard

from app.errors import Cancelled
from app.serving.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.serving.client import Client

ENCODINGS = ("identity", "gzip", "x-gzip", "zstd")
TOTAL_TO_IDLE = 10
FIRST_PIECE_BYTES, PIECE_BYTES = 2**9, 2**18
# RFC 9659: the window of a "zstd" content coding is at most 8 MB, so a frame cannot ask for more memory than that.
ZSTD_WINDOW_BYTES = 2**23


@dataclass(frozen=True, slots=True)
class Body:
    """A body as it came, its content coding, and the milliseconds from its first byte to its last."""

    content: bytearray
    encoding: str
    read_ms: float


def check_headers(headers: Mapping[str, str], largest: int) -> str:
    """Refuse a body by its headers alone, before a byte of it is read; returns its content coding.

    The body is always JSON, so a client that says nothing about it, or says what curl says by default
    (application/x-www-form-urlencoded), is taken at its bytes; whoever says that it is something else is told.

    Raises:
        Refusal: 415 for another content type or coding, 413 for a length above ``largest`` bytes.
    """
    media, _, parameters = headers.get("content-type", "").partition(";")
    media = media.strip().lower()
    if media not in ("", "application/json", "application/x-www-form-urlencoded") and not media.endswith("+json"):
        raise Refusal(415, f"The content type is {media!r:.80}; send application/json.")
    charset = parameters.lower().replace('"', "").replace(" ", "")
    if "charset=" in charset and "charset=utf-8" not in charset:
        raise Refusal(415, f"The content type says {charset!r:.80}; JSON is sent as UTF-8.")
    encoding = headers.get("content-encoding", "").strip().lower() or "identity"
    if encoding not in ENCODINGS:
        sentence = f"The content encoding is {encoding!r:.80}; send the body plain, or as gzip or zstd."
        raise Refusal(415, sentence, headers={"Accept-Encoding": "gzip, zstd"})
    length = headers.get("content-length", "")
    if length.isdigit() and int(length) > largest:
        raise Refusal(413, f"The body has {length} bytes; the limit is {largest}.")
    return encoding


async def read_body(
    client: Client, encoding: str, *, largest: int, timeout_s: float, hold: Callable[[int], None]
) -> Body:
    """Read a body of at most ``largest`` bytes; ``hold`` is told of every piece before it is kept, and may refuse.

    Raises:
        Refusal: 413 above the limit; 408 when no byte came for ``timeout_s`` seconds or the whole took ten times that.
        ClientGoneError: the client closed the connection.
    """
    content = bytearray()  # grows in place: one copy of the body, where a list of pieces joined at the end is two
    loop = asyncio.get_running_loop()
    end = loop.time() + TOTAL_TO_IDLE * timeout_s
    first: float | None = None
    while True:
        try:
            async with asyncio.timeout_at(min(loop.time() + timeout_s, end)):
                piece = await client.piece()
        except TimeoutError:
            sentence = f"The body did not arrive in time; after {len(content)} bytes the server gave up waiting."
            raise Refusal(408, sentence) from None
        if first is None and piece:
            first = time.perf_counter()
        if len(content) + len(piece) > largest:
            raise Refusal(413, f"The body has more than {largest} bytes, the limit.")
        hold(len(piece))
        content += piece
        if client.sent_all:
            read_ms = 0.0 if first is None else (time.perf_counter() - first) * 1e3
            return Body(content, encoding, read_ms)


def decompress(body: Body, largest: int, cancelled: Callable[[], bool] = lambda: False) -> bytearray:
    """The body's plain bytes, at most ``largest``; a bomb is refused when it passes that, not after.

    Raises:
        Refusal: 413 above the limit, 400 where the compressed bytes are broken or incomplete.
        Cancelled: ``cancelled`` returned True; it is asked at each piece.
    """
    match body.encoding:
        case "identity":
            return body.content
        case "zstd":
            return _unpack_zstd(body.content, largest, cancelled)
        case _:
            return _unpack_gzip(body.content, largest, cancelled)


def _unpack_gzip(packed: bytearray, largest: int, cancelled: Callable[[], bool]) -> bytearray:
    plain = bytearray()
    at = 0
    try:
        with memoryview(packed) as source:
            while at < len(source):  # RFC 1952: a gzip file is one or more members
                if at and source[at] == 0 and not bytes(source[at:]).strip(b"\0"):
                    break  # gzip itself takes a file that is filled up with zeros
                at = _unpack_member(source, at, plain, largest, cancelled)
    except zlib.error as error:
        raise Refusal(400, f"The body is not gzip as its content encoding says: {_reason(error)}.") from None
    return plain


def _unpack_member(source: memoryview, at: int, plain: bytearray, largest: int, cancelled: Callable[[], bool]) -> int:
    """Unpack the member that begins at a place, and return the place of the next one.

    The pieces grow: zlib copies what it is given beyond the member's end, nearly all of it for a member of some bytes.
    """
    member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    size = FIRST_PIECE_BYTES
    while at < len(source):
        if cancelled():
            raise Cancelled
        piece: bytes | memoryview = source[at : at + size]
        at += len(piece)
        while piece:
            plain += member.decompress(piece, PIECE_BYTES)
            _check_size(plain, largest)
            piece = member.unconsumed_tail
        if member.eof:
            return at - len(member.unused_data)
        size = min(2 * size, PIECE_BYTES)
    raise Refusal(400, "The gzip body ends in the middle; send it whole.")


def _unpack_zstd(packed: bytearray, largest: int, cancelled: Callable[[], bool]) -> bytearray:
    plain = bytearray()
    unpacker = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES)
    try:
        # A frame that ends in the middle is not told apart here: what it holds is not whole JSON, and is refused so.
        with unpacker.stream_reader(packed, read_across_frames=True, closefd=False) as reader:
            while piece := reader.read(PIECE_BYTES):
                if cancelled():
                    raise Cancelled
                plain += piece
                _check_size(plain, largest)
    except zstandard.ZstdError as error:
        raise Refusal(400, f"The body is not zstd as its content encoding says: {_reason(error)}.") from None
    return plain


def _check_size(plain: bytearray, largest: int) -> None:
    if len(plain) > largest:
        raise Refusal(413, f"The body has more than {largest} bytes when decompressed, the limit.")


def _reason(error: Exception) -> str:
    return str(error).rpartition(": ")[2].rstrip(".").lower()

"""What carries requests: how connections are used, the version of HTTP, and how bodies are packed. Shipped."""

from __future__ import annotations

import gzip
from typing import Literal, assert_never

import zstandard

Connections = Literal["new", "kept"]
Protocol = Literal["http/1.1", "http/2"]
Encoding = Literal["plain", "gzip", "zstd"]


def packed(body: bytes, encoding: Encoding) -> bytes:
    """Return a body as it is sent: the same bytes for the same body."""
    match encoding:
        case "plain":
            return body
        case "gzip":
            return gzip.compress(body, compresslevel=6, mtime=0)
        case "zstd":
            return zstandard.ZstdCompressor(level=3).compress(body)
        case _:
            assert_never(encoding)

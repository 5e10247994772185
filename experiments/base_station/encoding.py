"""How the body of a reply is packed: it is unpacked piece by piece, so that one of zeros does not take the memory."""

from __future__ import annotations

import zlib

# What a request asks for; whatever else is answered is refused.
ACCEPTED = "gzip"
# The window of zlib, with gzip's header around it.
GZIP_WBITS = zlib.MAX_WBITS | 16


class EncodingError(ValueError):
    """A reply's body cannot be unpacked; the message is a part of a sentence."""


class Unpacking:
    """The unpacking of one body.

    Args:
        encoding: the reply's ``Content-Encoding``; empty where it is not packed.

    Raises:
        EncodingError: it is packed otherwise than asked for, or more than once.
    """

    def __init__(self, encoding: str) -> None:
        name = encoding.strip().lower()
        if name not in ("", "identity", "gzip", "x-gzip"):
            raise EncodingError(f"in the encoding {name[:40]!r}, expected {ACCEPTED} or none")
        self._unpacker = zlib.decompressobj(GZIP_WBITS) if name.endswith("gzip") else None

    def unpacked(self, piece: bytes, most: int) -> bytes:
        """Return what the next piece unpacks to, at most so many bytes of it (one or more).

        Raises:
            EncodingError: the piece is damaged.
        """
        if self._unpacker is None:
            return piece
        try:
            return self._unpacker.decompress(piece, most)
        except zlib.error as error:
            raise EncodingError(f"what is not {ACCEPTED} as it says: {error}") from error

"""Keys of a JSON body: one that occurs twice in an object is found, where a decoder would keep the last value silently.

numpy finds the quotes, and they tell all the rest: reading the body again byte by byte would last as long as decoding.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

QUOTE, COMMA, COLON, BACKSLASH, BEGIN, END = b'",:\\{}'
BLANKS = re.compile(rb"[ \t\r\n]*")
BRACES = re.compile(rb"[{}]")
# A piece stays in a core's cache while it is searched for quotes and for commas.
PIECE_BYTES = 2**18
# Two strings with a brace between them have this many bytes between them, at least: the brace and a comma or a colon.
BRACE_BYTES = 2
# Of longer runs each is counted by itself.
BACKSLASHES = 8


class TooManyValuesError(ValueError):
    """A body has more quotes and commas than are allowed."""


@dataclass(slots=True)
class _Object:
    """An object of the body: the key under which it stands, and its own keys, as the body writes them."""

    name: bytes = b""
    keys: list[bytes] = field(default_factory=list)


def find_quotes(plain: bytearray, most: int) -> NDArray[np.int64]:
    """Return the places of all quotes of a body, those within its texts included.

    Raises:
        TooManyValuesError: the body has more than ``most`` quotes and commas; it is not searched beyond that.
    """
    content = np.frombuffer(plain, np.uint8)
    places = [np.empty(0, np.int64)]
    values = 0
    for start in range(0, len(content), PIECE_BYTES):
        piece = content[start : start + PIECE_BYTES]
        quotes = np.flatnonzero(piece == QUOTE)
        values += len(quotes) + int(np.count_nonzero(piece == COMMA))
        if values > most:
            raise TooManyValuesError
        places.append(quotes + start)
    return np.concatenate(places)


def doubled_key(plain: bytearray, quotes: NDArray[np.int64]) -> str | None:
    """Return which key occurs several times in which object, as a sentence, or ``None``.

    Args:
        plain: a body that has been decoded: valid JSON, UTF-8.
        quotes: what `find_quotes` returned for it.
    """
    content = np.frombuffer(plain, np.uint8)
    ends = quotes[~_escaped(plain, content, quotes)]
    if len(ends) == 0:
        return None
    opened, closed = ends[0::2], ends[1::2]
    keys = _keys(plain, content, closed)
    gaps = opened[1:] - closed[:-1] - 1
    braces = (gaps > BRACE_BYTES) | (
        (gaps == BRACE_BYTES) & ((content[opened[1:] - 1] == BEGIN) | (content[closed[:-1] + 1] == END))
    )
    objects = [_Object()]
    for first, last in pairwise([0, *(np.flatnonzero(braces) + 1).tolist(), len(opened)]):
        for brace in BRACES.findall(plain, closed[first - 1] if first else 0, opened[first]):
            if brace == b"{":
                objects.append(_Object(bytes(plain[opened[first - 1] + 1 : closed[first - 1]]) if first else b""))
            elif sentence := _doubled(objects.pop()):
                return sentence
        own = keys[np.searchsorted(keys, first) : np.searchsorted(keys, last)]
        starts, stops = (opened[own] + 1).tolist(), closed[own].tolist()
        objects[-1].keys += [bytes(plain[start:stop]) for start, stop in zip(starts, stops, strict=True)]
    return next(filter(None, map(_doubled, reversed(objects))), None)


def _escaped(plain: bytearray, content: NDArray[np.uint8], quotes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which quotes have an odd number of backslashes before them."""
    escaped: NDArray[np.bool_] = content[quotes - 1] == BACKSLASH
    more = np.flatnonzero(escaped)
    for distance in range(2, BACKSLASHES + 1):
        more = more[content[quotes[more] - distance] == BACKSLASH]
        escaped[more] ^= True
    for index in more.tolist():
        before = plain[quotes[index - 1] + 1 : quotes[index]]
        escaped[index] = (len(before) - len(before.rstrip(b"\\"))) % 2
    return escaped


def _keys(plain: bytearray, content: NDArray[np.uint8], closed: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return which strings are keys: a colon follows them."""
    after = content[np.minimum(closed + 1, len(content) - 1)]
    is_key = after == COLON
    for index in np.flatnonzero(np.isin(after, np.frombuffer(b" \t\r\n", np.uint8))).tolist():
        blanks = BLANKS.match(plain, closed[index] + 1)
        is_key[index] = blanks is not None and plain[blanks.end() : blanks.end() + 1] == b":"
    return np.flatnonzero(is_key)


def _doubled(one: _Object) -> str | None:
    """Return a sentence if a key of the object occurs twice, however its characters are escaped."""
    keys: Sequence[bytes | str] = one.keys
    if b"\\" in b"".join(one.keys):
        keys = [_decoded(key) for key in one.keys]
    if len(set(keys)) == len(keys):
        return None
    key, times = Counter(map(_decoded, one.keys)).most_common(1)[0]
    place = f"{_decoded(one.name)!r:.60}" if one.name else "one object"
    return f"The key {key!r:.60} occurs {times} times in {place}; send each key once."


def _decoded(key: bytes) -> str:
    return msgspec.json.decode(b'"%s"' % key, type=str)

"""The requests of a repetition in a fifth of their memory, for runs of a million of them. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

import msgspec
from msgspec.structs import astuple

from collect.records import ModelRecord, RequestRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class _Request(RequestRecord, frozen=True, array_like=True, tag=False, gc=False):
    """A request as a list of its values."""


class _Model(ModelRecord, frozen=True, array_like=True, tag=False, gc=False):
    """A model record as a list of its values."""


# JSON, as MessagePack has no integer beyond 64 bits, which the parameters of a reply may hold.
_ENCODER = msgspec.json.Encoder()
_REQUEST = msgspec.json.Decoder(_Request)
_MODEL = msgspec.json.Decoder(_Model)


def pack(record: RequestRecord | ModelRecord) -> bytes:
    """Return a record that was read as bytes."""
    return _ENCODER.encode(astuple(record))


def unpack_model(row: bytes) -> ModelRecord:
    """Return the model record that was packed."""
    return _MODEL.decode(row)


class Requests(Sequence[RequestRecord]):
    """Packed requests, which are unpacked whenever they are read: read them once where there are many repetitions."""

    __slots__ = ("rows",)

    def __init__(self, rows: tuple[bytes, ...]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        """Return how many there are, which unpacks none."""
        return len(self.rows)

    @overload
    def __getitem__(self, place: int) -> RequestRecord: ...
    @overload
    def __getitem__(self, place: slice) -> Requests: ...
    def __getitem__(self, place: int | slice) -> RequestRecord | Requests:
        """Unpack one, or return a part."""
        return Requests(self.rows[place]) if isinstance(place, slice) else _REQUEST.decode(self.rows[place])

    def __iter__(self) -> Iterator[RequestRecord]:
        """Unpack one after the other."""
        return map(_REQUEST.decode, self.rows)

    def __eq__(self, other: object) -> bool:
        """Tell whether the same requests are packed."""
        return isinstance(other, Requests) and self.rows == other.rows

    def __hash__(self) -> int:
        """Return the hash of what is packed."""
        return hash(self.rows)


def joined(several: Iterable[Sequence[RequestRecord]]) -> Requests:
    """Return the requests of several repetitions, one after the other."""
    rows: list[bytes] = []
    for requests in several:
        rows += requests.rows if isinstance(requests, Requests) else map(pack, requests)
    return Requests(tuple(rows))

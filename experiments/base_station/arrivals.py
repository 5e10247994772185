"""When the requests of a repetition are sent: a structure for each way of arriving. Shipped to the base station.

Each draws from the generator it is given, so that the controller can say beforehand what the base station will do, and
scenarios with the same traffic meet the same arrivals in a repetition.
"""

from __future__ import annotations

import csv
import io
import math
from typing import TYPE_CHECKING, Annotated, NamedTuple

from msgspec import Meta, Struct

from experiments.workloads.files import BODY_BYTES

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Mapping

# Of a repetition: what the driver holds in memory and the records of one attempt.
MOST_REQUESTS = 100_000
MOST_OFFSET_S = 86_400
TRACE_COLUMNS = ("offset_s", "kind", "bytes")

Positive = Annotated[float, Meta(gt=0)]
Number = Annotated[int, Meta(ge=1, le=MOST_REQUESTS)]


class Due(NamedTuple):
    """A request that is to be sent so many seconds after its repetition's begin.

    ``kind`` is one of the workload's kinds, drawn by their weights unless it is set; ``body_bytes`` a size of its body.
    """

    offset_s: float
    kind: str | None = None
    body_bytes: int | None = None


class _Arrivals(Struct, tag_field="arrivals", frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A way of arriving, told from the others by its tag."""


class _Ending(_Arrivals, frozen=True, kw_only=True):
    """Arrivals that end after so many requests, or after so long."""

    count: Number | None = None
    duration_s: Positive | None = None

    def __post_init__(self) -> None:
        """Refuse neither or both."""
        if (self.count is None) == (self.duration_s is None):
            raise ValueError("count or duration_s is needed, and only one of them: it says when a repetition ends")


class Together(_Arrivals, tag="together", frozen=True, kw_only=True):
    """All requests at the same moment."""

    parallel: Number


class Closed(_Ending, tag="closed", frozen=True, kw_only=True):
    """Clients that each send a request, wait for its reply, think, and send the next."""

    clients: Number
    think_s: float = 0.0


class Constant(_Ending, tag="constant", frozen=True, kw_only=True):
    """One request after the other, the same time apart, whether or not the one before was answered."""

    rate_per_s: Positive

    def due(self, rng: random.Random) -> Iterator[Due]:
        """Yield the requests."""
        del rng
        # Rounded first: 0.3 s at 10 per second are three requests.
        count = self.count or max(1, math.ceil(round((self.duration_s or 0) * self.rate_per_s, 6)))
        for number in range(count):
            yield Due(number / self.rate_per_s)


class Poisson(_Ending, tag="poisson", frozen=True, kw_only=True):
    """Requests of many that know nothing of each other: the times between them are exponentially distributed."""

    rate_per_s: Positive

    def due(self, rng: random.Random) -> Iterator[Due]:
        """Yield the requests: of a duration those that fall into it, one at least."""
        at_s, number = rng.expovariate(self.rate_per_s), 0
        while self.duration_s is not None and at_s > self.duration_s:
            at_s = rng.expovariate(self.rate_per_s)
        while number < self.count if self.count is not None else at_s <= (self.duration_s or 0):
            yield Due(at_s)
            at_s += rng.expovariate(self.rate_per_s)
            number += 1


class Trace(_Arrivals, tag="trace", frozen=True, kw_only=True):
    """Requests at recorded times: ``trace`` is CSV with a heading, see `TRACE_COLUMNS`."""

    trace: str

    def due(self, rng: random.Random) -> Iterator[Due]:
        """Yield the requests.

        Raises:
            ValueError: the CSV is not a trace; the message names the line.
        """
        del rng
        return iter(read_trace(self.trace))


Open = Constant | Poisson | Trace
Arrivals = Together | Closed | Open
KINDS: dict[str, type[Arrivals]] = {
    str(kind.__struct_config__.tag): kind for kind in (Together, Closed, Constant, Poisson, Trace)
}


def expected_s(arrivals: Arrivals) -> float | None:
    """Return after how many seconds the last request goes on average, ``None`` where replies decide it."""
    match arrivals:
        case Together():
            return 0.0
        case Closed():
            return arrivals.duration_s
        case Trace():
            return read_trace(arrivals.trace)[-1].offset_s
        case _:
            return arrivals.duration_s or (arrivals.count or 0) / arrivals.rate_per_s


def kinds(rng: random.Random, weights: Mapping[str, float]) -> Iterator[str | None]:
    """Draw the kinds of requests, one after the other, for ever; ``None`` where the workload has only one."""
    names = list(weights)
    while True:
        yield rng.choices(names, list(weights.values()))[0] if names else None


def ends_s(arrivals: Arrivals) -> float | None:
    """Return when the last request has its turn, in seconds after the begin; ``None`` where that is not known."""
    match arrivals:
        case Together() | Poisson(count=int()):
            return None
        case _:
            return expected_s(arrivals)


def read_trace(text: str) -> list[Due]:
    """Return the requests of a trace.

    Raises:
        ValueError: it is not one; the message names the line.
    """
    reader = csv.DictReader(io.StringIO(text))
    names = tuple(reader.fieldnames or ())
    if "offset_s" not in names or not set(names) <= set(TRACE_COLUMNS):
        raise ValueError(
            f"line 1: expected a heading with offset_s and, if any, kind and bytes, got {','.join(names):.80}"
        )
    found: list[Due] = []
    for where, row in rows(reader):
        if len(found) == MOST_REQUESTS:
            raise ValueError(f"{where}: a trace has {MOST_REQUESTS} requests at most")
        offset_s = _number(row["offset_s"], where, "offset_s", MOST_OFFSET_S)
        if found and offset_s < found[-1].offset_s:
            raise ValueError(
                f"{where}: offset_s {offset_s:g} after {found[-1].offset_s:g}: a trace does not go backwards; sort it"
            )
        size = row.get("bytes")
        body_bytes = int(_number(size, where, "bytes", BODY_BYTES)) if size else None
        found.append(Due(offset_s, row.get("kind") or None, body_bytes))
    if not found:
        raise ValueError("it has no requests")
    return found


def rows(reader: csv.DictReader[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the lines of a table that follow its heading, each with its place in words.

    Raises:
        ValueError: one has more or fewer values than the heading; the message names it.
    """
    names = reader.fieldnames or ()
    for row in reader:
        where = f"line {reader.line_num}"
        if None in row or None in row.values():
            raise ValueError(f"{where}: expected {len(names)} values ({','.join(names)})")
        yield where, row


def _number(text: str, where: str, name: str, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= most:
        raise ValueError(f"{where}: {name} {text[:40]!r}: expected a number from 0 to {most:g}")
    return value

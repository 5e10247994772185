"""How busy the nodes were during a run: what ``roles/monitor`` sampled, as collect reads it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from math import inf
from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec

from collect.analysis.repetitions import LinksOff
from collect.folder import FolderError, read_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from collect.folder import RunFolder

T = TypeVar("T")

# More nodes than a testbed of one controller has.
NODES = 1_000
# Files of samples are named by the times of their starts.
SAMPLES = "[0-9]*.jsonl"
# By how much the clock of a node may differ from the base station's.
CLOCKS_S = 1.0
Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]
Amount = Annotated[float, msgspec.Meta(ge=0, le=1e12)]


class Sample(msgspec.Struct, frozen=True):
    """One second of a machine: seconds since 1970 on its clock, shares of all its cores' time, MiB, MHz.

    ``links_problem`` is why the links that leave the node are not in force, ``None`` where they are; most samples do
    not tell.
    """

    at_s: Amount
    cpu_percent: Percent
    steal_percent: Percent
    memory_used_mib: Amount
    memory_mib: Amount
    frequency_mhz: Amount | None = None
    links_problem: Annotated[str, msgspec.Meta(max_length=1000)] | msgspec.UnsetType | None = msgspec.UNSET


class Machine(msgspec.Struct, frozen=True):
    """Which machine a node is on: the kernel's boot id, and how many cores it has."""

    boot: Annotated[str, msgspec.Meta(max_length=64)]
    cores: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """The samples of one machine in the order of their times, and the nodes that are on it."""

    nodes: tuple[str, ...]
    cores: int | None
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class Node:
    """What a node has told of itself: the samples of each of its starts, in their order.

    ``machine`` is ``None`` where it cannot be read.
    """

    name: str
    machine: Machine | None
    starts: tuple[tuple[Sample, ...], ...]


def read(folder: RunFolder, notes: list[str]) -> tuple[Node, ...]:
    """Return the nodes that were sampled.

    What cannot be read is left out, with a note; a line that was cut off is passed over. A run of before has none.
    """
    return tuple(
        Node(path.parent.name, _machine(path, notes), _starts(path.parent, notes))
        for path in sorted(folder.load.glob("*/machine.json"))[:NODES]
    )


def machines(nodes: Iterable[Node]) -> tuple[Load, ...]:
    """Return the load of each machine; nodes of one machine all sampled the same, so the first one's counts."""
    on: dict[str, list[tuple[Node, Machine]]] = {}
    for node in nodes:
        if node.machine is not None:
            on.setdefault(node.machine.boot, []).append((node, node.machine))
    return tuple(
        Load(tuple(node.name for node, _ in there), there[-1][1].cores, samples)
        for there in on.values()
        if (samples := tuple(sorted(chain.from_iterable(there[0][0].starts), key=lambda sample: sample.at_s)))
    )


def links_off(nodes: Iterable[Node]) -> tuple[LinksOff, ...]:
    """Return when the links that leave a node were not in force, as each node found, node by node.

    Nobody looked between two samples that tell: links that were off in one were off since the one before, and until the
    one after. A sampler that is stopped tells last; one that ended otherwise, as its node did, leaves its links unknown
    until the next one tells.
    """
    found: list[LinksOff] = []
    for node in nodes:
        last_good_s = -inf
        problem = None
        for samples in node.starts:
            for sample in samples:
                if sample.links_problem is msgspec.UNSET:
                    continue
                if sample.links_problem is not None:
                    problem = problem or sample.links_problem
                    continue
                if problem is not None:
                    found.append(LinksOff(node.name, last_good_s - CLOCKS_S, sample.at_s + CLOCKS_S, problem))
                last_good_s, problem = sample.at_s, None
            has_told = any(sample.links_problem is not msgspec.UNSET for sample in samples)
            if has_told and samples[-1].links_problem is msgspec.UNSET:
                problem = problem or "the node was lost, and nobody knows what became of them"
        if problem is not None:
            found.append(LinksOff(node.name, last_good_s - CLOCKS_S, inf, problem))
    return tuple(found)


def _machine(path: Path, notes: list[str]) -> Machine | None:
    try:
        return msgspec.json.decode(read_bytes(path), type=Machine)
    except (FolderError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        notes.append(f"load/{path.parent.name} is damaged and was ignored: {error}.")
        return None


def _starts(node: Path, notes: list[str]) -> tuple[tuple[Sample, ...], ...]:
    """Return the samples of each start; the files are named by their times."""
    decoder = msgspec.json.Decoder(Sample)
    starts = (lines(path, decoder, notes) for path in sorted(node.glob(SAMPLES)))
    return tuple(samples for samples in starts if samples is not None)


def lines(path: Path, decoder: msgspec.json.Decoder[T], notes: list[str]) -> tuple[T, ...] | None:
    """Return the lines of a file of a node, one that was cut off aside; None, with a note, where it is damaged."""
    try:
        whole, _, _ = read_bytes(path).rpartition(b"\n")
        return tuple(decoder.decode(line) for line in whole.splitlines())
    except (FolderError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        notes.append(f"load/{path.parent.name}/{path.name} is damaged and was ignored: {error}.")
        return None

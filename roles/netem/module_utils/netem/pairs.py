"""Who measures which link: one exchange of probes and replies sees both directions between two nodes. Pure, no I/O."""

from __future__ import annotations

import zlib
from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from .link import Link

Ends = dict[int, tuple[str, str]]


class Task(NamedTuple):
    """An exchange with one peer, by one family of addresses, and the links that it measures: back is None for one only."""

    there: Link
    back: Link | None
    family: int
    ends: tuple[str, str]

    @property
    def links(self) -> tuple[Link, ...]:
        """The links that it measures."""
        return (self.there, self.back) if self.back else (self.there,)


def tasks(node: str, links: Sequence[Link], both_ways: Collection[str], ends: Callable[[Link], Ends]) -> list[Task]:
    """Return the exchanges that a node has to make, so that each link is measured by one node.

    Args:
        node: whose they are.
        links: all of the testbed.
        both_ways: the nodes whose replies are measured as well as their probes.
        ends: returns the addresses between which a link is probed, by family.
    """
    by_pair = {(link.source, link.target): link for link in links}
    mine = []
    for link in links:
        back = by_pair.get((link.target, link.source))
        together = back is not None and {link.source, link.target} <= set(both_ways) and _alike(link) and _alike(back)
        if link.source == node and (not together or _prober(link) == node):
            mine += [Task(link, back if together else None, family, pair) for family, pair in ends(link).items()]
    return mine


def sample(links: Sequence[Link], count: int) -> list[Link]:
    """Return so many of the links: of each kind as many as can be, evenly spread over those of their kind."""
    kinds: dict[str, list[Link]] = {}
    for link in links:
        kinds.setdefault(link.shape, []).append(link)
    spread = []
    for alike in kinds.values():
        size = min(count, len(alike))
        spread.append([alike[place * len(alike) // size] for place in range(size)])
    turns = zip_longest(*spread)
    return [link for turn in turns for link in turn if link is not None][:count]


def _alike(link: Link) -> bool:
    """Whether replies show what probes would: where order is kept it matters how far apart frames come, and replies vary."""
    return link.reorder or not link.delay.jitter_ms


def _prober(link: Link) -> str:
    """Return which end of a pair measures it: half of a node's pairs each, and the same one whoever asks."""
    first, second = sorted((link.source, link.target))
    return first if zlib.crc32(f"{first} {second}".encode()) & 1 else second

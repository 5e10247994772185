"""What a scenario looks like in every figure of every run: by its name, never by its place."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, NamedTuple

from collect.analysis.claims import CLOUD, EDGE
from collect.report.picture import COLOURS

if TYPE_CHECKING:
    from collections.abc import Iterable

# Tell scenarios apart where colours do not: in grey, and where two names share a colour.
MARKERS = ("o", "s", "^", "D", "v", "P")
PAPER = {EDGE: 0, CLOUD: 1}


class Look(NamedTuple):
    """A colour and the marker of a point."""

    colour: str
    marker: str


def looks(names: Iterable[str]) -> dict[str, Look]:
    """Return the look of each scenario of a run.

    ``edge`` and ``cloud`` have their own. Any other has the place in the palette that its name's checksum gives, or
    the next one, where that is taken by a name before it in the alphabet; looks repeat when all are taken.
    """
    others = sorted(set(names) - PAPER.keys())
    places = dict(PAPER)
    free = [place for place in range(len(COLOURS)) if place not in PAPER.values()]
    for name in others:
        wanted = zlib.crc32(name.encode()) % len(free)
        taken = set(places.values())
        order = [free[(wanted + step) % len(free)] for step in range(len(free))]
        places[name] = next((place for place in order if place not in taken), order[0])
    return {name: Look(COLOURS[place], MARKERS[place]) for name, place in places.items()}

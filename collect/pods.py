"""When the replicas of a cluster came to their states, as ``roles/monitor`` kept what the cluster told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from collect.load import lines

if TYPE_CHECKING:
    from collect.analysis.starts import States
    from collect.folder import RunFolder

# More files and replicas than a testbed of one controller has.
FILES, PODS = 1_000, 100_000


class Told(msgspec.Struct, frozen=True):
    """A state that a pod has come to: seconds since 1970 on the clock of the node that kept it."""

    at_s: Annotated[float, msgspec.Meta(ge=0, le=1e12)]
    pod: Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
    state: Literal["created", "scheduled", "started", "ready", "gone"]


def read(folder: RunFolder, notes: list[str]) -> dict[str, States]:
    """Return the times of each replica's states, by the replica's name; the first time counts.

    What cannot be read is left out, with a note; a line that was cut off is passed over. Most runs have none.
    """
    pods: dict[str, States] = {}
    decoder = msgspec.json.Decoder(Told)
    for path in sorted(folder.load.glob("*/pods-*.jsonl"))[:FILES]:
        for one in lines(path, decoder, notes) or ():
            if one.pod in pods or len(pods) < PODS:
                pods.setdefault(one.pod, {}).setdefault(one.state, one.at_s)
    return pods

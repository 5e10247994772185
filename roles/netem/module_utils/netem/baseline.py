"""What the paths from this node do by themselves: measured while no link is shaped, and remembered."""

from __future__ import annotations

import json
import statistics
from typing import TYPE_CHECKING, Any

from .tc import NodeError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# What `probe.measure` returned, by target and family ("4", "6": the keys of JSON).
Baselines = dict[str, dict[str, dict[str, Any]]]


def _file(folder: Path) -> Path:
    return folder / "baseline.json"


def remembered(folder: Path) -> Baselines:
    """Return what was measured from this node; empty where nothing was."""
    try:
        found: Baselines = json.loads(_file(folder).read_text())
    except FileNotFoundError:
        return {}
    return found


def remember(folder: Path, measured: Baselines) -> None:
    """Keep what was measured, in place of what was known of the same targets."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = _file(folder).with_suffix(".partial")
    partial.write_text(json.dumps(remembered(folder) | measured))
    partial.replace(_file(folder))


def path_ms(baselines: Baselines, target: str) -> float | None:
    """Return how long a frame is on its way to a target without any link, or None where that was not measured.

    One way where both nodes read one clock, else half of the round trip; to the microsecond; by IPv4 where it is there.
    """
    families = baselines.get(target, {})
    measured = families.get(min(families, default=""), {})
    there_ns = measured.get("forward_ns") if measured.get("shared_clock") else measured.get("round_trip_ns")
    if not there_ns:
        return None
    return round(statistics.median(there_ns) / 1e6 / (1 if measured["shared_clock"] else 2), 3)


def paths_ms(folder: Path, targets: Iterable[str], *, all_known: bool) -> dict[str, float]:
    """Return what is to be a part of each link's delay, by target.

    Args:
        folder: where this node keeps the role's state.
        targets: of the links that leave this node.
        all_known: whether a path that was not measured is an error, or is left out.

    Raises:
        NodeError: the way to a target was not measured.
    """
    baselines = remembered(folder)
    found = {target: path_ms(baselines, target) for target in targets}
    unknown = sorted(target for target, one_ms in found.items() if one_ms is None)
    if unknown and all_known:
        raise NodeError(
            f"what the path to {', '.join(unknown)} takes by itself is not known, as netem_compensate_path needs it: it is "
            "measured while no link is in force. Clear the links (playbooks/clear.yml), then apply them."
        )
    return {target: one_ms for target, one_ms in found.items() if one_ms is not None}

"""What the paths from this node do by themselves: measured while no link is shaped, and remembered."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ansible.module_utils.node.errors import NodeError
from ansible.module_utils.node.files import write

from .measurement import Probes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

SCHEMA = 2  # of the file: what another version left is not read
# The probes of each family (4, 6) by target.
PathProbes = dict[str, dict[int, Probes]]


@dataclass(frozen=True)
class Baseline:
    """What the paths from this node do by themselves, as far as it was measured."""

    paths: PathProbes

    @classmethod
    def read(cls, folder: Path) -> Baseline:
        """Return what was measured from this node; empty where nothing was."""
        try:
            stored = json.loads(_file(folder).read_text())
        except FileNotFoundError:
            return cls({})
        if stored.get("schema") != SCHEMA:
            return cls({})
        return cls(
            {
                target: {int(family): _probes(values) for family, values in families.items()}
                for target, families in stored["paths"].items()
            }
        )

    def write(self, folder: Path) -> None:
        """Keep what was measured."""
        paths = {
            target: {str(family): asdict(probes) for family, probes in families.items()}
            for target, families in self.paths.items()
        }
        write(_file(folder), json.dumps({"schema": SCHEMA, "paths": paths}))

    def with_measured(self, paths: PathProbes) -> Baseline:
        """Return the baseline with what was measured in place of what was known of the same targets."""
        return Baseline(self.paths | paths)

    def probes(self, target: str, family: int) -> Probes | None:
        """Return the probes to a target by IPv4 (4) or IPv6 (6), or None where none were sent."""
        return self.paths.get(target, {}).get(family)

    def path_ms(self, target: str) -> float | None:
        """Return how long a frame is on its way to a target without any link, or None where that was not measured.

        One way where both nodes read one clock, else half of the round trip; to the microsecond; by IPv4 where it is
        there.
        """
        families = self.paths.get(target)
        probes = families[min(families)] if families else None
        delays_ms = probes.delays_ms(one_way=probes.shared_clock) if probes else []
        if probes is None or not delays_ms:
            return None
        return round(statistics.median(delays_ms) / (1 if probes.shared_clock else 2), 3)

    def paths_ms(self, targets: Iterable[str], *, all_known: bool) -> dict[str, float]:
        """Return what is to be a part of each link's delay, by target.

        Args:
            targets: of the links that leave this node.
            all_known: whether a path that was not measured is an error, or is left out.

        Raises:
            NodeError: the way to a target was not measured.
        """
        paths_ms = {target: self.path_ms(target) for target in targets}
        unknown = sorted(target for target, path_ms in paths_ms.items() if path_ms is None)
        if unknown and all_known:
            raise NodeError(
                f"what the path to {', '.join(unknown)} takes by itself is not known, as netem_compensate_path needs it: "
                "it is measured while no link is in force. Clear the links (playbooks/clear.yml), then apply them."
            )
        return {target: path_ms for target, path_ms in paths_ms.items() if path_ms is not None}


def _probes(values: Mapping[str, Any]) -> Probes:
    present: dict[str, Any] = {key: tuple(one) if isinstance(one, list) else one for key, one in values.items()}
    return Probes(**present)


def _file(folder: Path) -> Path:
    return folder / "baseline.json"

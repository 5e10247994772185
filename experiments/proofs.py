"""What a run that was cut off has on record already, so that it is not done twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collect.folder import read_json
from experiments.base_station.history import History
from experiments.base_station.plan import Key

if TYPE_CHECKING:
    from collect.folder import RunFolder


def planned(run: RunFolder) -> bool:
    """Return whether the run has a plan: before that nothing was begun."""
    return run.plan.exists()


def measured(run: RunFolder) -> bool:
    """Return whether every repetition of the plan is on record for every base station."""
    plan = read_json(run.plan)
    files = run.samples()
    if plan is None or len(files) < len(plan["base_stations"]):
        return False
    order = [Key(entry["scenario"], entry["repetition"], entry["warmup"]) for entry in plan["order"]]
    histories = [History(path) for path in files]
    return all(history.is_finished(key) for history in histories for key in order)


def verified_afterwards(run: RunFolder) -> bool:
    """Return whether the links were verified after the last repetition."""
    return bool((read_json(run.links("after")) or {}).get("links"))

"""What a run that was cut off has on record already, so that it is not done twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from collect.folder import read_json
from collect.records import RecordError
from experiments import plan
from experiments.base_station.history import History
from experiments.errors import RunError

if TYPE_CHECKING:
    from collect.folder import RunFolder


def planned(run: RunFolder) -> bool:
    """Return whether the run has a plan: before that nothing was begun."""
    return run.plan.exists()


def measured(run: RunFolder) -> bool:
    """Return whether every repetition of the plan is on record for every base station.

    Raises:
        RunError: the plan or a record is damaged.
    """
    if not planned(run):
        return False
    known = plan.check(run.plan)
    files = run.samples()
    if len(files) < len(known.base_stations):
        return False
    try:
        histories = [History(path) for path in files]
    except RecordError as error:
        raise RunError(f"{error}: the line is damaged; restore the file, or begin a new run") from error
    keys = [entry.key for entry in known.order]
    if len(histories) > 1 and not all(any(history.is_of_all(key) for history in histories) for key in keys):
        return False
    return all(history.is_finished(key) for history in histories for key in keys)


def verified_afterwards(run: RunFolder) -> bool:
    """Return whether the links were verified after the last repetition."""
    match read_json(run.links("after")):
        case {"links": [_, *_]}:
            return True
    return False


def steps(run: RunFolder) -> list[dict[str, Any]]:
    """Return the steps that were taken so far.

    Raises:
        RunError: the file holds something else.
    """
    taken = read_json(run.steps)
    if taken is None:
        return []
    if not isinstance(taken, list) or not all(isinstance(entry, dict) and "step" in entry for entry in taken):
        raise RunError(f"{run.steps} is damaged: expected a list of steps; restore the file, or remove it")
    return taken

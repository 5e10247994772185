"""Fetches a run's raw records from the base stations, by the playbook ``playbooks/collect.yml``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collect.errors import CollectError
from nodes.errors import PlaybookError
from nodes.inventory import path_of
from nodes.playbooks import ROOT, Listener, Playbooks

if TYPE_CHECKING:
    from pathlib import Path

    from collect.folder import RunFolder
    from nodes.become import Password


def pull(
    run: RunFolder, inventory: str, listener: Listener, root: Path = ROOT, password: Password | None = None
) -> None:
    """Fetch the records of a run into its ``raw/``; with the password the nodes' user becomes root.

    Raises:
        InventoryError: there is no such inventory.
        CollectError: a task failed or a base station did not answer.
    """
    playbooks = Playbooks(path_of(inventory), listener, run.log, root, password)
    try:
        playbooks.run("collect", collect_run=run.id, collect_into=str(run.raw))
    except PlaybookError as error:
        raise CollectError(
            f"cannot fetch the records of {run.id} from inventory {inventory}: {error} (log: {run.log})"
        ) from error

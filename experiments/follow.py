"""Follows the driver on the base stations to its end, and renews the lease of the links meanwhile."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from nodes.defaults import role_default
from nodes.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from experiments.progress import Reporter
    from nodes.answers import Answers
    from nodes.inventory import Inventory
    from nodes.playbooks import Playbooks

# How often in a row a lost SSH connection to the base station is tried again; the driver goes on meanwhile.
RECONNECTS = 60
RECONNECT_PAUSE_S = 2


def follow(playbooks: Playbooks, reporter: Reporter, variables: Mapping[str, Any], lease_s: float) -> None:
    """Follow the driver until every base station has measured its plan.

    The lease is renewed after each third of it, so that links clear themselves only where this program is gone for two
    thirds of a lease.

    Raises:
        PlaybookError: the driver ended early, or the lease expired. UnreachableError: a node stayed away.
    """
    lost = 0
    while True:
        try:
            answers = playbooks.run("measure-follow", driver_follow_s=lease_s / 3, **variables)
            if _ended(answers):
                return
            playbooks.run("renew")
        except UnreachableError as error:
            lost += 1
            if lost == RECONNECTS:
                raise
            reporter.say(f"  {error}: the driver goes on; connecting again")
            time.sleep(RECONNECT_PAUSE_S)
        else:
            lost = 0


def lease_s(inventory: Inventory) -> float:
    """Return after how many seconds without a renewal the first links of an inventory clear themselves."""
    leases = inventory.settings("netem_lease_s", role="netem", group="nodes").values()
    return min((float(lease) for lease in leases), default=float(role_default("netem", "netem_lease_s")))


def _ended(answers: Answers) -> bool:
    return all(status["state"] == "done" for status in answers["driver_status"].values())

"""Follows the driver on the base stations to its end, and renews the lease of the links meanwhile."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nodes.defaults import role_default
from nodes.errors import PlaybookError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from experiments.progress import Reporter
    from nodes.answers import Answers
    from nodes.inventory import Inventory
    from nodes.playbooks import Playbooks

# A lost SSH connection to a node is tried again for as long as the links' lease lasts, or for so long where there is
# none: the driver goes on meanwhile.
RECONNECT_S = 3600.0
RECONNECT_PAUSE_S = 2
# How often a node that stays away is named.
REMIND_S = 60


# Longer than it takes the driver to notice that a node was lost.
NOTICED_S = 20


@dataclass(frozen=True, slots=True)
class Loss:
    """Nodes that were lost, after so many repetitions, and why the driver ended."""

    nodes: tuple[str, ...]
    finished: int
    error: str


def follow(playbooks: Playbooks, reporter: Reporter, variables: Mapping[str, Any], lease_s: float) -> Loss | None:
    """Follow the driver until every base station has measured its plan; the caller has just renewed the lease.

    The lease is renewed after each third of it, so that links clear themselves only where this program is gone for two
    thirds of a lease; after a connection was lost it is renewed first.

    Returns:
        Why a driver ended, where it did so because nodes were lost; None where the plan is measured.

    Raises:
        PlaybookError: the driver ended early, or the lease expired. UnreachableError: a node stayed away until then.
    """
    renewed_s = time.monotonic()
    is_renewed = True
    absence: _Absence | None = None
    while True:
        asked_s = time.monotonic()
        try:
            if not is_renewed:
                if loss := _renew(playbooks, variables):
                    return loss
                renewed_s, is_renewed = asked_s, True
            if absence:
                reporter.say(f"  connected again after {time.monotonic() - absence.since_s:.0f} s")
                absence = None
            answers = playbooks.run("measure-follow", driver_follow_s=lease_s / 3, **variables)
            if (loss := _loss(answers)) or _ended(answers):
                return loss
            is_renewed = False
        except UnreachableError as error:
            is_renewed = False
            absence = absence or _Absence(asked_s)
            if time.monotonic() - renewed_s > (lease_s or RECONNECT_S):
                raise
            absence.tell(reporter, f"  {error}: the driver goes on; connecting again")
            time.sleep(RECONNECT_PAUSE_S)


@dataclass(slots=True)
class _Absence:
    """A node that does not answer, since when, and when it was named last."""

    since_s: float
    told_s: float = -math.inf

    def tell(self, reporter: Reporter, sentence: str) -> None:
        if time.monotonic() - self.told_s > REMIND_S:
            reporter.say(sentence)
            self.told_s = time.monotonic()


def lease_s(inventory: Inventory) -> float:
    """Return after how many seconds without a renewal the first links of an inventory clear themselves."""
    leases = inventory.settings("netem_lease_s", role="netem", group="nodes").values()
    return min((float(lease) for lease in leases), default=float(role_default("netem", "netem_lease_s")))


def _renew(playbooks: Playbooks, variables: Mapping[str, Any]) -> Loss | None:
    """Renew the lease; where a node refuses that because it was lost, return what the driver says of it.

    Raises:
        PlaybookError: the lease cannot be renewed, and the driver knows of no lost node.
    """
    try:
        playbooks.run("renew", **variables)
    except PlaybookError as refused:
        try:  # the driver has noticed, or is about to
            loss = _loss(playbooks.run("measure-follow", driver_follow_s=NOTICED_S, **variables))
        except PlaybookError:
            raise refused from None
        if loss is None:
            raise
        return loss
    return None


def _loss(answers: Answers) -> Loss | None:
    for status in answers["driver_status"].values():
        if lost := status.get("lost"):
            return Loss(tuple(lost), status["finished"], status["error"])
    return None


def _ended(answers: Answers) -> bool:
    return all(status["state"] == "done" for status in answers["driver_status"].values())

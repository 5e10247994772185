"""Inventories and experiments for tests: the paper's nodes, and as many others as a test needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from experiments.spec import Experiment, load
from nodes.inventory import Inventory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from experiments.base_station.plan import Plan

PAPER = {"base_stations": ("bs",), "edge": ("edge-1", "edge-2"), "cloud": ("cloud-1",)}


def inventory(groups: Mapping[str, tuple[str, ...]] = PAPER) -> Inventory:
    """Return an inventory with these groups; all but the base stations are compute nodes."""
    compute = tuple(host for group, hosts in groups.items() if group != "base_stations" for host in hosts)
    hosts = (*groups.get("base_stations", ()), *compute)
    variables = {host: {"data_address": f"192.0.2.{place}"} for place, host in enumerate(hosts, 10)}
    return Inventory("trial", {**groups, "compute": compute, "nodes": hosts}, variables)


def paper(repetitions: int = 20, warmups: int = 1, block_repetitions: int = 1) -> Experiment:
    """Return the paper's experiment, measured as often as a test needs."""
    changes = {"repetitions": repetitions, "warmups": warmups, "block_repetitions": block_repetitions}
    return load("paper").model_copy(update=changes)


def only(name: str, repetitions: int, warmups: int = 0) -> Experiment:
    """Return an experiment of one of the shipped scenarios."""
    return load(name, repetitions=repetitions).model_copy(update={"warmups": warmups})


def aimed(plan: Plan, url: str) -> Plan:
    """Return a plan whose sites are all reached at one address."""
    return replace(
        plan,
        scenarios={
            name: replace(one, sites={site: replace(own, url=url) for site, own in one.sites.items()})
            for name, one in plan.scenarios.items()
        },
    )

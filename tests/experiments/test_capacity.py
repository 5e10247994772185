"""What links cost is told beforehand, grows with their number at most linearly, and what cannot be carried is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import trial_nodes

from experiments import capacity
from experiments.errors import SpecError
from experiments.placement import place

if TYPE_CHECKING:
    from nodes.inventory import Inventory


def of(count: int, **variables: object) -> tuple[capacity.Cost, Inventory]:
    """Return what the links of so many edge nodes and one base station cost, and the inventory."""
    inventory = trial_nodes.inventory(
        {"base_stations": ("bs",), "edge": tuple(f"edge-{number}" for number in range(count))}
    )
    for host in inventory.hosts("nodes"):
        inventory.variables[host].update({"lab_kind": "local", "lab_dir": "/nowhere", **variables})
    experiment = trial_nodes.only("edge", 1)
    scenario = experiment.scenarios[0]
    function = scenario.function.model_copy(update={"replicas": count})
    wide = experiment.model_copy(update={"scenarios": (scenario.model_copy(update={"function": function}),)})
    return capacity.cost(place(wide, inventory), inventory), inventory


def test_the_cost_of_a_further_link_is_the_same_each() -> None:
    few, some, many = (of(count)[0] for count in (10, 20, 40))
    assert (few.links, some.links, many.links) == (11 * 10, 21 * 20, 41 * 40)
    per_link = [(cost.verify_s + cost.shape_s) / cost.links for cost in (few, some, many)]
    assert per_link == sorted(per_link, reverse=True)


def test_nodes_of_their_own_are_verified_at_the_same_time() -> None:
    assert of(16, lab_kind="own")[0].verify_s < of(16)[0].verify_s
    assert of(16, lab_kind="own")[0].memory_mib == 0


def test_what_takes_longer_than_the_lease_is_refused_with_the_figure() -> None:
    cost, inventory = of(16, netem_lease_s=20)
    with pytest.raises(SpecError, match=rf"verifying 272 links takes about {cost.verify_s:.0f} s, but they clear"):
        capacity.refuse(cost, inventory)
    capacity.refuse(*of(16, netem_lease_s=0))


def test_more_nodes_than_this_machine_has_memory_for_are_refused_with_the_figure() -> None:
    cost, inventory = of(2)
    with pytest.raises(
        SpecError, match=r"its 3 nodes take about 1000000000 MiB of this machine's memory, of which \d+"
    ):
        capacity.refuse(replace(cost, memory_mib=1_000_000_000), inventory)

"""Nodes that differ: what a scenario may say of them, and which replicas have less than their node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError
from trial_nodes import PAPER, inventory, only, paper

from experiments.errors import SpecError
from experiments.placement import place
from experiments.spec.resources import ResourcesSpec

if TYPE_CHECKING:
    from experiments.spec import Experiment


def with_resources(resources: dict[str, dict[str, Any]], name: str = "edge") -> Experiment:
    """Return one of the paper's scenarios with resources by group."""
    experiment = only(name, 1)
    of_groups = {group: ResourcesSpec(**one) for group, one in resources.items()}
    scenario = experiment.scenarios[0].model_copy(update={"resources": of_groups})
    return experiment.model_copy(update={"scenarios": (scenario,)})


@pytest.mark.parametrize(
    ("resources", "sentence"),
    [
        ({"cpus": 0}, "greater than or equal to 0.05"),
        ({"cpus": -1}, "greater than or equal to 0.05"),
        ({"memory_mib": 64}, "greater than or equal to 512"),
        ({}, "expected cpus, memory_mib or both"),
        ({"cpus": True}, "true is not a number"),
    ],
)
def test_resources_that_no_replica_can_have_are_refused(resources: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        ResourcesSpec(**resources)


@pytest.mark.parametrize(
    ("resources", "sentence"),
    [
        ({"egde": {"cpus": 0.5}}, "resources.egde: no replica runs on a node of a group egde of inventory trial"),
        ({"base_stations": {"cpus": 0.5}}, "resources.base_stations: no replica .*; they run on edge-1, edge-2"),
        ({"edge": {"cpus": 2}}, "resources.edge.cpus 2: the platform process of inventory trial gives a replica 1"),
        (
            {"edge": {"cpus": 0.5}, "compute": {"cpus": 0.25}},
            "resources: edge-1 is in the groups edge and compute; name one of them",
        ),
    ],
)
def test_resources_of_no_replica_are_one_sentence(resources: dict[str, dict[str, Any]], sentence: str) -> None:
    with pytest.raises(SpecError, match=sentence) as caught:
        place(with_resources(resources), inventory())
    assert "\n" not in str(caught.value)


def test_replicas_of_one_service_are_alike() -> None:
    nodes = inventory({"base_stations": ("bs",), "edge": ("edge-1",), "cloud": ("cloud-1",)})
    with pytest.raises(
        SpecError, match=r"the replicas on edge-1, cloud-1 of compute would differ; name function.sites"
    ):
        place(with_resources({"edge": {"cpus": 0.5}}), nodes)


def test_scenarios_with_other_resources_share_nodes_and_links_but_no_replicas() -> None:
    slow = with_resources({"edge": {"cpus": 0.5, "memory_mib": 1024}}).scenarios[0]
    slow = slow.model_copy(update={"name": "slow"})
    both = paper().model_copy(update={"scenarios": (only("edge", 1).scenarios[0], slow)})
    placed = place(both, inventory())
    (plain,), (limited,) = placed.services.values()
    assert plain.nodes == limited.nodes == PAPER["edge"]
    assert len(placed.links) == 6
    assert {"cpus": 0.5, "memory_mib": 1024}.items() <= limited.variables().items()
    assert not {"cpus", "memory_mib"} & plain.variables().keys()
    assert (plain.limits, limited.limits) == ("", "0.5 CPU and 1024 MiB")

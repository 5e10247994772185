"""Where scenarios stand on an inventory's nodes, and the sentence where they cannot."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError
from trial_nodes import PAPER, inventory, only, paper

from experiments import platforms
from experiments.errors import SpecError
from experiments.placement import Placement, place
from experiments.platforms.platform import FIRST_PORT
from experiments.spec import Experiment, FunctionSpec, LinkSpec
from nodes.errors import InventoryError
from nodes.inventory import Inventory

if TYPE_CHECKING:
    from pathlib import Path

    from experiments.platforms.platform import Platform


def with_links(*links: dict[str, Any], name: str = "edge") -> Experiment:
    """Return one of the paper's scenarios with other links."""
    experiment = only(name, 1)
    scenario = experiment.scenarios[0].model_copy(update={"links": tuple(LinkSpec(**link) for link in links)})
    return experiment.model_copy(update={"scenarios": (scenario,)})


def on(platform: str) -> Inventory:
    """Return the paper's nodes with another platform."""
    nodes = inventory()
    variables = {host: {**known, "function_platform": platform} for host, known in nodes.variables.items()}
    return Inventory(nodes.name, nodes.groups, variables)


def pairs(placed: Placement) -> list[tuple[str, str]]:
    return [(link["source"], link["target"]) for link in placed.links]


def test_on_the_papers_nodes_each_scenario_has_its_own_and_every_ordered_pair_is_a_link() -> None:
    placed = place(paper(), inventory())
    assert placed.base_stations == {"bs": inventory().address("bs")}
    assert {name: service.nodes for name, (service,) in placed.services.items()} == {
        "edge": ("edge-1", "edge-2"),
        "cloud": ("cloud-1",),
    }
    assert sorted(pairs(placed)) == sorted(
        [*permutations(("bs", "edge-1", "edge-2"), 2), *permutations(("bs", "cloud-1"), 2)]
    )
    edge = next(link for link in placed.links if link["target"] == "edge-2")
    asked = {
        "source": "bs",
        "target": "edge-2",
        "delay_ms": 1.25,
        "jitter_ms": 0.25,
        "loss_percent": 0.02,
        "reorder": True,
    }
    assert asked.items() <= edge.items()
    assert not any(edge[key] for key in ("duplicate_percent", "corrupt_percent", "loss_correlation_percent"))


def test_a_gateway_is_a_compute_node_on_a_port_of_its_own() -> None:
    placed = place(paper(), inventory())
    for index, (service,) in enumerate(placed.services.values()):
        assert service.gateway == service.nodes[0]
        address = inventory().variable(service.gateway, "data_address")
        assert service.url == f"http://{address}:{FIRST_PORT + index}/"
        assert service.variables()["port"] == FIRST_PORT + index


def test_on_knative_all_services_share_the_gateways_port() -> None:
    nodes = on("knative")
    placed = place(paper(), nodes)
    assert placed.platform.name == "knative"
    assert placed.variables()["knative_congestion_control"] == "cubic"
    services = placed.services
    assert {service.url for (service,) in services.values()} == {
        f"http://{nodes.variable(node, 'data_address')}:{FIRST_PORT}/" for node in ("edge-1", "cloud-1")
    }


def test_on_plain_kubernetes_everything_stands_where_it_does_on_processes() -> None:
    cluster, processes = place(paper(), on("kubernetes")), place(paper(), on("process"))
    assert (cluster.platform.is_cluster, processes.platform.is_cluster) == (True, False)
    assert cluster.services == processes.services
    assert cluster.variables() == processes.variables()


@pytest.mark.parametrize("scenario", ["edge", "cloud"])
@pytest.mark.parametrize("group", ["edge", "cloud"])
def test_either_scenario_runs_on_either_kind_of_nodes(scenario: str, group: str) -> None:
    nodes = inventory({"base_stations": ("bs",), group: ("a", "b", "c")})
    service = place(only(scenario, 1), nodes).services[scenario][0]
    assert service.nodes == (("a", "b") if scenario == "edge" else ("a",))


def test_a_group_with_too_few_nodes_gives_way_to_the_next() -> None:
    nodes = inventory({"base_stations": ("bs",), "edge": ("edge-1",), "cloud": ("cloud-1",)})
    assert place(only("edge", 1), nodes).services["edge"][0].nodes == ("edge-1", "cloud-1")


def test_every_base_station_has_links_to_every_node_and_to_the_others() -> None:
    nodes = inventory({**PAPER, "base_stations": ("bs-1", "bs-2")})
    assert sorted(pairs(place(only("edge", 1), nodes))) == sorted(permutations(("bs-1", "bs-2", "edge-1", "edge-2"), 2))


def test_links_between_two_groups_go_both_ways_and_leave_the_others_alone() -> None:
    placed = place(
        with_links({"between": ("base_stations", "edge"), "delay_ms": 5}, {"between": ("edge", "edge"), "delay_ms": 1}),
        inventory(),
    )
    assert {(link["source"], link["target"]): link["delay_ms"] for link in placed.links} == {
        **{("bs", node): 5 for node in PAPER["edge"]},
        **{(node, "bs"): 5 for node in PAPER["edge"]},
        ("edge-1", "edge-2"): 1,
        ("edge-2", "edge-1"): 1,
    }


@pytest.mark.parametrize(
    ("experiment", "nodes", "sentence"),
    [
        (paper(), inventory({**PAPER, "base_stations": ()}), "inventory trial: group base_stations is empty"),
        (
            only("edge", 1),
            inventory({"base_stations": ("bs",), "edge": ("edge-1",)}),
            "scenario edge needs 2 nodes in one of the groups edge, compute; inventory trial has too few",
        ),
        (
            only("cloud", 1),
            inventory({"base_stations": ("bs",)}),
            "scenario cloud needs 1 node in one of the groups cloud, compute; .*add them to its hosts.yml",
        ),
        (
            paper(),
            inventory({"base_stations": ("bs",), "edge": ("edge-1", "edge-2")}),
            "inventory trial: scenarios shape the link bs -> edge-1 differently .*run them one by one",
        ),
        (
            with_links({"delay_ms": 5}, {"between": ("base_stations", "edge"), "delay_ms": 5}),
            inventory(),
            "scenario edge: the link bs -> edge-1 is named by two entries of links; .*once",
        ),
        (
            with_links({"between": ("base_stations", "egde"), "delay_ms": 5}),
            inventory(),
            "scenario edge: links between base_stations and egde: none of the scenario's nodes is in a group egde",
        ),
        (
            with_links({"between": ("base_stations", "cloud"), "delay_ms": 5}),
            inventory(),
            "none of the scenario's nodes is in a group cloud of inventory trial; these are bs, edge-1, edge-2",
        ),
    ],
)
def test_what_cannot_stand_is_one_sentence(experiment: Experiment, nodes: Inventory, sentence: str) -> None:
    with pytest.raises(SpecError, match=sentence) as caught:
        place(experiment, nodes)
    assert "\n" not in str(caught.value)


def test_links_that_two_scenarios_shape_alike_are_shaped_once() -> None:
    scenarios = (only("edge", 1).scenarios[0], only("edge", 1).scenarios[0].model_copy(update={"name": "again"}))
    placed = place(paper().model_copy(update={"scenarios": scenarios}), inventory())
    assert len(placed.links) == len(set(pairs(placed))) == 6


def test_a_node_without_an_address_on_the_measured_network_is_named() -> None:
    nodes = Inventory("trial", inventory().groups, {**inventory().variables, "cloud-1": {}})
    with pytest.raises(InventoryError, match=r"inventory trial: host cloud-1 has no variable data_address; set it in"):
        place(paper(), nodes)


def test_a_function_that_scales_to_zero_needs_a_cluster() -> None:
    with pytest.raises(
        SpecError, match=r"the platform process of inventory trial cannot do: .*function_platform knative"
    ):
        place(only("cold", 1), inventory())
    nodes = on("knative")
    service = place(only("cold", 1), nodes).services["cold"][0]
    assert service.variables()["scale_to_zero"] is True
    assert "scale_to_zero" not in place(only("edge", 1), nodes).services["edge"][0].variables()


def test_an_image_of_others_needs_a_cluster() -> None:
    experiment = only("edge", 1)
    image = f"registry.example.org:5000/word-count:1@sha256:{'0' * 64}"
    function = FunctionSpec(nodes=("edge",), replicas=2, image=image)
    scenario = experiment.scenarios[0].model_copy(update={"function": function})
    experiment = experiment.model_copy(update={"scenarios": (scenario,)})
    with pytest.raises(
        SpecError,
        match=r"scenario edge: function\.image: the platform process of inventory trial serves Python modules.*knative",
    ):
        place(experiment, inventory())
    assert place(experiment, on("knative")).services["edge"][0].variables()["image"] == image
    assert "image" not in place(paper(), on("knative")).services["edge"][0].variables()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"image": "registry.example.org/words:latest"}, "expected a name with its digest, registry/name@sha256:<64"),
        ({"image": "registry.example.org/words@sha256:12"}, "expected a name with its digest"),
        ({"image": f"words@sha256:{'0' * 64}", "module": "app.words"}, "module: image is set too, which serves words@"),
    ],
)
def test_an_image_without_a_digest_or_beside_a_module_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        FunctionSpec(nodes=("edge",), replicas=2, **changes)


def test_deployments_do_not_scale_to_zero_and_that_is_said_before_anything_is_touched() -> None:
    sentence = (
        "scenario cold scales to zero, which the platform kubernetes of inventory trial cannot do: use an inventory with "
        "function_platform knative"
    )
    with pytest.raises(SpecError, match=f"^{sentence}$"):
        place(only("cold", 1), on("kubernetes"))


def test_gpus_need_a_platform_that_gives_them() -> None:
    experiment = only("edge", 1)
    scenario = experiment.scenarios[0]
    with_gpus = scenario.model_copy(update={"function": scenario.function.model_copy(update={"gpus": 1})})
    experiment = experiment.model_copy(update={"scenarios": (with_gpus,)})
    with pytest.raises(SpecError, match=r"function.gpus 1, which the platform process .* kubernetes or knative$"):
        place(experiment, inventory())
    assert place(experiment, on("kubernetes")).services["edge"][0].variables()["gpus"] == 1
    assert "gpus" not in place(only("edge", 1), on("kubernetes")).services["edge"][0].variables()


def test_knative_has_one_congestion_control_for_all() -> None:
    experiment = paper()
    other = experiment.scenarios[1].model_copy(
        update={"transport": experiment.scenarios[1].transport.model_copy(update={"congestion_control": "bbr"})}
    )
    mixed = experiment.model_copy(update={"scenarios": (experiment.scenarios[0], other)})
    place(mixed, inventory())
    place(mixed, on("kubernetes"))
    with pytest.raises(SpecError, match="scenarios have bbr and cubic; give them the same congestion_control"):
        place(mixed, on("knative"))


def test_replicas_that_scale_to_zero_are_left_idle_until_they_have_ended() -> None:
    experiment = only("cold", 1)
    scenario = experiment.scenarios[0]
    hasty = scenario.model_copy(update={"requests": scenario.requests.model_copy(update={"idle_s": 45})})
    with pytest.raises(SpecError, match=r"scenario cold: requests.idle_s 45 .* on knative .* use at least 60"):
        place(experiment.model_copy(update={"scenarios": (hasty,)}), on("knative"))


def test_a_platform_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(
        SpecError, match="unknown function_platform 'nosuch'; expected one of process, kubernetes, knative"
    ):
        place(paper(), on("nosuch"))


def test_a_scenario_may_name_the_module_that_is_served() -> None:
    experiment = only("edge", 1)
    scenario = experiment.scenarios[0]
    served = scenario.model_copy(update={"function": scenario.function.model_copy(update={"module": "app.words"})})
    ((service,),) = place(experiment.model_copy(update={"scenarios": (served,)}), inventory()).services.values()
    assert service.variables()["module"] == "app.words"
    assert "module" not in place(experiment, inventory()).services["edge"][0].variables()


@pytest.mark.parametrize("platform", platforms.PLATFORMS, ids=lambda platform: platform.name)
def test_each_platform_has_its_tasks_and_a_playbook_where_it_is_made(platform: Platform, root: Path) -> None:
    assert (root / "roles" / "function" / "tasks" / platform.name / "deploy.yml").is_file()
    assert (root / "roles" / "function" / "vars" / f"{platform.name}.yml").is_file()
    assert (root / "playbooks" / "platforms" / f"{platform.name}.yml").is_file() == platform.is_made


@pytest.mark.parametrize("platform", platforms.PLATFORMS, ids=lambda platform: platform.name)
def test_a_platform_is_named_in_its_own_module_only(platform: Platform, root: Path) -> None:
    modules = [path for package in ("experiments", "nodes", "collect") for path in (root / package).rglob("*.py")]
    named = [path for path in modules if f'"{platform.name}"' in path.read_text(encoding="utf-8")]
    assert named == [root / "experiments" / "platforms" / f"{platform.name}.py"]
    for playbook in (root / "playbooks").glob("*.yml"):
        assert f"== '{platform.name}'" not in playbook.read_text(encoding="utf-8")

"""What a lab is made of, without making one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils.lab.plan import LabError, core_warning, hardware_address, make_lab, spread_cores

NAMES = ["bs", "edge-1", "edge-2", "cloud-1"]
COMPUTE = NAMES[1:]
PARAMETERS: dict[str, Any] = {
    "prefix": "fb",
    "folder": "/var/lib/faasbed-lab",
    "state_dir": "/var/lib/faasbed",
    "management_network": "198.18.0.0/24",
    "data_network": "198.19.0.0/24",
    "management_addresses": {name: f"198.18.0.{10 + place}" for place, name in enumerate(NAMES)},
    "data_addresses": {name: f"198.19.0.{10 + place}" for place, name in enumerate(NAMES)},
    "compute": COMPUTE,
}


def lab_with(**changes: Any) -> Any:
    return make_lab({**PARAMETERS, **changes}, [0, 1])


def test_with_enough_cores_each_compute_node_has_one_and_the_base_station_the_rest() -> None:
    pinned = spread_cores(COMPUTE, NAMES, [0, 1, 2, 3, 4])
    assert pinned == {"bs": (3, 4), "edge-1": (0,), "edge-2": (1,), "cloud-1": (2,)}


def test_with_two_cores_the_edge_nodes_do_not_share_one_and_the_base_station_is_free() -> None:
    pinned = spread_cores(COMPUTE, NAMES, [0, 1])
    assert pinned == {"bs": (), "edge-1": (0,), "edge-2": (1,), "cloud-1": (0,)}


def test_only_the_cores_that_are_ours_to_use_are_given_away() -> None:
    assert spread_cores(COMPUTE, NAMES, [6, 7])["edge-2"] == (7,)


def test_too_few_cores_are_told_in_one_sentence() -> None:
    assert core_warning(lab_with().nodes, 2) == (
        "2 cores for 4 busy parts: edge-1 and cloud-1 share core 0, bs is not pinned; "
        "parts that are busy at the same time slow each other down."
    )


def test_enough_cores_are_no_reason_for_a_warning() -> None:
    assert core_warning(make_lab(PARAMETERS, [0, 1, 2, 3]).nodes, 4) is None


def test_interface_names_fit_the_kernel_even_in_a_wide_network_with_long_host_names() -> None:
    name = "a-base-station-with-a-very-long-name"
    lab = lab_with(
        prefix="abcdef",
        management_network="198.18.0.0/16",
        data_network="198.19.0.0/16",
        management_addresses={name: "198.18.255.254"},
        data_addresses={name: "198.19.255.254"},
        compute=[],
    )
    names = [lab.bridge, lab.data_namespace, *(cable.port for cable in lab.cables(lab.nodes[0]))]
    assert all(len(name) <= 15 and name.startswith("abcdef") for name in names), names


def test_a_node_that_is_made_anew_has_the_hardware_address_it_had() -> None:
    assert hardware_address("198.18.0.11/24") == "02:fb:c6:12:00:0b"


def test_the_description_says_where_each_node_is() -> None:
    described = json.loads(lab_with().description(usable_cores=2))
    assert described["nodes"]["edge-2"] == {
        "namespace": "fb-edge-2",
        "cores": [1],
        "management_address": "198.18.0.12",
        "data_address": "198.19.0.12",
        "data_interface": "data0",
    }


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"prefix": "Testbed"}, "lab_prefix='Testbed': expected two to six lower-case letters"),
        ({"management_network": "198.18.0.1/24"}, "lab_management_network='198.18.0.1/24' is not a network"),
        ({"data_network": "fd00::/64"}, "lab_data_network='fd00::/64': use an IPv4 network"),
        ({"data_network": "198.18.0.0/16"}, "overlap: choose separate networks"),
        ({"management_addresses": {}}, "group `nodes` is empty"),
        ({"management_addresses": {"Edge_1": "198.18.0.11"}}, "'Edge_1' cannot name a node"),
        (
            {"management_addresses": {"bs": "10.0.0.1"}},
            "ansible_host of bs is 10.0.0.1, outside the lab's 198.18.0.0/24",
        ),
        (
            {"management_addresses": {"bs": "198.18.0.1"}},
            "ansible_host of bs is 198.18.0.1, which belongs to the machine",
        ),
        ({"data_addresses": {"bs": "somewhere"}}, "data_address of bs is 'somewhere', not an IPv4 address"),
        ({"data_addresses": {"bs": "198.19.0.9", "edge-1": "198.19.0.9"}}, "edge-1 is 198.19.0.9, which belongs to bs"),
        ({"folder": "/" + 82 * "x"}, "has 83 characters, 76 at most allowed: ssh keeps sockets in it"),
        ({"state_dir": "/var/lib/faasbed-lab/nodes/bs"}, "contain one another: choose separate folders"),
    ],
)
def test_a_lab_that_cannot_be_is_refused_by_the_name_of_the_variable(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(LabError) as refused:
        lab_with(**changes)
    assert sentence in str(refused.value)

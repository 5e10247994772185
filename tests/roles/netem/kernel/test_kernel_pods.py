"""Links of the kernel's backend between nodes that have pods, as flannel makes them by vxlan and by host-gw."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from draws import largest_draw_bytes
from wires import Wires, link

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.lab, pytest.mark.long]

LINKS = [link("a", "b", 400), link("b", "a", 400)]  # long enough for what waits in them to be looked at
NUMBERS = {"a": 1, "b": 2}
MACS = {"a": "02:00:00:00:01:0a", "b": "02:00:00:00:01:0b"}
PAIRS = (("a", "b"), ("b", "a"))


@pytest.fixture(scope="module")
def pods(wires: Wires) -> Iterator[Wires]:
    """Nodes a and b with a pod each behind vxlan, 10.42.<number>.5, and another that nobody has a route to, 10.43.<number>.5."""
    for here, there in PAIRS:
        mine, theirs = NUMBERS[here], NUMBERS[there]
        for command in (
            f"ip link add flannel.1 type vxlan id 1 dev data0 local {wires.address(here)} dstport 8472 nolearning",
            f"ip link set flannel.1 address {MACS[here]} mtu 1450 up",
            f"ip addr add 10.42.{mine}.0/32 dev flannel.1",
            f"ip neigh add 10.42.{theirs}.0 lladdr {MACS[there]} dev flannel.1",
            f"bridge fdb append {MACS[there]} dev flannel.1 dst {wires.address(there)}",
            f"ip route add 10.42.{theirs}.0/24 via 10.42.{theirs}.0 dev flannel.1 onlink",
            f"ip addr add 10.42.{mine}.5/32 dev lo",
            f"ip addr add 10.43.{mine}.5/32 dev lo",
        ):
            wires.run(here, *command.split())
    yield wires
    for node, number in NUMBERS.items():
        wires.links(node, "absent")
        wires.run(node, "ip", "link", "del", "flannel.1")
        for network in (42, 43):
            wires.run(node, "ip", "addr", "del", f"10.{network}.{number}.5/32", "dev", "lo")


@pytest.fixture(scope="module")
def before(pods: Wires) -> dict[str, str]:
    """What the nodes' interfaces are before any link."""
    return {node: pods.tc(node) for node in NUMBERS}


def shape(wires: Wires) -> list[bool]:
    """Shape both ways, and return for a and b whether that changed anything."""
    return [wires.links(node, "present", LINKS, backend="kernel")["changed"] for node in NUMBERS]


@pytest.fixture(scope="module")
def shaped(pods: Wires, before: dict[str, str]) -> Wires:
    """The nodes with their links in force."""
    assert shape(pods) == [True, True]
    return pods


def test_pods_behind_vxlan_are_shaped_with_their_hosts_and_each_frame_by_a_draw_of_its_own(shaped: Wires):
    assert 800 < shaped.connect_ms("a", "10.42.2.5", 9, "10.42.1.5") < 1200  # two ways of 400 ms, not three
    assert 1000 < largest_draw_bytes(shaped, "10.42.2.5") <= 1514


def test_pods_behind_a_route_to_their_host_are_its_own_and_a_new_route_is_a_change_to_come(shaped: Wires):
    for here, there in PAIRS:
        shaped.run(here, *f"ip route add 10.43.{NUMBERS[there]}.0/24 via {shaped.address(there)} dev data0".split())
    try:
        assert shaped.connect_ms("a", "10.43.2.5", 9, "10.43.1.5") < 400, "the links do not know the route yet"
        assert shaped.links("a", "present", LINKS, backend="kernel", check=True)["diff"] == {
            "before": "a -> b: 400 ms, 0 % loss\n",
            "after": "a -> b: 400 ms, 0 % loss, also to 10.43.2.0/24 behind it\n",
        }
        assert shape(shaped) == [True, True]
        assert shape(shaped) == [False, False]
        assert 800 < shaped.connect_ms("a", "10.43.2.5", 9, "10.43.1.5") < 1200
    finally:
        for here, there in PAIRS:
            shaped.run(here, "ip", "route", "del", f"10.43.{NUMBERS[there]}.0/24")


def test_pods_interfaces_are_left_as_they_were(shaped: Wires, before: dict[str, str]):
    assert "flannel.1" in before["a"]
    assert {node: shaped.tc(node) for node in NUMBERS} != before
    for node in NUMBERS:
        shaped.links(node, "absent")
    assert {node: shaped.tc(node) for node in NUMBERS} == before

"""What a node reaches by way of a link's target is shaped with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible.module_utils.netem.addresses import with_routed
from wires import link

if TYPE_CHECKING:
    from wires import Wires

ADDRESSES = {"a": ["192.0.2.1"], "b": ["192.0.2.2", "2001:db8::2"], "c": ["192.0.2.3", "10.42.3.0/24"]}


def routed(*routes: tuple[str, str]) -> list[str]:
    extended = with_routed(ADDRESSES, ["b"], routes)
    assert {host: extended[host] for host in ("a", "c")} == {host: ADDRESSES[host] for host in ("a", "c")}
    return extended["b"][2:]


def test_ranges_by_way_of_a_target_are_its_own_by_either_family():
    assert routed(("10.42.2.0/24", "192.0.2.2"), ("10.42.9.0/24", "192.0.2.9")) == ["10.42.2.0/24"]
    assert routed(("2001:db8:42::/64", "2001:db8::2")) == ["2001:db8:42::/64"]
    assert routed() == []


def test_a_range_in_which_another_host_is_is_nobodys():
    assert routed(("192.0.2.0/24", "192.0.2.2")) == []
    assert routed(("10.42.0.0/16", "192.0.2.2")) == []


def test_a_range_that_was_listed_is_not_listed_again():
    given = ADDRESSES | {"b": ["192.0.2.2", "10.42.2.0/24"]}
    assert with_routed(given, ["b"], [("10.42.2.0/24", "192.0.2.2")]) == given


def test_a_range_behind_a_host_is_emulated_with_it(wires: Wires):
    wires.run("b", "ip", "addr", "add", "10.42.2.5/32", "dev", "lo")
    wires.run("a", "ip", "route", "add", "10.42.2.0/24", "via", wires.address("b"), "dev", "data0")
    wires.run("a", "ip", "route", "add", "default", "via", wires.address("b"), "dev", "data0")
    wires.links("a", "present", [link("a", "b", 40)], backend="emulator")
    assert 40 < wires.connect_ms("a", "10.42.2.5", 9) < 80
    wires.run("b", "ip", "addr", "add", "10.99.0.5/32", "dev", "lo")
    assert wires.connect_ms("a", "10.99.0.5", 9) < 40, "a default route makes nothing the target's own"

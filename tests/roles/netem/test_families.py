"""Nodes have IPv4, IPv6 or both: their links are shaped, measured and judged by what they have."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.netem.addresses import ends, listed, own
from ansible.module_utils.node.errors import NodeError
from wires import ModuleFailedError, Wires, link

LINKS = [link("a", "b", 5, 1), link("b", "a", 5, 1)]


def emulated(wires: Wires, addresses: dict[str, Any]) -> list[dict[str, Any]]:
    """Shape the links of nodes that have these addresses, and return the gate's verdicts."""
    wires.baseline(LINKS, addresses=addresses)
    for node in ("a", "b"):
        wires.links(node, "present", LINKS, backend="emulator", addresses=addresses)
    return wires.verdicts(LINKS, addresses=addresses)


def shaped(entries: list[dict[str, Any]]) -> list[tuple[str, int]]:
    """Return source and family of the entries whose link is there, on a machine however busy."""
    return [
        (one["link"]["source"], one["family"])
        for one in entries
        if one["delay"]["median_ms"] == pytest.approx(5, abs=0.5)
    ]


def test_a_host_is_probed_by_its_first_address_of_each_family_that_is_no_range():
    assert own("a", ["10.42.0.0/24", "192.0.2.1", "192.0.2.2", "2001:db8::/64", "2001:db8::1/128"]) == {
        4: "192.0.2.1",
        6: "2001:db8::1",
    }


def test_a_link_is_probed_by_what_both_of_its_ends_have():
    addresses = listed({"a": ["192.0.2.1", "2001:db8::1"], "b": "2001:db8::2", "c": ["192.0.2.3", "2001:db8::3"]})
    assert ends("a", "b", addresses) == {6: ("2001:db8::1", "2001:db8::2")}
    assert list(ends("a", "c", addresses)) == [4, 6]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"a": "192.0.2.1", "b": "2001:db8::2"}, "a has 192.0.2.1 and b has 2001:db8::2"),
        ({"a": "192.0.2.1", "b": ["192.0.2.0/28"]}, "a has 192.0.2.1 and b has none"),
        ({"a": "192.0.2.1", "b": 5}, "netem_addresses of b is 5: expected an address or a list of them"),
        ({"a": "192.0.2.1", "b": None}, "netem_addresses of b is None"),
        ({"a": "192.0.2.1", "b": "edge-1"}, "'edge-1' does not appear to be an IPv4 or IPv6 network. Correct"),
    ],
)
def test_addresses_that_cannot_be_are_refused_in_words(given: dict[str, Any], words: str):
    with pytest.raises(NodeError, match=words):
        ends("a", "b", listed(given))


@pytest.mark.lab
def test_links_of_nodes_with_ipv6_only_are_what_was_asked_for(wires: Wires):
    entries = emulated(wires, wires.addresses("IPv6"))
    assert shaped(entries) == [("a", 6), ("b", 6)]
    assert entries[0]["sentence"].startswith("a -> b by IPv6: 5 ms ± 1 ms, 0 % loss: measured ")
    assert wires.verdicts([link("a", "b", 0)], probes=200, patience_s=0)[0]["delay"]["median_ms"] < 1, (
        "IPv4 is not theirs"
    )


@pytest.mark.lab
def test_links_of_nodes_with_both_kinds_of_address_are_judged_by_each(wires: Wires):
    addresses = wires.addresses("both")
    entries = emulated(wires, addresses)
    assert shaped(entries) == [("a", 4), ("a", 6), ("b", 4), ("b", 6)]
    by_ipv6 = "filter del dev data0 egress protocol ipv6 pref 64003"
    wires.run("a", "tc", *by_ipv6.split())
    entries = wires.verdicts(LINKS, addresses=addresses, patience_s=10)
    assert shaped(entries) == [("a", 4), ("b", 4), ("b", 6)]
    assert not entries[1]["ok"]
    assert entries[1]["problems"][0].startswith("delay 0.")
    assert wires.run("a", "ip", "netns", "pids", f"{wires.prefix}-b").count("\n") == 1, "only the link's emulator stays"


@pytest.mark.lab
def test_what_a_link_carries_is_measured_by_ipv6_where_there_is_nothing_else(wires: Wires):
    addresses = wires.addresses("IPv6")
    limited = [link("a", "b", 2, rate_mbit=20)]
    wires.links("a", "present", limited, backend="emulator", addresses=addresses)
    try:
        for node in ("a", "b"):
            wires.probes(node, "responding", addresses=addresses)
        streams = wires.probes("a", "streamed", limited, stream_s=2, stream_to=["b"], addresses=addresses)["streams"]
    finally:
        for node in ("a", "b"):
            wires.probes(node, "silent")
    assert 15 < streams["b"]["mbit"] < 20.5


@pytest.mark.lab
def test_an_address_that_the_node_does_not_have_is_named(wires: Wires):
    with pytest.raises(ModuleFailedError, match=r"cannot listen on .*99 port 31999/udp: .* does not have that"):
        wires.probes("a", "responding", addresses={"a": "198.19.128.99"})

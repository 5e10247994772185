"""Links of the kernel's backend between nodes that have IPv4, IPv6 or both: shaped and judged by what they have."""

from __future__ import annotations

import pytest
from verdicts import LINKS, PROBES, stated_ms, verdicts
from wires import Wires, link

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.usefixtures("answering")]


@pytest.fixture(scope="module")
def shaped(request: pytest.FixtureRequest, wires: Wires) -> Wires:
    """Nodes a and b with links for their addresses of one family, or both."""
    for node in ("a", "b"):
        wires.links(node, "present", LINKS, backend="kernel", addresses=wires.addresses(request.param))
    return wires


@pytest.mark.parametrize("shaped", ["IPv6"], indirect=True)
def test_links_of_nodes_with_ipv6_only_are_what_was_asked_for(shaped: Wires):
    entries = verdicts(shaped, {("a", 6), ("b", 6)}, "IPv6")
    assert [(entry["link"]["source"], entry["family"], entry["problems"]) for entry in entries] == [
        ("a", 6, []),
        ("b", 6, []),
    ]
    (beside,) = shaped.judged([link("a", "b", 0)], PROBES, addresses=shaped.addresses("IPv4"))
    assert beside["delay"]["median_ms"] < beside["path"]["control"]["median_ms"] + 1


@pytest.mark.parametrize("shaped", ["both"], indirect=True)
def test_links_of_nodes_with_both_kinds_of_address_are_shaped_and_judged_by_each(shaped: Wires):
    entries = verdicts(shaped, {("a", 4), ("a", 6), ("b", 4), ("b", 6)}, "both")
    assert [(entry["link"]["source"], entry["family"], entry["problems"]) for entry in entries] == [
        ("a", 4, []),
        ("a", 6, []),
        ("b", 4, []),
        ("b", 6, []),
    ]
    again = shaped.links("a", "present", LINKS, backend="kernel", addresses=shaped.addresses("both"))
    assert not again["changed"]


@pytest.mark.parametrize("shaped", ["both"], indirect=True)
def test_a_link_that_is_shaped_for_one_kind_of_address_only_fails_by_the_other(shaped: Wires):
    by_ipv6 = "filter del dev data0 parent fb00: protocol ipv6 pref 64003"
    shaped.run("a", "tc", *by_ipv6.split())
    there, there6, back, back6 = verdicts(shaped, {("a", 4), ("b", 4), ("b", 6)}, "both")
    assert (there["family"], there["ok"], back["ok"], back6["ok"]) == (4, True, True, True)
    assert (there6["family"], there6["ok"]) == (6, False)
    assert -1 < stated_ms(there6, "delay") < 1

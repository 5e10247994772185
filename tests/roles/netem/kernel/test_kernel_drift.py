"""The kernel's backend on a real kernel: what somebody else changed is noticed, and somebody else's qdiscs are kept."""

from __future__ import annotations

import pytest
from wires import ModuleFailedError, Wires, link

pytestmark = pytest.mark.lab

LINKS = [link("a", "b", 15, 3, 0.24), link("a", "c", 1.25, 0.25)]


@pytest.fixture(scope="module")
def shaped(wires: Wires) -> Wires:
    """The nodes with their links in force, which each test has to leave so."""
    wires.links("a", "present", LINKS)
    return wires


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("ip link set data0 gso_max_segs 64", "`gso_max_segs 1 data0` is gone and `gso_max_segs 64 data0` is new"),
        ("tc qdisc change dev data0 parent fb00:1 handle fb01: netem delay 30ms", "delay 30ms` is new"),
        ("tc qdisc del dev data0 root", "the links were removed from data0 by something other than this role"),
    ],
    ids=["gso", "leaf", "root"],
)
def test_what_was_changed_behind_the_links_back_is_named_and_mended(shaped: Wires, command: str, words: str):
    shaped.run("a", *command.split())
    assert words in shaped.links("a", "present", LINKS, check=True)["drift"]
    assert shaped.links("a", "present", LINKS)["changed"]


def test_nothing_differs_after_links_were_applied_and_mended(shaped: Wires):
    assert shaped.links("a", "present", LINKS, check=True)["drift"] is None


def test_a_qdisc_that_was_there_before_is_put_back(wires: Wires):
    theirs = "qdisc add dev data0 root handle 5: tbf rate 500mbit burst 64kb latency 50ms"
    wires.run("c", "tc", *theirs.split())
    try:
        before = wires.tc("c")
        assert "qdisc tbf 5: root" in before
        wires.links("c", "present", [link("c", "a", 5)])
        assert "qdisc tbf" not in wires.tc("c")
        wires.links("c", "absent")
        assert wires.tc("c") == before
    finally:
        wires.run("c", "tc", "qdisc", "del", "dev", "data0", "root")


def test_a_tree_that_could_not_be_put_back_is_refused(wires: Wires):
    for theirs in (
        "qdisc add dev data0 root handle 7: htb",
        "class add dev data0 parent 7: classid 7:1 htb rate 1gbit",
        "qdisc add dev data0 parent 7:1 handle 8: netem delay 1ms",
    ):
        wires.run("c", "tc", *theirs.split())
    try:
        with pytest.raises(ModuleFailedError, match=r"^data0 already has a htb with classes of its own"):
            wires.links("c", "present", [link("c", "a", 5)])
    finally:
        wires.run("c", "tc", "qdisc", "del", "dev", "data0", "root")

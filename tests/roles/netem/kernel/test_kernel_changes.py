"""The kernel's backend on a real kernel: links are changed, removed, and pass what they are to leave alone."""

from __future__ import annotations

from typing import Any

import pytest
from draws import largest_draw_bytes
from wires import ModuleFailedError, Wires, link

pytestmark = pytest.mark.lab

LINKS = [link("a", "b", 15, 3, 0.24), link("a", "c", 1.25, 0.25)]
CHANGED = [LINKS[0], link("a", "c", 2.5, 0.25, 1, reorder=False)]


def leaves(wires: Wires) -> list[str]:
    """What `tc` lists of node a's links, a line each."""
    return [" ".join(line.split()) for line in wires.tc("a").splitlines() if line.startswith("qdisc netem")]


def test_removal_leaves_everything_as_it_was(wires: Wires):
    before = wires.tc("a")
    assert "netem" not in before
    wires.links("a", "present", LINKS)
    assert wires.tc("a") != before
    assert wires.links("a", "absent")["changed"]
    assert wires.tc("a") == before
    assert not wires.links("a", "absent")["changed"]


def test_a_changed_value_changes_its_leaf_and_no_other(wires: Wires):
    wires.links("a", "present", LINKS)
    before = leaves(wires)
    coming = wires.links("a", "present", CHANGED, check=True)["diff"]
    assert coming["before"] == "a -> b: 15 ms ± 3 ms, 0.24 % loss\na -> c: 1.25 ms ± 0.25 ms, 0 % loss\n"
    assert coming["after"].splitlines()[1] == "a -> c: 2.5 ms ± 0.25 ms, 1 % loss, order kept"
    assert leaves(wires) == before
    assert wires.links("a", "present", CHANGED)["changed"]
    changed = "qdisc netem fb02: parent fb00:2 limit 4375 delay 2.5ms 249us loss 1% rate 100Gbit"
    assert leaves(wires) == [before[0], changed]


def test_all_that_a_link_can_ask_for_is_given_and_taken_back_by_a_change(wires: Wires):
    everything: dict[str, Any] = {
        "gilbert_elliott": {"enter_percent": 1, "leave_percent": 9},
        "duplicate_percent": 2,
        "corrupt_percent": 3,
        "distribution": "pareto",
        "rate_mbit": 20,
        "reorder": False,
    }
    wires.links("a", "present", [link("a", "b", 15, 3, **everything)])
    (full,) = leaves(wires)
    for words in (
        "delay 15ms 3ms",
        "loss gemodel p 1% r 9% 1-h 100% 1-k 0%",
        "duplicate 2%",
        "corrupt 3%",
        "rate 20Mbit",
    ):
        assert words in full
    wires.links("a", "present", [link("a", "b", 15, 3, distribution="uniform")])
    assert leaves(wires) == ["qdisc netem fb01: parent fb00:1 limit 33750 delay 15ms 3ms"]


def test_a_seed_is_refused_where_tc_is_too_old_for_it(wires: Wires):
    with pytest.raises(ModuleFailedError, match=r"seed needs iproute2 6\.6"):
        wires.links("a", "present", [link("a", "b", 15, seed=7)])


def test_management_passes_unshaped_where_it_takes_the_same_interface(wires: Wires):
    for node in ("a", "b"):
        wires.links(node, "present", [link("a", "b", 50), link("b", "a", 50)])
    assert wires.connect_ms("a", wires.address("b"), 9) > 100
    assert any(wires.connect_ms("a", wires.address("b"), 22) < 50 for _ in range(10))


def test_netem_draws_for_one_frame_at_a_time_and_would_for_many_with_gso(wires: Wires):
    wires.links("a", "present", [link("a", "b", 400)])
    assert 1000 < largest_draw_bytes(wires, wires.address("b")) <= 1514
    wires.run("a", "ip", "link", "set", "data0", "gso_max_segs", "64")
    assert largest_draw_bytes(wires, wires.address("b")) > 1514

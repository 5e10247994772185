"""The kernel's backend on a real kernel: links are in force as they were asked for."""

from __future__ import annotations

from typing import Any

import pytest
from patience import measured
from wires import Wires, link

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("answering")]

LINKS = [
    link("a", "b", 15, 3, 0.24),
    link("b", "a", 15, 3, 0.24),
    link("a", "c", 1.25, 0.25),
    link("b", "c", 2.5, 0.25, 1, reorder=False),
]
# The guest's timers are coarse and its one CPU is the host's: wake-ups alone move a delay by some 0.1 ms.
COARSE_MS, COARSE_SHARE = 0.35, 0.06
COARSE_SIGMA_MS, COARSE_SIGMA_SHARE = 0.1, 0.15


@pytest.fixture(scope="module")
def shaped(wires: Wires) -> Wires:
    """The nodes with their links in force."""
    for node in ("a", "b"):
        wires.links(node, "present", LINKS)
    return wires


def lines(dump: str, start: str) -> list[str]:
    return [" ".join(line.split()) for line in dump.splitlines() if line.startswith(start)]


def deviation(entry: dict[str, Any]) -> str | None:
    """Return how a link differs from what was asked for, beyond what the guest's timers explain."""
    late_ms = abs(entry["delay"]["median_ms"] - entry["expected"]["median_ms"])
    if late_ms > COARSE_MS + COARSE_SHARE * entry["link"]["delay_ms"]:
        return f"median {entry['delay']['median_ms']} ms: {entry['sentence']}"
    wide_ms = abs(entry["delay"]["quartile_sigma_ms"] - entry["expected"]["sigma_ms"])
    if wide_ms > COARSE_SIGMA_MS + COARSE_SIGMA_SHARE * entry["expected"]["sigma_ms"]:
        return f"sigma {entry['delay']['quartile_sigma_ms']} ms: {entry['sentence']}"
    return None


def test_the_kernels_backend_is_chosen_where_it_works(shaped: Wires):
    assert shaped.links("c", "probed", LINKS)["backend"] == "kernel"


def test_each_destination_has_a_class_with_a_netem_leaf(shaped: Wires):
    root, *leaves = lines(shaped.tc("a"), "qdisc")
    assert root.startswith("qdisc htb fb00: root refcnt 2 r2q 10 default 0 ")
    assert leaves == [
        "qdisc netem fb01: parent fb00:1 limit 33750 delay 15ms 3ms loss 0.24%",
        "qdisc netem fb02: parent fb00:2 limit 2813 delay 1.25ms 249us",
    ]
    filters = lines(shaped.tc("a"), "filter")
    assert sum("flowid fb00:1" in line or "flowid fb00:2" in line for line in filters) == 4


def test_the_links_do_what_they_say(shaped: Wires):
    entries = measured(
        lambda: shaped.judged(LINKS[:3], probes=500, patience_s=0),
        lambda entries: not any(deviation(entry) for entry in entries),
    )
    assert [deviation(entry) for entry in entries] == [None] * 3
    assert all(entry["loss"]["count"] <= 8 for entry in entries)


def test_a_link_that_keeps_order_does(shaped: Wires):
    (entry,) = shaped.judged([LINKS[3]], probes=500)
    assert entry["reordered"]["count"] == 0


def test_a_link_that_is_another_fails_the_gate(shaped: Wires):
    (entry,) = shaped.judged([link("b", "c", 1.25, 0.25)], probes=300)
    assert any(problem.startswith("delay") for problem in entry["problems"])


def test_a_second_run_changes_nothing_though_frames_passed(shaped: Wires):
    assert shaped.connect_ms("a", shaped.address("b"), 9) > 0
    assert not shaped.links("a", "present", LINKS)["changed"]

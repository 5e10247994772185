"""What a link carries by TCP stands beside what the formula says."""

from __future__ import annotations

import pytest
from ansible.module_utils.netem.gate import expected_mbit
from ansible.module_utils.netem.link import Link
from ansible.module_utils.netem.measurement import Probes
from ansible.module_utils.netem.stream import formula_mbit
from wires import Wires, link


@pytest.mark.parametrize(
    ("round_trip_ms", "loss", "rate_mbit", "expected"),
    [
        (30, 0.0024, None, 9.653),  # 1448 bytes every 30 ms, times 25
        (2.5, 0.0002, None, 401.3),
        (30, 0.0024, 5, 5),
        (30, 0, 20, 20),
    ],
)
def test_the_formula_is_that_of_mathis(round_trip_ms: float, loss: float, rate_mbit: float | None, expected: float):
    assert formula_mbit(round_trip_ms, loss, rate_mbit) == pytest.approx(expected, rel=1e-3)


def test_the_formula_says_nothing_where_nothing_limits():
    assert formula_mbit(30, 0, None) is None


def test_the_formula_takes_the_way_back_and_the_path_itself():
    there = Link.between("a", "b", delay_ms=15, jitter_ms=3, loss_percent=0.24)
    back = Link.between("b", "a", delay_ms=10)
    once = (1_000_000,) * 5
    clear = Probes(5, 2, 5, 5, once, once, once, shared_clock=False)
    assert expected_mbit(there, back, clear) == pytest.approx(9.653 * 30 / 26, rel=1e-3)


@pytest.mark.lab
def test_a_link_shows_what_it_carries(wires: Wires):
    links = [link("a", "b", 10, rate_mbit=20), link("b", "a", 10)]
    wires.baseline(links)
    for node in ("a", "b"):
        wires.links(node, "present", links, backend="emulator")
    try:
        for node in ("a", "b"):
            wires.probes(node, "responding")
        streams = wires.probes("a", "streamed", links, stream_s=3, stream_to=["b"])["streams"]
        entry = wires.probes("a", "judged", links, probes=200, streams={"a": streams})["links"][0]
    finally:
        for node in ("a", "b"):
            wires.probes(node, "silent")
    assert set(streams) == {"b"}
    assert 15 < streams["b"]["mbit"] < 20.5
    assert streams["b"]["formula_mbit"] == 20
    assert entry["tcp"] == streams["b"]
    assert "Mbit/s (formula 20): " in entry["sentence"]

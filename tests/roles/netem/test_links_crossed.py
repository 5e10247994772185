"""What links add to round trips, as the role answers it; and that connections over real links are told from others."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ansible.module_utils.netem.link import Link
from ansible.module_utils.netem.tables import DEPTH, SCALE
from wires import link

from experiments.base_station import crossing
from experiments.base_station.crossing import CONNECTIONS, Delays, RoundTrip

if TYPE_CHECKING:
    from wires import Wires

ROOT = Path(__file__).resolve().parents[3]
EDGE = Link.between("bs", "edge-1", delay_ms=1.25, jitter_ms=0.25)
CLOUD = Link.between("bs", "cloud-1", delay_ms=15, jitter_ms=3)
TAKE = """
import socket, sys
with socket.create_server((sys.argv[1], 7000), backlog=100) as server:
    print("listening", flush=True)
    while True:
        taken, _ = server.accept()
        while taken.recv(1 << 16):
            pass
        taken.close()
"""
CONNECT = """
import json, sys
from msgspec import to_builtins
from experiments.base_station import crossing
print(json.dumps(to_builtins(crossing.connect(f"http://{sys.argv[1]}:7000/", 30, sys.argv[2]))))
"""
UPLOAD = """
import json, socket, sys
from msgspec import to_builtins
from experiments.base_station import crossing
with socket.create_connection((sys.argv[1], 7000), source_address=(sys.argv[2], 0)) as sender:
    sender.sendall(bytes(1 << 20))
    sender.shutdown(socket.SHUT_WR)
    assert sender.recv(1) == b""
    print(json.dumps([to_builtins(crossing.round_trip(sender))]))
"""


def added(link: Link) -> Delays:
    drawn = link.delay.drawn
    there = Delays(drawn.lowest_ms, drawn.mean_ms, drawn.sigma_ms)
    return there.and_back(there)


def round_trips(link: Link, links: int, seed: int) -> list[RoundTrip]:
    """Of connections over so many such links and a path that takes 0.15 ms."""
    draw, unit_ms = random.Random(seed).choice, link.delay.jitter_ms / SCALE
    offsets = link.delay.offsets or (0,)
    return [
        RoundTrip(0.15 + sum(link.delay.delay_ms + unit_ms * draw(offsets) for _ in range(links)), 0)
        for _ in range(CONNECTIONS)
    ]


@pytest.mark.parametrize("distribution", DEPTH)
def test_what_a_link_adds_is_what_its_draws_are_like(distribution: str) -> None:
    jitter_ms = 15 / DEPTH[distribution]
    drawn = Link.between("bs", "edge-1", delay_ms=15, jitter_ms=jitter_ms, distribution=distribution).delay.drawn
    assert 0 <= drawn.lowest_ms < 1.5, "no draw is below zero, and this jitter is as large as may be"
    assert drawn.mean_ms == pytest.approx(15, abs=0.05 * jitter_ms)
    assert 0.5 * jitter_ms < drawn.sigma_ms < 1.05 * jitter_ms


@pytest.mark.parametrize("link", [EDGE, CLOUD, Link.between("bs", "edge-1", delay_ms=25)], ids=str)
def test_connections_over_both_links_are_never_refused_and_those_over_one_or_none_always_are(link: Link) -> None:
    expected = added(link)
    for seed in range(300):
        both = round_trips(link, 2, seed)
        assert crossing.problem_of_several("edge-1", both, expected) is None
        assert [crossing.problem("edge-1", one, expected) for one in both] == [None] * CONNECTIONS
        for links in (0, 1):
            assert crossing.problem_of_several("edge-1", round_trips(link, links, seed), expected) is not None
        assert all(crossing.problem("edge-1", one, expected) for one in round_trips(link, 0, seed))


class Crossed:
    """Links there and back between a and b, and what connections over them have for a round trip."""

    def __init__(self, wires: Wires, **values: Any) -> None:
        self.wires = wires
        links = [link("a", "b", **values), link("b", "a", **values)]
        for node in ("a", "b"):
            wires.links(node, "present", links)
        there, back = (
            Delays(**wires.links(node, "renewed", links)["delays"][other]) for node, other in (("a", "b"), ("b", "a"))
        )
        self.added = there.and_back(back)

    def round_trips(self, program: str, source: str) -> list[RoundTrip]:
        words = ["env", f"PYTHONPATH={ROOT}", sys.executable, "-c", program, self.wires.address("b"), source]
        taking = self.wires.inside("b", sys.executable, "-c", TAKE, self.wires.address("b"))
        with subprocess.Popen(taking, stdout=subprocess.PIPE, text=True) as peer:
            try:
                assert peer.stdout is not None
                assert peer.stdout.readline() == "listening\n"
                return [RoundTrip(**one) for one in json.loads(self.wires.run("a", *words))]
            finally:
                peer.kill()


@pytest.mark.lab(judges_links=False)
def test_connections_from_another_address_do_not_come_back_over_the_link(wires: Wires) -> None:
    crossed = Crossed(wires, delay_ms=15, jitter_ms=3, loss_percent=0.24)
    both = crossed.round_trips(CONNECT, wires.address("a"))
    assert len(both) == CONNECTIONS
    assert crossing.problem_of_several("b", both, crossed.added) is None
    assert not any(crossing.problem("b", one, crossed.added) for one in both)
    wires.run("a", "ip", "address", "add", "198.19.128.99/24", "dev", "data0")
    one_way = crossed.round_trips(CONNECT, "198.19.128.99")
    problem = crossing.problem_of_several("b", one_way, crossed.added)
    assert problem is not None
    assert problem.startswith("requests to b do not cross the links: connections have a round trip of 1")


@pytest.mark.lab(judges_links=False)
@pytest.mark.parametrize("reorder", [True, False])
def test_an_upload_of_which_much_is_lost_has_no_round_trip_below_that_of_the_links(wires: Wires, reorder: bool) -> None:
    crossed = Crossed(wires, delay_ms=10, jitter_ms=0, loss_percent=3, reorder=reorder)
    assert crossed.added.lowest_ms == 20
    (both,) = crossed.round_trips(UPLOAD, wires.address("a"))
    assert both.retransmissions > 0
    assert crossing.problem("b", both, crossed.added) is None
    wires.run("a", "ip", "address", "add", "198.19.128.99/24", "dev", "data0")
    (one_way,) = crossed.round_trips(UPLOAD, "198.19.128.99")
    assert crossing.problem("b", one_way, crossed.added) is not None

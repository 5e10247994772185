"""Each link is measured by one node, both directions of a pair at once where that shows the same; TCP goes over a sample."""

from __future__ import annotations

from collections import Counter
from itertools import permutations
from typing import TYPE_CHECKING, Any

import pytest
from ansible.module_utils.netem.link import Link
from ansible.module_utils.netem.pairs import Task, sample, tasks

if TYPE_CHECKING:
    from collections.abc import Sequence

NODES = [f"n{number}" for number in range(17)]


def mesh(nodes: Sequence[str], **values: Any) -> list[Link]:
    return [Link.between(a, b, **({"delay_ms": 5, "jitter_ms": 1} | values)) for a, b in permutations(nodes, 2)]


def ends(link: Link) -> dict[int, tuple[str, str]]:
    return {4: (link.source, link.target)}


def by_node(links: list[Link], both_ways: Sequence[str]) -> dict[str, list[Task]]:
    return {node: tasks(node, links, both_ways, ends) for node in NODES}


@pytest.mark.parametrize("both_ways", [(), NODES[:5], NODES], ids=["none", "some", "all"])
def test_each_link_is_measured_once(both_ways: Sequence[str]):
    links = mesh(NODES)
    measured = Counter(
        link for several in by_node(links, both_ways).values() for task in several for link in task.links
    )
    assert measured == Counter(links)


def test_one_exchange_measures_both_directions_and_the_nodes_share_them():
    shared = by_node(mesh(NODES), NODES)
    assert sum(map(len, shared.values())) == 17 * 16 / 2
    assert max(map(len, shared.values())) <= 2 * 8


def test_a_link_that_keeps_order_is_measured_by_probes_of_its_own():
    links = [Link.between("n0", "n1", delay_ms=5, jitter_ms=1, reorder=False), Link.between("n1", "n0", delay_ms=5)]
    assert [task.back for node in NODES for task in tasks(node, links, NODES, ends)] == [None, None]


def test_tcp_is_sent_over_some_links_of_each_kind():
    links = [*mesh(NODES), *mesh(["bs", "cloud"], delay_ms=15)]
    chosen = sample(links, 8)
    assert len(set(chosen)) == 8
    assert Counter(link.delay.delay_ms for link in chosen) == {5: 6, 15: 2}
    assert len({link.source for link in chosen}) > 4
    assert sample(links[:8], 8) == links[:8], "where there are no more, over all"

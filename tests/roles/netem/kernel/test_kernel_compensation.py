"""Links of the kernel's backend on a path with a delay of its own, which is made a part of theirs where asked for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from patience import measured
from verdicts import PROBES
from wires import ModuleFailedError, Wires, link

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.lab, pytest.mark.long]

LINKS = [link("a", "b", 6, 0.5), link("b", "a", 6, 0.5)]


@pytest.fixture(scope="module")
def slow(wires: Wires) -> Iterator[Wires]:
    """Nodes a and b with 2 ms between them that are no link's, and that they know of."""
    for node in ("a", "b"):
        wires.run("wires", *f"tc qdisc add dev p-{node} root netem delay 2ms".split())
    with wires.answering(("a", "b")):
        for node in ("a", "b"):
            wires.probes(node, "baseline", LINKS, probes=300)
        yield wires
    for node in ("a", "b"):
        wires.run("wires", *f"tc qdisc del dev p-{node} root".split())


def test_what_the_path_takes_is_a_part_of_the_delay_where_that_was_asked_for(slow: Wires):
    diffs = [
        slow.links(node, "present", LINKS, backend="kernel", compensate=True)["diff"]["after"] for node in ("a", "b")
    ]
    assert re.fullmatch(r"b -> a: 6 ms ± 0.5 ms, 0 % loss, of which the path takes 2\.\d+ ms\n", diffs[1])
    assert not slow.links("b", "present", LINKS, backend="kernel", compensate=True)["changed"]
    entries = measured(
        lambda: slow.judged(LINKS, PROBES, compensated=True, patience_s=0),
        lambda entries: all(entry["ok"] for entry in entries),
    )
    assert [entry["problems"] for entry in entries] == [[], []]
    assert all(2 < entry["path"]["compensated_ms"] < 3 for entry in entries)


def test_a_path_that_leaves_too_little_of_a_link_is_refused(slow: Wires):
    words = r"^a -> b: the path alone takes 2\.\d+ ms of delay_ms \(1\.5\), and the rest is too"
    with pytest.raises(ModuleFailedError, match=words):
        slow.links("a", "present", [link("a", "b", 1.5)], backend="kernel", compensate=True)


def test_a_path_that_is_unknown_is_refused(wires: Wires):
    with pytest.raises(ModuleFailedError, match=r"^what the path to c takes by itself is not known"):
        wires.links("a", "present", [link("a", "c", 6, 0.5)], backend="kernel", compensate=True)

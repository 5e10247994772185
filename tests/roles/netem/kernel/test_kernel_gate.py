"""The gate on links of the kernel's backend: right ones pass, wrong ones are refused with the numbers."""

from __future__ import annotations

from typing import Any

import pytest
from verdicts import LINKS, stated_ms, verdicts
from wires import Wires, link

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.usefixtures("answering")]


@pytest.fixture(scope="module")
def right_back(wires: Wires) -> Wires:
    """The nodes with the link from b in force; that from a is each test's own."""
    wires.links("b", "present", LINKS, backend="kernel")
    return wires


def test_a_right_link_passes_the_gate(right_back: Wires):
    right_back.links("a", "present", LINKS, backend="kernel")
    entries = verdicts(right_back, {("a", 4), ("b", 4)})
    assert [entry["problems"] for entry in entries] == [[], []]


@pytest.mark.parametrize(
    ("wrong", "which", "from_ms", "to_ms"),
    [
        ([link("a", "b", 30, 3, 0.24)], "delay", 29, 31),
        ([link("a", "b", 15, 0, 0.24)], "jitter", -1, 1),
        ([], "delay", -1, 1),
    ],
    ids=["double delay", "lost jitter", "one direction only"],
)
def test_a_wrong_link_fails_the_gate_with_the_numbers_and_the_right_one_beside_it_passes(
    right_back: Wires, wrong: list[dict[str, Any]], which: str, from_ms: float, to_ms: float
):
    right_back.links("a", "present" if wrong else "absent", wrong, backend="kernel")
    there, back = verdicts(right_back, {("b", 4)})
    assert (there["link"]["source"], there["ok"]) == ("a", False)
    assert (back["link"]["source"], back["problems"]) == ("b", [])
    assert from_ms < stated_ms(there, which) < to_ms


def test_a_direction_that_was_never_applied_is_no_difference_to_what_was_but_a_change_to_come(right_back: Wires):
    right_back.links("a", "absent")
    coming = right_back.links("a", "present", LINKS, backend="kernel", check=True)
    assert coming["diff"] == {"before": "", "after": "a -> b: 15 ms ± 3 ms, 0.24 % loss\n"}
    assert coming["drift"] is None

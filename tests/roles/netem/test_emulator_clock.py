"""The emulator's look at two clocks: a processor that is taken away in between makes no frame early."""

from __future__ import annotations

import pytest
from ansible.module_utils.netem import emulation

APART_NS = 1_700_000_000_000_000_000


class Machine:
    """Clocks that go on by a little with each look, and by much after those looks that something interrupts."""

    def __init__(self, interrupted: set[int]) -> None:
        self.now_ns, self.looks = 1_000_000_000, 0
        self.interrupted = interrupted

    def monotonic_ns(self) -> int:
        self.looks += 1
        self.now_ns += 50 + (300_000 if self.looks in self.interrupted else 0)
        return self.now_ns

    def time_ns(self) -> int:
        return APART_NS + self.monotonic_ns()


@pytest.mark.parametrize("interrupted", [set(), {2}, {3}, {2, 5}, {2, 3, 6, 8}])
def test_the_clocks_are_as_far_apart_as_they_are(monkeypatch: pytest.MonkeyPatch, interrupted: set[int]) -> None:
    machine = Machine(interrupted)
    monkeypatch.setattr(emulation, "monotonic_ns", machine.monotonic_ns)
    monkeypatch.setattr(emulation, "time_ns", machine.time_ns)
    apart_ns, now_ns = emulation.clocks_apart_ns()
    assert abs(apart_ns - APART_NS) <= emulation.CLOSE_NS
    assert apart_ns <= APART_NS, "no frame is early"
    assert now_ns == machine.now_ns


def test_a_machine_that_is_always_interrupted_gets_the_closest_look(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(set(range(100)))
    monkeypatch.setattr(emulation, "monotonic_ns", machine.monotonic_ns)
    monkeypatch.setattr(emulation, "time_ns", machine.time_ns)
    apart_ns, _ = emulation.clocks_apart_ns()
    assert APART_NS - 700_000 < apart_ns <= APART_NS
    assert machine.looks == 3 * emulation.LOOKS

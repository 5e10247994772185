"""Which failures are skipped as this machine's."""

from __future__ import annotations

import pytest
from steal import disturbed

LATE = "its emulator delayed 160 of 1036 frames by more than 0.1 ms beyond their time: it gets too little CPU time"
STALLED = "91 of 1000 probes arrived far too late: the machine or the emulator stalls"


@pytest.mark.parametrize("problem", [LATE, STALLED])
def test_links_refused_for_cpu_steal_are_no_failure_of_the_project(problem: str):
    reason = disturbed(
        f"edge-2 -> bs: lost 0 of 1000: OFF: {problem} (9.6 % CPU steal on this machine). And: OFF: {LATE}"
    )
    assert reason is not None
    assert reason.startswith("9.6 % CPU steal on this machine")


@pytest.mark.parametrize(
    "failure",
    [
        "assert 1 == 0",
        f"OFF: {LATE}",
        f"OFF: {LATE} (1.2 % CPU steal on this machine)",
        "OFF: delay 30.1 ms, expected 15.1 ± 0.2 ms (9.6 % CPU steal on this machine)",
        f"OFF: {LATE} (9.6 % CPU steal on this machine); bs -> cloud-1: OFF: delay 30.1 ms, expected 15.1 ± 0.2 ms",
    ],
)
def test_every_other_failure_stays_one(failure: str):
    assert disturbed(failure) is None

"""Which failures are skipped as this machine's."""

from __future__ import annotations

import pytest
from steal import disturbed

pytest_plugins = ["pytester"]

LATE = "its emulator delayed 160 of 1036 frames by more than 0.1 ms beyond their time: it gets too little CPU time"
STALLED = "91 of 1000 probes arrived far too late: the machine or the emulator stalls"


@pytest.mark.parametrize("problem", [LATE, STALLED])
def test_links_refused_for_cpu_steal_are_no_failure_of_the_project(problem: str):
    reason = disturbed(
        f"E   edge-2 -> bs: lost 0 of 1000: OFF: {problem} (9.6 % CPU steal on this machine). And: OFF: {LATE}"
    )
    assert reason is not None
    assert reason.startswith("9.6 % CPU steal on this machine")


def shown(pytester: pytest.Pytester, problems: list[str]) -> str:
    """What pytest prints of a test that expected no problems, be its lines cut and marked as they may."""
    pytester.makepyfile(f"def test_link():\n    assert {problems!r} == []  # and not OFF: delay 30")
    return pytester.runpytest_inprocess("-vv").stdout.str()


def test_a_comparison_is_read_as_pytest_prints_it(pytester: pytest.Pytester):
    stolen = f"{LATE} (14 % CPU steal on this machine)"
    assert disturbed(shown(pytester, [stolen])) is not None
    assert disturbed(shown(pytester, [stolen, "delay 30.1 ms, expected 15.1 ± 0.2 ms"])) is None


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
    assert disturbed(f"E   {failure}") is None

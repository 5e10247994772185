"""Verdicts of the gate on Table I's links between a and b, of which some are wrong."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import pytest
from patience import measured
from wires import link

if TYPE_CHECKING:
    from wires import Wires

DELAY_MS, JITTER_MS, LOSS_PERCENT = 15, 3, 0.24
LINKS = [link(source, target, DELAY_MS, JITTER_MS, LOSS_PERCENT) for source, target in (("a", "b"), ("b", "a"))]
PROBES = 400
# By how much the gate may be wider, in delay and in jitter, where a wrong link is to be refused by less than 1 ms.
CALM_MS, CALM_SIGMA_MS = 0.3, 0.5
# By how much it is wider where a kernel's timers are late, as the guest's are on a busy machine.
TIMERS = r"( \(\+ [\d.]+ by timers\))?"
PROBLEM = rf"(delay|jitter) ([\d.]+) ms, expected ([\d.]+) ± 0\.\d+{TIMERS} ms"


def verdicts(wires: Wires, right: set[tuple[str, int]], by: str = "IPv4") -> list[dict[str, Any]]:
    """Measure both links until the right ones, by source and family, are accepted, on a machine calm for the wrong ones.

    A wrong link has to be refused each time.
    """

    def settled(entries: list[dict[str, Any]]) -> bool:
        accepted = {(entry["link"]["source"], entry["family"]) for entry in entries if entry["ok"]}
        gates = [entry["gate"] for entry in entries if (entry["link"]["source"], entry["family"]) not in right]
        calm = all(gate["median_ms"] < CALM_MS and gate["sigma_ms"] < CALM_SIGMA_MS for gate in gates)
        return bool(accepted - right) or (accepted == right and calm)

    addresses = wires.addresses(by)
    return measured(lambda: wires.judged(LINKS, PROBES, addresses=addresses, patience_s=0), settled)


def stated_ms(entry: dict[str, Any], which: str) -> float:
    """Return how many ms of delay or jitter a refused link is stated to have, beside what its path has by itself."""
    matches = [re.fullmatch(PROBLEM, problem) for problem in entry["problems"]]
    stated = [match for match in matches if match and match[1] == which]
    assert len(stated) == 1, entry["problems"]
    control = entry["path"]["control"]
    alone_ms: float = control["median_ms" if which == "delay" else "sigma_ms"]
    expected_ms = DELAY_MS + alone_ms if which == "delay" else math.hypot(JITTER_MS, alone_ms)
    assert float(stated[0][3]) == pytest.approx(expected_ms, abs=0.01)
    return float(stated[0][2]) - alone_ms

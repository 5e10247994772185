"""A link's check carries the link's own sentence, and verifications of older runs are still read."""

from __future__ import annotations

from typing import Any

import pytest

from collect.links import LinkCheck, LinkReport

CHECK: dict[str, Any] = {
    "link": {"source": "bs", "target": "edge-1", "shape": "1.25 ms ± 0.25 ms, 0.02 % loss, 5 % duplicated", "seed": None},
    "clock": "shared", "probes": {"sent": 1000, "received": 1000}, "loss": {"count": 0, "percent": 0}, "ok": True,
}  # fmt: skip
OLD: dict[str, Any] = {
    "source": "bs", "target": "edge-1", "delay_ms": 1.25, "jitter_ms": 0.25, "loss_percent": 0.02, "reorder": True,
    "probes": 1000, "received": 1000, "clock": "shared", "lost": 2, "loss_measured_percent": 0.2, "ok": True,
    **dict.fromkeys(("mean_ms", "mean_low_ms", "mean_high_ms", "sigma_ms", "sigma_low_ms", "sigma_high_ms"), 1.3),
    "baseline_mean_ms": 0.04, "baseline_sigma_ms": 0.01, "widened_ms": 0.1, "loss_noticed_from_percent": 0.5,
}  # fmt: skip


def read_old(values: dict[str, Any]) -> LinkCheck:
    report = {"schema": 1, "taken_at": "2026-11-24T04:00:00Z", "backend": "kernel", "links": [OLD | values]}
    return LinkReport.model_validate(report).links[0]


def test_a_check_by_ipv6_has_a_name_of_its_own():
    assert LinkCheck.model_validate(CHECK).name == "bs → edge-1"
    assert LinkCheck.model_validate(CHECK | {"family": 6}).name == "bs → edge-1 by IPv6"


def test_a_link_that_answered_nothing_can_be_read():
    nothing = dict.fromkeys(("delay", "round_trip", "expected", "gate", "histogram"))
    assert LinkCheck.model_validate(CHECK | nothing | {"ok": False}).delay is None


@pytest.mark.parametrize(
    ("values", "shape"),
    [
        ({}, "1.25 ms ± 0.25 ms, 0.02 % loss"),
        ({"rate_mbit": 20, "reorder": False}, "1.25 ms ± 0.25 ms, 0.02 % loss, 20 Mbit/s, order kept"),
        ({"distribution": "pareto"}, "1.25 ms ± 0.25 ms pareto, 0.02 % loss"),
        ({"loss_percent": 2, "loss_correlation_percent": 25}, "1.25 ms ± 0.25 ms, 2 % loss in bursts"),
        (
            {"loss_percent": 0, "gilbert_elliott": {"enter_percent": 1, "leave_percent": 9, "bad_loss_percent": 50}},
            "1.25 ms ± 0.25 ms, 5 % loss in bursts",
        ),
    ],
)
def test_what_an_older_run_asked_for(values: dict[str, Any], shape: str):
    assert read_old(values).link.shape == shape


def test_what_an_older_run_measured_is_where_it_is_now():
    check = read_old({})
    assert check.delay is not None
    assert (check.delay.mean_ms, check.loss.count, check.loss.detectable_percent) == (1.3, 2, 0.5)
    assert check.path.baseline is not None
    assert check.path.baseline.median_ms == 0.04
    assert check.gate is not None
    assert check.gate.median_ms == 0.1
    assert read_old({"mean_ms": None, "received": 0, "ok": False}).delay is None

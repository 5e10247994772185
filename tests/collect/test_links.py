"""A link's check says what was asked for as a person would."""

from __future__ import annotations

from typing import Any

import pytest

from collect.links import LinkCheck

CHECK: dict[str, Any] = {
    "source": "bs", "target": "edge-1", "delay_ms": 1.25, "jitter_ms": 0.25, "loss_percent": 0.02, "reorder": True,
    "probes": 1000, "received": 1000, "clock": "shared", "lost": 0, "loss_measured_percent": 0, "ok": True,
}  # fmt: skip


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "1.25 ± 0.25 ms, 0.02 % loss"),
        ({"rate_mbit": 20, "reorder": False}, "1.25 ± 0.25 ms, 0.02 % loss, 20 Mbit/s, order kept"),
        ({"distribution": "pareto"}, "1.25 ± 0.25 ms pareto, 0.02 % loss"),
        ({"loss_percent": 2, "loss_correlation_percent": 25}, "1.25 ± 0.25 ms, 2 % loss in bursts"),
        (
            {"loss_percent": 0, "gilbert_elliott": {"enter_percent": 1, "leave_percent": 9, "bad_loss_percent": 50}},
            "1.25 ± 0.25 ms, 5 % loss in bursts",
        ),
    ],
)
def test_what_was_asked_for(values: dict[str, Any], said: str):
    assert LinkCheck.model_validate(CHECK | values).asked == said


def test_a_check_by_ipv6_has_a_name_of_its_own():
    assert LinkCheck.model_validate(CHECK).name == "bs → edge-1"
    assert LinkCheck.model_validate(CHECK | {"family": 6}).name == "bs → edge-1 by IPv6"


def test_a_link_that_answered_nothing_can_be_read():
    nothing = dict.fromkeys(("mean_ms", "expected_median_ms", "late_ms", "widened_ms", "widened_sigma_ms"))
    assert LinkCheck.model_validate(CHECK | nothing | {"received": 0, "ok": False}).aim_ms == (1.25, 0.25)

"""What is read of two calibrations of limited replicas."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from collect.resources import ResourceReport, limited


def report(share: float, begin: int, end: int, cpus: float = 0.5) -> ResourceReport:
    """A calibration of one replica; it was stopped in every second period, for 40 ms each."""
    counters = [{"periods": n, "throttled": n // 2, "throttled_us": n // 2 * 40_000} for n in (begin, end)]
    one = {"service": "slow", "cpus": cpus, "share": share, "begin": counters[0], "end": counters[1]}
    return ResourceReport.model_validate({"schema": 1, "tolerance_percent": 10, "nodes": {"edge-1": [one]}})


def test_what_the_kernel_counted_is_that_between_the_calibrations() -> None:
    (one,) = limited(report(0.51, 0, 40), report(0.49, 140, 180))
    assert (one.node, one.service, one.before, one.after, one.is_off) == ("edge-1", "slow", 0.51, 0.49, False)
    assert one.throttled_percent == 50
    assert one.throttled_s == pytest.approx(2)


def test_one_that_is_off_is_marked_at_either_end() -> None:
    assert next(limited(report(0.5, 0, 40), report(0.44, 140, 180))).is_off
    assert next(limited(report(0.56, 0, 40), None)).is_off


def test_counters_that_began_anew_and_a_calibration_that_is_missing_say_nothing() -> None:
    for after in (report(0.5, 10, 50), None):
        (one,) = limited(report(0.5, 0, 40), after)
        assert (one.throttled_percent, one.throttled_s) == (None, None)
    assert list(limited(None, None)) == []


def test_cpus_of_nothing_are_refused() -> None:
    with pytest.raises(ValidationError, match="greater than 0"):
        report(0.5, 0, 40, cpus=0)

"""What is read of two calibrations of limited replicas."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from generated_run import RUN, all_records, write_run
from pydantic import ValidationError

from collect.analysis import summary
from collect.folder import RunFolder
from collect.report.page import render
from collect.resources import ResourceReport, limited
from collect.run import load

if TYPE_CHECKING:
    from pathlib import Path


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


def test_the_report_has_them_as_a_table_and_others_have_none(tmp_path: Path) -> None:
    folder = write_run(tmp_path, all_records())
    for is_limited in (False, True):
        if is_limited:
            (folder / "resources").mkdir()
            for moment, measured in (("before", report(0.51, 0, 40)), ("after", report(0.44, 140, 180))):
                content = json.dumps(measured.model_dump(by_alias=True))
                (folder / "resources" / f"{moment}.json").write_text(content)
        run = load(RunFolder(folder))
        page = " ".join(render(run, summary.analyse(RUN, run.measurements), {}).split())
        row = '<th scope="row">slow on edge-1</th><td class="number">0.5</td> <td class="number">0.510</td>'
        assert (row in page) == is_limited
        assert ("CPUs by a fixed kind of work" in page) == is_limited
    assert (
        '<td class="number">0.440</td> <td><span class="problem">off</span></td> <td class="number">50.0</td>' in page
    )
